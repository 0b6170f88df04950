package faults

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestAScriptSaysWhatGoesWrong(t *testing.T) {
	s, err := Parse("gap", `
# All is dark.
signal cpu total
replicas 8   # of one core
0s   load 3.6
90s  load 1
6m   value nan 5m
7m   manual 3
2m   gap 30s
18m  end
`)
	if err != nil {
		t.Fatal(err)
	}
	want := &Script{
		Name: "gap", About: "All is dark.", Signals: []Signal{CPU, Total}, Replicas: 8, Length: 18 * time.Minute,
		Loads: []Load{{0, 3.6}, {90 * time.Second, 1}},
		Faults: []Fault{
			{Gap, 0, 2 * time.Minute, 150 * time.Second},
			{Value, math.NaN(), 6 * time.Minute, 11 * time.Minute},
			{Manual, 3, 7 * time.Minute, 7 * time.Minute},
		},
	}
	if diff := cmp.Diff(want, s, cmpopts.EquateNaNs()); diff != "" {
		t.Error(diff)
	}
	if a, b := s.Cores(89*time.Second), s.Cores(90*time.Second); a != 3.6 || b != 1 {
		t.Errorf("%v and %v cores, want 3.6 and 1", a, b)
	}
	_, before := s.Active(Gap, 149*time.Second)
	_, after := s.Active(Gap, 150*time.Second)
	if !before || after {
		t.Errorf("the gap is on before its end: %v, after: %v", before, after)
	}
}

func TestAllMistakesOfAScriptAreNamed(t *testing.T) {
	_, err := Parse("bad", "signal gpu\nreplicas 0\n0s load -1\n1m gap\n1m miss 2 5m\n1m flood 3m\n1m reset 3m\nnever end\n1m value x 5m\n")
	if err == nil {
		t.Fatal("no error")
	}
	for line, want := range []string{
		`bad:1: signal "gpu"`, `bad:2: replicas "0"`, `bad:3: load "-1"`, "bad:4: gap takes the time", `bad:5: miss "2": 0 to 1`,
		`bad:6: "flood" is no fault`, `bad:7: reset takes no "3m"`, `bad:8: "never" is neither`, `bad:9: value "x"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("line %d: no %q in\n%v", line+1, want, err)
		}
	}
	for text, want := range map[string]string{
		"signal cpu\nreplicas 1\n0s load 1":             "no end",
		"signal cpu\nreplicas 1\n1s load 1\n2s end":     "no load at 0s",
		"signal cpu\n0s load 1\n2s end":                 "no replicas",
		"replicas 1\n0s load 1\n2s end":                 "no signal",
		"signal cpu\nreplicas 1\n2s end\n3s end":        "ends once",
		"signal cpu cpu\nreplicas 1\n0s load 1\n1s end": "each once",
	} {
		if _, err := Parse("bad", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestTheJudge(t *testing.T) {
	script, err := Parse("case", "signal cpu\nreplicas 8\n0s load 3.6\n10m load 1\n5m gap 2m\n20m end")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change  Change
		in, out int
	}{
		"to what the load takes":          {Change{15 * time.Minute, 8, 2}, 0, 0},
		"below what the load takes":       {Change{3 * time.Minute, 8, 7}, 1, 0},
		"down while all is dark":          {Change{6 * time.Minute, 12, 10}, 1, 0},
		"down when all is light again":    {Change{8 * time.Minute, 12, 10}, 0, 0},
		"up to twice what the load takes": {Change{3 * time.Minute, 8, 16}, 0, 0},
		"up beyond that":                  {Change{3 * time.Minute, 8, 17}, 0, 1},
		"up beyond it from little":        {Change{15 * time.Minute, 1, 5}, 0, 1},
		"up by a reading under way":       {Change{10*time.Minute + 20*time.Second, 8, 16}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if v := script.Judge([]Change{tt.change}); len(v.In) != tt.in || len(v.Out) != tt.out {
				t.Errorf("%d wrong in, %d wrong out, want %d and %d", len(v.In), len(v.Out), tt.in, tt.out)
			}
		})
	}
}

func TestAScriptIsNeverReadHalf(t *testing.T) {
	paths, err := filepath.Glob("../../scaler/testdata/faults/*.txt")
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d scripts, error %v", len(paths), err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Parse(filepath.Base(path), string(text))
		if err != nil {
			t.Error(err)
			continue
		}
		if s.About == "" {
			t.Errorf("%s does not say what it is about", path)
		}
		if last := s.Faults[len(s.Faults)-1]; last.To+2*time.Minute > s.Length {
			t.Errorf("%s ends %s after its last fault, which is too soon to see what comes of it", path, s.Length-last.To)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("# x\nsignal cpu\nreplicas 8\n0s load 3.6\n6m value +inf 6m\n18m end\n")
	f.Add("signal total average\nreplicas 100\n0s load 0\n0s late 3600 24h\n1ns end\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("fuzz", text)
		if err != nil {
			return
		}
		if s.Length <= 0 || s.Replicas < 1 || len(s.Loads) == 0 || len(s.Signals) == 0 {
			t.Errorf("half a script: %+v", s)
		}
		s.Judge([]Change{{0, 8, 1}, {s.Length, 1, 100}})
	})
}
