package ingest

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/plimsoll-io/plimsoll/collector/gate"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

func TestMetricsOfApplicationsAreTheFirstToBeCut(t *testing.T) {
	for name, want := range map[string]class{
		"node_cpu_seconds_total": core, "container_memory_usage_bytes": core, "container_cpu_usage_seconds_total": core, "plimsoll_agent_ticks_total": core,
		"container_network_receive_bytes_total": system, "machine_memory_bytes": system, "DCGM_FI_DEV_GPU_UTIL": system,
		"http_requests_total": business, "containers": business, "nodes_total": business, "": business, "go_goroutines": business,
	} {
		if got := classOf(name); got != want {
			t.Errorf("%q is of class %d, want %d", name, got, want)
		}
	}
}

// crowd is a frame of so many series of a name, in a layout each, of a container
// if that is not empty.
func crowd(seq uint64, at time.Time, container string, counts map[string]int) *plimsollv1.Frame {
	f := &plimsollv1.Frame{Seq: seq, TimestampMs: at.UnixMilli(), Symbols: []string{"", "container", container, "n"}}
	var all []float64
	for _, name := range []string{"app_requests", "container_network_bytes", "container_cpu_seconds"} {
		ref := uint32(len(f.Symbols))
		f.Symbols = append(f.Symbols, name)
		for i := range counts[name] {
			f.Symbols = append(f.Symbols, fmt.Sprint(name, i))
			f.Series = append(f.Series, &plimsollv1.Series{Symbols: []uint32{ref, 1, 2, 3, uint32(len(f.Symbols) - 1)}})
			f.Layouts = append(f.Layouts, &plimsollv1.Layout{Series: []int64{int64(len(all))}})
			column := int64(1)
			if len(all) == 0 {
				column = 0
			}
			f.Columns = append(f.Columns, column)
			all = append(all, 1)
		}
	}
	f.Values = raw(all...)
	return f
}

// stored counts the series of each name.
func (w *world) stored(names ...string) map[string]int {
	got := map[string]int{}
	for _, name := range names {
		got[name] = len(w.read(is("__name__", name)))
	}
	return got
}

func TestLimitsOfSeriesCutWhatIsLeastDear(t *testing.T) {
	bomb := map[string]int{"app_requests": 500, "container_network_bytes": 500, "container_cpu_seconds": 500}
	for name, tt := range map[string]struct {
		limits    Limits
		container string
		reason    gate.Reason
		want      map[string]int
	}{
		"of a node": {
			Limits{Series: 400},
			"", gate.Series,
			map[string]int{"app_requests": 400, "container_network_bytes": 100, "container_cpu_seconds": 100},
		},
		"of a container": {
			Limits{ContainerSeries: 40},
			"web", reasonContainer,
			map[string]int{"app_requests": 40, "container_network_bytes": 10, "container_cpu_seconds": 10},
		},
		"of all": {
			Limits{TotalSeries: 80},
			"web", reasonTotal,
			map[string]int{"app_requests": 80, "container_network_bytes": 20, "container_cpu_seconds": 20},
		},
	} {
		t.Run(name, func(t *testing.T) {
			opts := Options{Limits: tt.limits}
			var d *db
			opts.HeadSeries = func() uint64 { return uint64(max(0, int(d.Head().NumSeries())-4)) } // without the collector's own
			inBubble(t, opts, func(w *world) {
				d = w.db
				a := w.connect(hello())
				a.send(crowd(1, time.Now(), tt.container, bomb))
				ack := a.ack(1)
				sum := uint64(0)
				for _, n := range tt.want {
					sum += uint64(n)
				}
				got := w.stored("app_requests", "container_network_bytes", "container_cpu_seconds")
				if tt.reason == reasonTotal { // counted by frame, roughly
					for name := range got {
						if diff := got[name] - tt.want[name]; diff < -4 || diff > 4 {
							t.Errorf("stored %v, want about %v", got, tt.want)
						}
					}
				} else if !maps.Equal(got, tt.want) || ack.GetSamplesStored() != sum {
					t.Errorf("stored %v, want %v", got, tt.want)
				}
				if len(ack.GetRefused()) != 1 || ack.GetRefused()[0].GetReason() != tt.reason {
					t.Errorf("refused %v, want for %s", ack.GetRefused(), tt.reason)
				}
				if tt.reason == reasonContainer {
					if n := testutil.ToFloat64(w.server.metrics.refusedSeries.WithLabelValues("n1", "web", reasonContainer)); n != 1440 {
						t.Errorf("%v series refused of the container, want 1440", n)
					}
				}
				// Those that are there go on.
				again := values(2, time.Now().Add(time.Second), 0, 0)
				again.Columns, again.Values = []int64{0}, raw(2)
				a.send(again)
				if ack := a.ack(2); ack.GetSamplesStored() != uint64(got["app_requests"]+got["container_network_bytes"]+got["container_cpu_seconds"])+1 {
					t.Errorf("then ack %v", ack)
				}
			})
		})
	}
}

func TestARoomThatIsLeftIsGivenToOthers(t *testing.T) {
	inBubble(t, Options{Limits: Limits{Series: 2}}, func(w *world) {
		a := w.connect(hello())
		f := definition(1, time.Now(), 1, 2)
		f.Ended = []uint32{0, 1}
		a.send(f)
		g := &plimsollv1.Frame{
			Seq: 2, TimestampMs: time.Now().Add(time.Second).UnixMilli(), Symbols: []string{"later"},
			Series: []*plimsollv1.Series{{Symbols: []uint32{8}}}, Layouts: []*plimsollv1.Layout{{Series: []int64{2}}}, Columns: []int64{2}, Values: raw(1),
		}
		a.send(g)
		if ack := a.ack(2); len(ack.GetRefused()) > 0 || ack.GetSamplesStored() != 3 {
			t.Errorf("ack %v", ack)
		}
	})
}

func TestSamplesOverTheRateAreCutWhereTheyAreLeastDear(t *testing.T) {
	inBubble(t, Options{Limits: Limits{SampleRate: 100}}, func(w *world) {
		start := time.Now()
		a := w.connect(hello())
		counts := map[string]int{"app_requests": 150, "container_cpu_seconds": 50}
		f := crowd(1, start, "", counts)
		a.send(f)
		const frames = 120 // at 200 samples a second
		for seq := uint64(2); seq <= frames; seq++ {
			at := start.Add(time.Duration(seq-1) * time.Second)
			a.send(&plimsollv1.Frame{Seq: seq, TimestampMs: at.UnixMilli(), Columns: f.Columns, Values: f.Values})
			<-time.After(time.Second)
		}
		ack := a.ack(frames)
		cpu, app := 0, 0
		for _, points := range w.read(is("__name__", "container_cpu_seconds")) {
			cpu += len(points)
		}
		for _, points := range w.read(is("__name__", "app_requests")) {
			app += len(points)
		}
		if cpu != 50*frames {
			t.Errorf("%d of the kernel's samples stored, want all %d", cpu, 50*frames)
		}
		if all := cpu + app; all < 100*frames || all > 100*(frames+burst) {
			t.Errorf("%d samples stored, want 100 a second", all)
		}
		if len(ack.GetRefused()) != 1 || ack.GetRefused()[0].GetReason() != reasonRate || ack.GetRefused()[0].GetSamples() != uint64(200*frames-cpu-app) {
			t.Errorf("refused %v", ack.GetRefused())
		}
	})
}
