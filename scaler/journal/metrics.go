package journal

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Register makes what the journal says of itself. The number of its last line is
// a witness: it never falls, and the samples of it are in another place.
func (j *Journal) Register(reg prometheus.Registerer) {
	auto := promauto.With(reg)
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "plimsoll_scaler_journal_bytes", Help: "What the journal of decisions takes on disk.",
	}, func() float64 { return float64(j.disk.Bytes()) })
	auto.NewCounterFunc(prometheus.CounterOpts{
		Name: "plimsoll_scaler_journal_expired_lines_total", Help: "Lines of the journal that had to go for its bytes.",
	}, func() float64 { return float64(j.disk.Dropped()) })
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "plimsoll_scaler_journal_seq", Help: "Number of the last line of the journal, which only grows.",
	}, func() float64 {
		j.mu.Lock()
		defer j.mu.Unlock()
		return float64(j.link.Seq)
	})
}
