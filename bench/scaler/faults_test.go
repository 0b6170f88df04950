package scaler

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"

	"github.com/plimsoll-io/plimsoll/internal/faults"
)

// TestTheHPAUnderFaults plays the scripts, which Plimsoll's loop passes in
// test/faults, to the HPA, and tells what it does.
func TestTheHPAUnderFaults(t *testing.T) {
	paths, err := filepath.Glob("../../scaler/testdata/faults/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < 20 {
		t.Fatalf("%d scripts, want 20 at least", len(paths))
	}
	var b strings.Builder
	b.WriteString("| fault | signal | wrong scale-ins | runaway scale-outs | at the end | needed |\n|---|---|---|---|---|---|\n")
	in, wild := 0, 0
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := faults.Parse(strings.TrimSuffix(filepath.Base(path), ".txt"), string(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, signal := range s.Signals {
			if slices.ContainsFunc(s.Faults, func(f faults.Fault) bool { return f.Kind == faults.Clock }) {
				fmt.Fprintf(&b, "| %s | %s | not played | not played | | |\n", s.Name, signal) // its clock is the bubble's
				continue
			}
			var end int
			var v faults.Verdict
			synctest.Test(t, func(t *testing.T) {
				w := newStage(s, signal)
				w.play()
				v, end = s.Judge(w.changes), w.view.Desired
			})
			in, wild = in+len(v.In), wild+len(v.Out)
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %d | %d |\n", s.Name, signal, brief(v.In), brief(v.Out), end, faults.Need(s.Cores(s.Length)))
		}
	}
	t.Logf("%d wrong scale-ins, %d runaway scale-outs\n%s", in, wild, &b)
	if *out != "" {
		if err := os.WriteFile(filepath.Join(*out, "faults.md"), []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// A judge that finds nothing anywhere would find nothing in ours, too.
	if in == 0 || wild == 0 {
		t.Errorf("the HPA made %d wrong scale-ins and %d runaway scale-outs; some of each are known of it", in, wild)
	}
}

// brief names the first of many.
func brief(changes []faults.Change) string {
	switch len(changes) {
	case 0:
		return ""
	case 1:
		return changes[0].String()
	}
	last := changes[len(changes)-1]
	return fmt.Sprintf("%d: %s to %d", len(changes), changes[0], last.To)
}

// stage is a workload under a script, for the HPA.
type stage struct {
	script  *faults.Script
	plant   Plant
	hpa     *HPA
	begin   time.Time
	view    View
	born    int
	bad     map[int]bool // replicas that crash
	past    []View       // of each second
	changes []faults.Change
}

func newStage(s *faults.Script, signal faults.Signal) *stage {
	p := Plant{Boot: 20 * time.Second, Limit: faults.Limit, Target: faults.Target, Min: 1, Max: 100}
	w := &stage{script: s, plant: p, hpa: NewHPA(p, hpaStabilisation), begin: time.Now(), bad: make(map[int]bool)}
	w.hpa.signal = signal
	w.resize(s.Replicas, w.begin.Add(-time.Hour))
	for i := range w.view.Replicas {
		w.view.Replicas[i].Ready = w.view.Replicas[i].Asked
	}
	return w
}

func (w *stage) resize(n int, now time.Time) {
	for len(w.view.Replicas) < n {
		w.born++
		w.view.Replicas = append(w.view.Replicas, Replica{ID: w.born, Asked: now})
	}
	w.view.Replicas, w.view.Desired = w.view.Replicas[:n], n
}

func (w *stage) play() {
	for at := time.Duration(0); at < w.script.Length; at += time.Second {
		now := w.begin.Add(at)
		w.harm(at, now)
		w.work(at, now)
		if w.away(at) {
			w.hpa.Close()
			<-time.After(time.Until(now.Add(time.Second)))
			continue
		}
		w.tell(at)
		if n := w.hpa.Step(now, w.seen(at)); n != w.view.Desired {
			w.changes = append(w.changes, faults.Change{At: at, From: w.view.Desired, To: n})
			w.resize(n, now)
		}
	}
	w.hpa.Close()
}

func (w *stage) away(at time.Duration) bool {
	_, restarts := w.script.Active(faults.Restart, at)
	_, forgets := w.script.Active(faults.Forget, at)
	return restarts || forgets
}

// harm does to the workload what the script says.
func (w *stage) harm(at time.Duration, now time.Time) {
	for _, f := range w.script.Faults {
		begins, ends := f.From == at, f.To == at && f.To > f.From
		switch f.Kind {
		case faults.Manual:
			if begins {
				w.resize(int(f.Number), now)
			}
		case faults.Recreate:
			if begins {
				w.resize(0, now)
			}
			if ends {
				w.resize(int(f.Number), now)
			}
			if begins || ends {
				w.hpa.mu.Lock()
				w.hpa.absent = begins
				w.hpa.mu.Unlock()
			}
		case faults.Rollout:
			if since := at - f.From; f.On(at) && since%(30*time.Second) == 0 {
				i := int(since/(30*time.Second)) % len(w.view.Replicas)
				w.born++
				w.view.Replicas[i] = Replica{ID: w.born, Asked: now}
			}
		case faults.Crash:
			sound := w.script.Replicas - int(f.Number*float64(w.script.Replicas))
			for i := range w.view.Replicas {
				if w.bad[w.view.Replicas[i].ID] = f.On(at) && i >= sound; w.bad[w.view.Replicas[i].ID] {
					w.view.Replicas[i].Ready = time.Time{}
				}
			}
		case faults.Reset:
			for i := range w.view.Replicas {
				if begins {
					w.view.Replicas[i].CPU = 0
				}
			}
		case faults.Gap, faults.Value, faults.Stale, faults.Miss, faults.Clock, faults.Restart, faults.Forget,
			faults.Duplicate, faults.Late, faults.Two, faults.Relabel, faults.Agent, faults.Agents:
			// of what is measured, or of the controller
		}
	}
}

// work is a second of it.
func (w *stage) work(at time.Duration, now time.Time) {
	w.view.Ready, w.view.Load = 0, w.script.Cores(at)
	for i := range w.view.Replicas {
		r := &w.view.Replicas[i]
		if r.Ready.IsZero() && !w.bad[r.ID] && now.Sub(r.Asked) >= w.plant.Boot {
			r.Ready = now
		}
		if !r.Ready.IsZero() {
			w.view.Ready++
		}
	}
	for i := range w.view.Replicas {
		if r := &w.view.Replicas[i]; !r.Ready.IsZero() {
			r.CPU += min(w.plant.Limit, w.view.Load/float64(w.view.Ready))
		}
	}
	kept := w.view
	kept.Replicas = append([]Replica(nil), w.view.Replicas...)
	w.past = append(w.past, kept)
}

// seen is what metrics-server can read.
func (w *stage) seen(at time.Duration) View {
	v := w.view
	_, gap := w.script.Active(faults.Gap, at)
	_, all := w.script.Active(faults.Agents, at)
	_, stale := w.script.Active(faults.Stale, at)
	// No kubelet reports what is no number or late, so there is nothing then.
	_, bad := w.script.Active(faults.Value, at)
	_, late := w.script.Active(faults.Late, at)
	v.Dark = gap || all || stale || bad || late
	v.Silent = w.silent(at)
	return v
}

func (w *stage) silent(at time.Duration) map[int]bool {
	silent := make(map[int]bool)
	miss, some := w.script.Active(faults.Miss, at)
	agent, lost := w.script.Active(faults.Agent, at)
	for i, r := range w.view.Replicas {
		silent[r.ID] = some && i < int(miss.Number*float64(len(w.view.Replicas))) || lost && r.ID%faults.Nodes < int(agent.Number)
	}
	return silent
}

// tell is what an adapter for a Prometheus answers: the newest sample of the last
// five minutes, in thousandths.
func (w *stage) tell(at time.Duration) {
	_, gap := w.script.Active(faults.Gap, at)
	_, all := w.script.Active(faults.Agents, at)
	then, value := w.past[len(w.past)-1], math.NaN()
	bad, wrong := w.script.Active(faults.Value, at)
	if wrong {
		value = bad.Number
	}
	if f, stale := w.script.Active(faults.Stale, at); stale {
		i := int(f.From/time.Second) - 1
		then, gap = w.past[i], at-f.From > 5*time.Minute
	}
	if f, late := w.script.Active(faults.Late, at); late {
		then = w.past[max(0, len(w.past)-1-int(f.Number))]
	}
	silent := w.silent(at)
	w.hpa.mu.Lock()
	defer w.hpa.mu.Unlock()
	w.hpa.external, w.hpa.custom = nil, make(metrics.PodMetricsInfo)
	if gap {
		return
	}
	if then.Ready > 0 {
		w.hpa.external = []int64{milli(then.Load, value, wrong)}
		if f, two := w.script.Active(faults.Two, at); two {
			w.hpa.external = append(w.hpa.external, milli(then.Load*f.Number, value, wrong))
		}
	}
	for _, r := range then.Replicas {
		if r.Ready.IsZero() || silent[r.ID] || all {
			continue
		}
		w.hpa.custom[podName(r.ID)] = metrics.PodMetric{Timestamp: time.Now(), Window: time.Minute, Value: milli(then.Load/float64(then.Ready), value, wrong)}
	}
}

// milli is a value in thousandths as prometheus-adapter makes it of a float: 0 for
// what is no number, and else what the conversion gives.
func milli(value, instead float64, wrong bool) int64 {
	if wrong {
		value = instead
	}
	if math.IsNaN(value) {
		return 0
	}
	return int64(value * 1000)
}
