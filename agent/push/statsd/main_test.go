package statsd

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/plimsoll-io/plimsoll/agent/push"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ticks collects twice, as counters begin at 0, and returns what is there then.
func ticks(table *push.Table) map[string]float64 {
	found := map[string]float64{}
	var b sample.Batch
	for tick := range uint64(2) {
		b.Reset(tick, time.Time{})
		table.Collect(&b, 0, func(o push.Origin, _ push.Standing, _ time.Duration) ([]sample.Label, push.Standing) {
			return []sample.Label{{Name: "container", Value: o.Container}}, push.Stranger
		})
		for _, c := range b.Columns {
			for i, v := range c.Values {
				if s := c.Group.Series[i]; !sample.IsAbsent(v) && !strings.HasPrefix(s.Metric.Name, "plimsoll_") {
					found[name(c.Group, s)] = v
				}
			}
		}
	}
	return found
}

func name(g *sample.Group, s sample.Series) string {
	var labels []string
	for _, l := range slices.Concat(g.Labels, s.Labels) {
		if l.Value != "" {
			labels = append(labels, l.Name+"="+l.Value)
		}
	}
	slices.Sort(labels)
	return s.Metric.Name + "{" + strings.Join(labels, ",") + "}"
}

// text is one line for each sample.
func text(samples map[string]float64) string {
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(samples)) {
		lines = append(lines, fmt.Sprintf("%s %g", k, samples[k]))
	}
	return strings.Join(lines, "\n")
}

// running is a listener that runs until the test ends.
func running(t testing.TB, opts Options) *Listener {
	t.Helper()
	l, err := Listen(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return l
}

// eventually waits for something that another goroutine or the kernel does.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(10 * time.Second); !ok(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("in vain waited for %s", what)
		}
	}
}
