package forward

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// Whatever becomes of a sample, the counters of its endpoint add up.
func TestTheMetricsAddUp(t *testing.T) {
	tg := newTarget(t, 0)
	reg := prometheus.NewPedanticRegistry()
	r := start(t, Options{Dir: t.TempDir(), Registerer: reg}, configured(t, quick(tg.server.URL, version1+`
  write_relabel_configs: [{source_labels: [name], regex: c1, action: drop}]`)))
	ls, now := container(10, "c"), time.Now().UnixMilli()
	hand(t, r.Forwarder, now, ls, valued(10, 1))
	r.drained(t)
	hand(t, r.Forwarder, now-1, ls[:3], valued(3, 1)) // out of order, which this target refuses
	r.drained(t)
	want := `
# HELP plimsoll_forward_dropped_total Samples that were not forwarded and never will be, by reason.
# TYPE plimsoll_forward_dropped_total counter
plimsoll_forward_dropped_total{endpoint="target",reason="http_400"} 2
# HELP plimsoll_forward_filtered_total Samples that write_relabel_configs leave out.
# TYPE plimsoll_forward_filtered_total counter
plimsoll_forward_filtered_total{endpoint="target"} 2
# HELP plimsoll_forward_pending_samples Samples that wait on disk or are on their way.
# TYPE plimsoll_forward_pending_samples gauge
plimsoll_forward_pending_samples{endpoint="target"} 0
# HELP plimsoll_forward_samples_total Samples handed over to be forwarded.
# TYPE plimsoll_forward_samples_total counter
plimsoll_forward_samples_total 13
# HELP plimsoll_forward_sent_total Samples that the target has accepted, those sent twice counted twice.
# TYPE plimsoll_forward_sent_total counter
plimsoll_forward_sent_total{endpoint="target"} 9
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), prefix+"dropped_total", prefix+"filtered_total",
		prefix+"pending_samples", prefix+"samples_total", prefix+"sent_total"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}
