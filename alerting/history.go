package alerting

import (
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"

	"github.com/plimsoll-io/plimsoll/alerting/history"
)

const (
	// eventQueue is how many events may wait for the disk.
	eventQueue = 8192
	// repeatFailure is how often a failure that goes on is written again.
	repeatFailure = time.Hour
)

// recorder notes what happens to alerts. It stands at three places of the
// pipeline: where alerts are stored, around the stages that mute and send, and
// around each integration. It never holds any of them up: what the disk is too
// slow for is dropped and counted.
type recorder struct {
	disk  *history.Log
	log   *slog.Logger
	queue chan history.Event

	recorded *prometheus.CounterVec
	dropped  prometheus.Counter
	failed   prometheus.Counter

	done    chan struct{} // closed: write the rest
	writing sync.WaitGroup

	mu       sync.Mutex
	alerts   map[model.Fingerprint]*life
	muted    map[string]bool      // group keys that a time interval mutes
	flushes  map[string]time.Time // by group key: when it was last considered
	silences map[string]history.Silence
	ended    map[string]bool // silences that were seen to end
	senders  map[string]*sender
}

// life is what was noted of an alert that fires.
type life struct {
	startsAt time.Time
	held     history.Kind // Silenced, Inhibited or nothing
	by       []string
	groups   map[string]bool
}

func newRecorder(opts Options) (*recorder, error) {
	disk, err := history.Open(history.Options{
		Dir: filepath.Join(opts.DataDir, "history"), MaxBytes: opts.HistoryBytes, MaxAge: opts.HistoryAge,
		Log: opts.Log.With("component", "history"),
	})
	if err != nil {
		return nil, err
	}
	r := &recorder{
		disk: disk, log: opts.Log.With("component", "history"), queue: make(chan history.Event, eventQueue), done: make(chan struct{}),
		alerts: map[model.Fingerprint]*life{}, muted: map[string]bool{}, flushes: map[string]time.Time{},
		silences: map[string]history.Silence{}, ended: map[string]bool{}, senders: map[string]*sender{},
		recorded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plimsoll_alerting_history_events_total", Help: "Events written to the alert history.",
		}, []string{"event"}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_alerting_history_events_dropped_total", Help: "Events that were not written because the disk was too slow.",
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_alerting_history_write_failures_total", Help: "Attempts to write to the alert history that failed; their events are lost.",
		}),
	}
	for _, k := range history.Kinds() {
		r.recorded.WithLabelValues(string(k))
	}
	if err := r.disk.Replay(r.remember); err != nil {
		return nil, err
	}
	return r, r.register(opts.Registerer)
}

func (r *recorder) register(reg prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{
		r.recorded, r.dropped, r.failed,
		senderMetrics{r},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "plimsoll_alerting_history_bytes", Help: "What the alert history takes on disk.",
		}, func() float64 { return float64(r.disk.Bytes()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "plimsoll_alerting_history_expired_total", Help: "Events of the alert history that had to go for its bytes or its age.",
		}, func() float64 { return float64(r.disk.Dropped()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "plimsoll_alerting_history_damaged_lines_total", Help: "Lines of the alert history that could not be read.",
		}, func() float64 { return float64(r.disk.Damaged()) }),
	} {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("register metrics of the alert history: %w", err)
		}
	}
	return nil
}

// remember takes up what an earlier process has noted, so that it is not noted
// again.
func (r *recorder) remember(e history.Event) {
	for _, a := range e.Alerts {
		fp, err := model.ParseFingerprint(a.Fingerprint)
		if err != nil {
			continue
		}
		l := r.alerts[fp]
		switch {
		case e.Kind == history.Created:
			r.alerts[fp] = &life{startsAt: a.StartsAt, groups: map[string]bool{}}
		case l == nil:
		case e.Kind == history.Resolved:
			delete(r.alerts, fp)
		case e.Kind == history.Grouped:
			l.groups[e.Group] = true
		case e.Kind == history.Silenced, e.Kind == history.Inhibited:
			l.held, l.by = e.Kind, e.By
		case e.Kind == history.Unmuted:
			l.held, l.by = "", nil
		}
	}
	switch {
	case e.Silence != nil:
		r.silences[e.Silence.ID] = *e.Silence
		r.ended[e.Silence.ID] = e.Kind == history.SilenceExpired
	case e.Kind == history.Muted:
		r.muted[e.Group] = true
	case e.Kind == history.Unmuted && e.Group != "":
		delete(r.muted, e.Group)
	}
}

// note hands an event to the one who writes.
func (r *recorder) note(e history.Event) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	select {
	case r.queue <- e:
	default:
		r.dropped.Inc()
	}
}

func (r *recorder) start() { r.writing.Go(r.write) }

// end writes what is still noted and waits for that.
func (r *recorder) end() {
	close(r.done)
	r.writing.Wait()
}

// write writes what is noted, until it is done.
func (r *recorder) write() {
	for {
		select {
		case e := <-r.queue:
			r.keep(e)
		case <-r.done:
			for len(r.queue) > 0 {
				r.keep(<-r.queue)
			}
			if err := r.disk.Close(); err != nil {
				r.log.Error("alert history not closed", "err", err)
			}
			return
		}
	}
}

// keep writes an event and those that wait behind it.
func (r *recorder) keep(e history.Event) {
	batch := []history.Event{e}
	for len(batch) < 256 && len(r.queue) > 0 {
		batch = append(batch, <-r.queue)
	}
	if err := r.disk.Append(batch...); err != nil {
		r.failed.Inc()
		r.log.Error("alert history not written", "events", len(batch), "err", err)
		return
	}
	for _, e := range batch {
		r.recorded.WithLabelValues(string(e.Kind)).Inc()
	}
}

// tidy forgets groups that were not considered, or that could not be told, for so
// long that they are gone, and history that is too old.
func (r *recorder) tidy(longest time.Duration) {
	r.mu.Lock()
	for key, at := range r.flushes {
		if time.Since(at) > 2*longest {
			delete(r.flushes, key)
			delete(r.muted, key)
		}
	}
	for _, s := range r.senders {
		maps.DeleteFunc(s.failing, func(_ string, f failure) bool { return time.Since(f.at) > 2*repeatFailure })
	}
	r.mu.Unlock()
	if err := r.disk.Trim(); err != nil {
		r.log.Warn("alert history not trimmed", "err", err)
	}
}

// lastFlush is when a group was last considered for sending.
func (r *recorder) lastFlush(key string) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.flushes[key]
	return at, ok
}
