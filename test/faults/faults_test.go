// Package faults plays the fault scripts of scaler/testdata to the whole way of a
// decision: samples in the store, PromQL, the scaler's loop, and a platform with
// state, in virtual time.
package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/plimsoll-io/plimsoll/internal/faults"
)

const folder = "../../scaler/testdata/faults"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripts are all there are.
func scripts(t *testing.T) []*faults.Script {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var all []*faults.Script
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := faults.Parse(strings.TrimSuffix(filepath.Base(path), ".txt"), string(text))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if len(all) < 20 {
		t.Fatalf("%d scripts in %s, want 20 at least", len(all), folder)
	}
	return all
}

func TestNoFaultShrinksWhatIsNeededOrGrowsWithoutEnd(t *testing.T) {
	for _, s := range scripts(t) {
		for _, signal := range s.Signals {
			t.Run(fmt.Sprintf("%s/%s", s.Name, signal), func(t *testing.T) {
				t.Parallel()
				w := play(t, s, signal, false)
				v := s.Judge(w.changes)
				for _, c := range v.In {
					t.Errorf("wrong scale-in: %s, the load takes %d; %s", c, faults.Need(s.Cores(c.At)), w.why[c])
				}
				for _, c := range v.Out {
					t.Errorf("runaway: %s, the load takes %d; %s", c, faults.Need(s.Cores(c.At)), w.why[c])
				}
				// One that never does anything would pass all of the above.
				if need := faults.Need(s.Cores(s.Length)); w.desired < need && !w.crashed {
					t.Errorf("%d replicas at the end, the load takes %d: %s", w.desired, need, w.last)
				}
				t.Logf("%v, %d at the end", w.changes, w.desired)
			})
		}
	}
}

// What a person adds is not taken away before a whole in window of the policy, which
// is the default, has passed.
func TestWhatAPersonAddsStaysForAWindow(t *testing.T) {
	const window = 220 * time.Second
	for _, s := range scripts(t) {
		if s.Name != "manual" {
			continue
		}
		more := s.Faults[len(s.Faults)-1] // far too many
		for _, signal := range s.Signals {
			t.Run(string(signal), func(t *testing.T) {
				t.Parallel()
				w := play(t, s, signal, false)
				in := slices.IndexFunc(w.changes, func(c faults.Change) bool { return c.At >= more.From && c.To < c.From })
				if in < 0 {
					t.Fatalf("%v: nothing of it ever goes", w.changes)
				}
				if c := w.changes[in]; c.At < more.From+window {
					t.Errorf("%s, %v after a person asked for so many; %s", c, c.At-more.From, w.why[c])
				}
			})
		}
		return
	}
	t.Fatal("no such script")
}

// The scripts are worth nothing if one that takes nothing for zero passes them.
func TestOneThatTakesNothingForZeroIsFound(t *testing.T) {
	for _, s := range scripts(t) {
		if s.Name != "gap" && s.Name != "nan" {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			w := play(t, s, faults.Total, true)
			if v := s.Judge(w.changes); len(v.In) == 0 {
				t.Errorf("no wrong scale-in among %v", w.changes)
			}
		})
	}
}
