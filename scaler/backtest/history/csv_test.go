package history_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/plimsoll-io/plimsoll/scaler/backtest"
	"github.com/plimsoll-io/plimsoll/scaler/backtest/history"
)

func TestAFileIsReadByItsColumns(t *testing.T) {
	nan := math.NaN()
	for name, tt := range map[string]struct {
		text  string
		start string
		step  time.Duration
		want  map[string][]float64
	}{
		"names and times": {
			"time,rps,ready\n2026-11-02T00:00:00Z,1.5,2\n2026-11-02T00:01:00Z,,3\n2026-11-02T01:02:00+01:00,NaN,4\n",
			"2026-11-02T00:00:00Z", time.Minute,
			map[string][]float64{"rps": {1.5, nan, nan}, "ready": {2, 3, 4}},
		},
		"seconds since 1970, without names": {
			"1762041600,7\n1762041610,8\n1762041620,9\n",
			"2025-11-02T00:00:00Z", 10 * time.Second,
			map[string][]float64{"value": {7, 8, 9}},
		},
		"seconds from 0, more columns, comments and spaces": {
			"# made by hand\n\n0, 1, 2\n15, 3, 4\r\n30, 5, \n",
			"1970-01-01T00:00:00Z", 15 * time.Second,
			map[string][]float64{"value": {1, 3, 5}, "value2": {2, 4, nan}},
		},
		"a gap is not zero": {
			"0,1\n10,2\n20,3\n100,4\n110,5\n",
			"1970-01-01T00:00:00Z", 10 * time.Second,
			map[string][]float64{"value": {1, 2, 3, 3, 3, nan, nan, nan, nan, nan, 4, 5}},
		},
		"rows that are not even": {
			"0,1\n11,2\n20,3\n29,4\n",
			"1970-01-01T00:00:00Z", 9 * time.Second,
			map[string][]float64{"value": {1, 2, 3, 4}},
		},
		"a mark of the order of bytes, and quotes": {
			"\ufeff\"time\",\"rps\"\n\"0\",\"1\"\n\"1\",\"2\"\n",
			"1970-01-01T00:00:00Z", time.Second,
			map[string][]float64{"rps": {1, 2}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := history.ReadCSV(strings.NewReader(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Start.Format(time.RFC3339); got != tt.start || f.Step != tt.step {
				t.Errorf("from %s by %v, want %s by %v", got, f.Step, tt.start, tt.step)
			}
			if diff := cmp.Diff(tt.want, f.Columns, cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAMistakeInAFileIsToldWithItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "fewer than two rows",
		"time,rps\n":               "fewer than two rows",
		"0,1\n":                    "fewer than two rows",
		"rps\n":                    "line 1: want a time, a comma and a value",
		"time,rps,rps\n":           "line 1: each column takes a name of its own",
		"time,\n0,1\n1,2":          "line 1: each column takes a name of its own",
		"0,1\n1\n":                 "line 2: 1 values where 2 are meant",
		"0,1\n0,2\n":               "line 2: 0 is not after the time before",
		"0,1\nyesterday,2\n":       `line 2: "yesterday" is no time, write it like 2026-11-21T18:00:00Z`,
		"0,1\n1,many\n":            `line 2: "many" is not a number`,
		"0,1\n-5,2\n":              "line 2: -5 is outside of the years 1970 to 9999",
		"0,1\n1,2\n999999999999,3": "999999999999 is outside",
		"0,1\n1,2\n9999999999,3":   "more than 31622400",
		strings.Repeat("0,", 70):   "line 1: 71 columns, more than 64",
		strings.Repeat("x", 1<<17): "token too long",
	} {
		if f, err := history.ReadCSV(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %+v, %v, want %s", text, f.Names, err, want)
		}
	}
}

func FuzzReadCSV(f *testing.F) {
	for _, text := range []string{
		"time,rps\n0,1\n1,2\n", "0,1\n15,NaN\n30,\n", "2026-11-02T00:00:00Z,1,2\n2026-11-02T00:00:15Z,3,4\n", "0,1\n1e3,Inf\n", "\ufeffa,b\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := history.ReadCSV(strings.NewReader(text))
		if err != nil {
			return
		}
		if file.Step < time.Second || len(file.Names) != len(file.Columns) {
			t.Fatalf("%q: %+v", text, file)
		}
		for _, name := range file.Names {
			if len(file.Columns[name]) == 0 || len(file.Columns[name]) != len(file.Columns[file.Names[0]]) {
				t.Fatalf("%q: column %s has %d values", text, name, len(file.Columns[name]))
			}
		}
		if h, err := file.History(app(t, "{name: rps, source: query, query: x, target: 1}"), nil); err == nil && len(h.Lanes) != 1 {
			t.Fatalf("%q: %+v", text, h)
		}
	})
}

func TestTheColumnsOfAFileAreThoseOfSignals(t *testing.T) {
	read := func(text, signals string, limits map[string]float64) (history.History, error) {
		f, err := history.ReadCSV(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return f.History(app(t, signals), limits)
	}
	const one = "{name: rps, source: query, query: x, target: 10}"
	h, err := read("time,anything,ready\n0,5,2\n60,6,3\n", one, nil)
	if err != nil || len(h.Lanes) != 1 || h.Lanes[0].Signal != "rps" || h.Lanes[0].Good != 10 || len(h.Ready.Values) != 2 || len(h.Desired.Values) != 0 {
		t.Errorf("got %+v, %v", h, err)
	}
	const two = one + ", {source: cpu, target: 50%}"
	h, err = read("time,cpu,ready\n0,5,2\n60,3.9,2\n", two, map[string]float64{"cpu": 2})
	if err != nil || len(h.Lanes) != 1 || len(h.Left) != 1 || h.Left[0].Signal != "rps" {
		t.Fatalf("got %+v, %v", h, err)
	}
	if l := h.Lanes[0]; l.Full != 2 || l.Unit != 2 || l.Good != 1 || l.Kind != backtest.Shared || !l.Load.Censored[0] || !l.Load.Censored[1] {
		t.Errorf("got %+v", l)
	}
	h, err = read("time,rps,cpu\n0,5,2\n60,6,3\n", two, nil)
	if err != nil || len(h.Lanes) != 2 || h.Lanes[1].Full != 1 || len(h.Notes) != 1 || !strings.Contains(h.Notes[0], "--capacity") {
		t.Errorf("got %+v, %v", h, err)
	}
	if _, err = read("time,a,b\n0,5,2\n60,6,3\n", two, nil); err == nil || !strings.Contains(err.Error(), "has a, b: name one rps") {
		t.Errorf("got %v", err)
	}
}

func TestBootIsToldByThoseThatWereReady(t *testing.T) {
	nan := math.NaN()
	load := func(values ...float64) backtest.Load { return backtest.Load{Step: 10 * time.Second, Values: values} }
	for name, tt := range map[string]struct {
		desired, ready backtest.Load
		want           history.Boot
	}{
		"three times": {
			load(1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 4),
			load(1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4),
			history.Boot{Usual: 20 * time.Second, P95: 30 * time.Second, Starts: 3, Step: 10 * time.Second},
		},
		"twice is too few":           {load(1, 2, 2, 3, 3), load(1, 1, 2, 2, 3), history.Boot{}},
		"not where it was overtaken": {load(1, 2, 3, 4, 5, 5), load(1, 1, 1, 1, 1, 5), history.Boot{}},
		"not where it is not known":  {load(1, 2, 2, 3, 3, 4, 4, 5, 5), load(1, nan, 2, nan, 3, nan, 4, nan, 5), history.Boot{}},
		"at once":                    {load(1, 2, 3, 4), load(1, 2, 3, 4), history.Boot{Starts: 3, Step: 10 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := history.History{Desired: tt.desired, Ready: tt.ready}.Boot()
			if got != tt.want || ok != (tt.want.Starts > 0) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
