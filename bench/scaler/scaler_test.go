package scaler

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/backtest"
)

var (
	traceFile = flag.String("trace", "", "file of lines of a time and a rate, to be followed as well")
	perCore   = flag.Float64("per-core", 100, "requests per second of that file that take one core")
	seed      = flag.Uint64("seed", 0, "of the noise in the traces")
	out       = flag.String("out", "", "directory for results.json and results.md")
	more      = flag.String("policy", "", "lines of a policy, separated by |, to be tried beside the defaults")
)

// outage is where the gates do not hold, and why: ours does not shrink before it
// has watched for a whole window after a gap, the HPA does so at once.
var excused = map[string]string{"outage theta_o": "nothing shrinks right after a gap"}

// seasonless are traces whose past has no season, whatever they do later.
var seasonless = []string{"step", "ramp", "quiet"}

// TestPlimsollFollowsCloserThanTheHPA is the benchmark, and its gates.
func TestPlimsollFollowsCloserThanTheHPA(t *testing.T) {
	p := usual()
	all := traces(*seed)
	own := ""
	if *traceFile != "" {
		file, err := readTrace(*traceFile, *perCore)
		if err != nil {
			t.Fatal(err)
		}
		all, own = append(all, file), file.Name
	}
	var r Report
	for _, trace := range all {
		rows := follow(t, p, trace)
		r.Rows = append(r.Rows, rows...)
		hpa, ours, foreseen := rows[0].Scores, rows[1].Scores, rows[2]
		missed := gates(trace.Name, ours, hpa, slices.Contains([]string{"step", "ramp", "flash"}, trace.Name))
		for _, m := range missed {
			if excused[m.Trace+" "+m.Gate] == "" && trace.Name != own {
				t.Errorf("%s: %s is %.2f, the limit is %.2f", m.Trace, m.Gate, m.Ours, m.Limit)
			}
		}
		if len(missed) > 0 {
			r.Missed = append(r.Missed, missed...)
			r.Pareto = append(r.Pareto, pareto(t, p, trace)...)
		}
		if slices.Contains(seasonless, trace.Name) && strings.HasPrefix(foreseen.Says, "forecast on") {
			t.Errorf("%s has no season, and yet: %s", trace.Name, foreseen.Says)
		}
		const most = 1.15 // the default of max_cost
		if foreseen.Scores.ReplicaHours > most*ours.ReplicaHours {
			t.Errorf("%s: a forecast makes %.1f replica-hours of %.1f", trace.Name, foreseen.Scores.ReplicaHours, ours.ReplicaHours)
		}
	}
	var table strings.Builder
	if err := r.Markdown(&table); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + table.String())
	if *out != "" {
		write(t, r, table.String())
	}
}

// follow lets all of them follow a trace: the HPA first, then ours.
func follow(t *testing.T, p Plant, trace Trace) []Row {
	t.Helper()
	start := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	row := func(name string, s backtest.Scores, says string, err error) Row {
		if err != nil {
			t.Fatalf("%s, %s: %v", trace.Name, name, err)
		}
		return Row{trace.Name, name, s, says}
	}
	s, err := hpa(t, p, trace, hpaStabilisation)
	rows := []Row{row(hpaName, s, "", err)}
	s, says, err := p.Ours(start, trace, seesCPU)
	rows = append(rows, row(oursName, s, says, err))
	s, says, err = p.Ours(start, trace, seesCPU, "forecast: {enabled: true}")
	rows = append(rows, row(forecastName, s, says, err))
	s, _, err = p.Ours(start, trace, seesLoad)
	rows = append(rows, row(loadName, s, "", err))
	s, err = p.Run(start, trace, &Knative{plant: p})
	rows = append(rows, row(knativeName, s, "", err))
	s, err = p.Run(start, trace, &Labels{plant: p, max: 0.7, min: 0.3})
	rows = append(rows, row(labelsName, s, "", err))
	if *more != "" {
		s, says, err = p.Ours(start, trace, seesCPU, strings.Split(*more, "|")...)
		rows = append(rows, row(oursName+", "+*more, s, says, err))
	}
	return rows
}

// wishes keeps what an autoscaler asked for.
type wishes struct {
	Autoscaler
	asked []int
}

// Step implements Autoscaler.
func (w *wishes) Step(now time.Time, v View) int {
	n := w.Autoscaler.Step(now, v)
	if n != v.Desired {
		w.asked = append(w.asked, n)
	}
	return n
}

// TestTheHPADoesWhatKubernetesSays holds the cluster around it to what the
// controller is documented to do: twice as many each time, four at least, and back
// when five minutes are over.
func TestTheHPADoesWhatKubernetesSays(t *testing.T) {
	p := usual()
	synctest.Test(t, func(t *testing.T) {
		h := NewHPA(p, hpaStabilisation)
		defer h.Close()
		w := &wishes{Autoscaler: h}
		s, err := p.Run(time.Now(), traces(0)[0], w)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(w.asked); n < 4 || w.asked[0] != 4 || w.asked[1] != 8 || slices.Max(w.asked) != 20 || w.asked[n-1] != 2 {
			t.Errorf("it asked for %v, want 4, 8, … 20 and 2 at the end", w.asked)
		}
		if s.WorstSeconds < 100 || s.WorstSeconds > 300 {
			t.Errorf("it took %.0f s, which neither the interval nor the boot time accounts for", s.WorstSeconds)
		}
	})
}

// hpa lets the HPA follow a trace.
func hpa(t *testing.T, p Plant, trace Trace, window time.Duration) (s backtest.Scores, err error) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		h := NewHPA(p, window)
		defer h.Close()
		s, err = p.Run(time.Now(), trace, h)
	})
	return s, err
}

// pareto is how both of them trade what lacks for what it costs.
func pareto(t *testing.T, p Plant, trace Trace) []Point {
	t.Helper()
	var points []Point
	add := func(name string, window time.Duration, s backtest.Scores, err error) {
		if err != nil {
			t.Fatal(err)
		}
		points = append(points, Point{trace.Name, name, window.Seconds(), s.ThetaU, s.ThetaO, s.ReplicaHours})
	}
	windows := []time.Duration{60 * time.Second, 120 * time.Second, 180 * time.Second, 300 * time.Second, 600 * time.Second}
	for _, w := range windows {
		s, err := hpa(t, p, trace, w)
		add(hpaName, w, s, err)
	}
	for _, w := range windows {
		s, _, err := p.Ours(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), trace, seesCPU, fmt.Sprintf("in: {window: %.0fs}", w.Seconds()))
		add(oursName, w, s, err)
	}
	return points
}

func write(t *testing.T, r Report, table string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(*out, "results.md"), []byte(table), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(*out, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := r.JSON(f); err != nil {
		t.Fatal(err)
	}
}
