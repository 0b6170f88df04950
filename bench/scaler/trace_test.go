package scaler

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func load(t *testing.T, text string) (Trace, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shop.txt")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return readTrace(path, 100)
}

func TestATraceIsReadFromAFile(t *testing.T) {
	for name, text := range map[string]string{
		"seconds":         "# time and rate\n0 100\n60 200\n",
		"since 1970":      "1700000000 100\n1700000060 200\n",
		"RFC 3339":        "2026-11-21T20:00:00Z,100\n2026-11-21T20:01:00Z,200\n",
		"tabs and blanks": "\n0\t100\n\n60 ; 200 # the end\n",
	} {
		t.Run(name, func(t *testing.T) {
			trace, err := load(t, text)
			if err != nil {
				t.Fatal(err)
			}
			if trace.Name != "shop" || trace.Length != time.Minute {
				t.Errorf("%s of %s, want shop of a minute", trace.Name, trace.Length)
			}
			for at, want := range map[time.Duration]float64{0: 1, 30 * time.Second: 1.5, time.Minute: 2, time.Hour: 2} {
				if got := trace.Load(at); math.Abs(got-want) > 1e-9 {
					t.Errorf("%v cores at %s, want %v", got, at, want)
				}
			}
		})
	}
}

func TestALineThatCannotBeReadIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"0 1\n1":      "shop.txt:2: 1 fields",
		"0 1\nx 2":    `shop.txt:2: time "x"`,
		"0 1\n1 -2":   `shop.txt:2: rate "-2"`,
		"0 1\n1 NaN":  `shop.txt:2: rate "NaN"`,
		"0 1\nNaN 1":  `shop.txt:2: time "NaN"`,
		"5 1\n5 2":    "shop.txt:2: the time is not after",
		"5 1":         "two lines at least",
		"0 1\n1e99 1": "shop.txt:2: ",
	} {
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
}

func TestTheSameSeedMakesTheSameTraces(t *testing.T) {
	differ := false
	for i, a := range traces(1) {
		b, c := traces(1)[i], traces(2)[i]
		for at := -a.Past; at < a.Length; at += 997 * time.Second {
			x, y := a.Load(at), b.Load(at)
			if x != y || !(x > 0) || x > 100 {
				t.Fatalf("%s at %s: %v and %v cores", a.Name, at, x, y)
			}
			differ = differ || x != c.Load(at)
		}
	}
	if !differ {
		t.Error("another seed makes the same traces")
	}
}

// FuzzTrace holds that whatever can be read can be followed.
func FuzzTrace(f *testing.F) {
	f.Add("0 100\n60 200\n")
	f.Add("2026-11-21T20:00:00Z,100\n2026-11-21T20:01:00Z,200\n")
	f.Fuzz(func(t *testing.T, text string) {
		trace, err := load(t, text)
		if err != nil {
			return
		}
		for _, at := range []time.Duration{0, time.Second, trace.Length / 2, trace.Length} {
			if cores := trace.Load(at); !(cores >= 0) || math.IsInf(cores, 0) {
				t.Errorf("%v cores at %s", cores, at)
			}
		}
	})
}
