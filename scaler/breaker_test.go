package scaler

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// fleet is what is known of agents, in a test's hand.
type fleet struct {
	mu    sync.Mutex
	heard int
	gone  map[string]time.Time
}

func (f *fleet) Lost(node string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.gone[node].IsZero()
}

func (f *fleet) Agents() (heard int, lost []time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, at := range f.gone {
		lost = append(lost, at)
	}
	return f.heard, lost
}

func (f *fleet) lose(nodes ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, node := range nodes {
		if f.gone == nil {
			f.gone = map[string]time.Time{}
		}
		f.gone[node] = time.Now()
		f.heard--
	}
}

func (f *fleet) back() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard += len(f.gone)
	f.gone = nil
}

// judged is a breaker and its clock.
type judged struct {
	*breaker
	now time.Time
}

// pass lets seconds go by.
func (j *judged) pass(d time.Duration) string {
	for end := j.now.Add(d); j.now.Before(end); {
		j.now = j.now.Add(time.Second)
		j.tick(j.now)
	}
	_, why := j.tick(j.now)
	return why
}

// report makes policies from one number to another lose their data, or find it.
func (j *judged) report(from, to int, lose bool) {
	for i := from; i < to; i++ {
		j.see(fmt.Sprint("p", i), map[bool]vision{true: blind, false: sees}[lose], j.now)
	}
}

func TestDataThatManyLoseAtOnceFreezesAll(t *testing.T) {
	j := &judged{newBreaker(nil, brokenFile{}), noon}
	j.report(0, 10, false)
	j.report(0, 2, true)
	if why := j.pass(30 * time.Second); why != "" {
		t.Fatalf("frozen by two of ten: %s", why)
	}
	j.report(2, 3, true)
	if why := j.see("p9", sees, j.now); why != "3 of 10 policies lost their data at once" {
		t.Fatalf("another policy is told %q, want that it is frozen", why)
	}
	if why := j.pass(time.Hour); why == "" {
		t.Error("thawed while the data is still lost")
	}
	j.report(0, 3, false)
	if why := j.pass(breakSettle - 2*time.Second); why == "" {
		t.Error("thawed before the data has settled")
	}
	if why := j.pass(5 * time.Second); why != "" {
		t.Errorf("frozen a minute after all came back: %s", why)
	}
}

func TestDataThatIsLostOneByOneFreezesNothing(t *testing.T) {
	j := &judged{newBreaker(nil, brokenFile{}), noon}
	j.report(0, 10, false)
	for i := range 10 {
		j.report(i, i+1, true)
		if why := j.pass(45 * time.Second); why != "" {
			t.Fatalf("frozen as the %dth is lost: %s", i+1, why)
		}
	}
}

func TestWorkloadsThatAreTakenAwayWhileBlindDoNotFreezeTheRestForGood(t *testing.T) {
	j := &judged{newBreaker(nil, brokenFile{}), noon}
	j.report(0, 9, false)
	j.report(0, 3, true)
	j.pass(time.Minute)
	for i := range 3 {
		j.see(fmt.Sprint("p", i), unknown, j.now)
	}
	if why := j.pass(breakForget - time.Minute); why == "" {
		t.Error("thawed before it is plain that they are gone")
	}
	if why := j.pass(time.Minute + breakSettle + 5*time.Second); why != "" {
		t.Errorf("frozen by workloads that are no more: %s", why)
	}
	// Back, and blind as they were: that is no loss of now.
	j.report(0, 3, true)
	if why := j.pass(time.Minute); why != "" {
		t.Errorf("frozen by policies that came back without data: %s", why)
	}
}

func TestAWorkloadThatIsAwayForAMomentStillCounts(t *testing.T) {
	j := &judged{newBreaker(nil, brokenFile{}), noon}
	j.report(0, 9, false)
	j.report(0, 3, true)
	for range 10 { // as it crashes, and starts anew
		for i := range 3 {
			j.see(fmt.Sprint("p", i), unknown, j.now)
		}
		j.pass(breakForget / 2)
		j.report(0, 3, true)
		if why := j.pass(time.Minute); why == "" {
			t.Fatal("thawed while the data is lost")
		}
	}
}

func TestALossDoesNotCountForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{heard: 6}
		j := &judged{newBreaker(f, brokenFile{}), time.Now()}
		j.report(0, 9, false)
		j.report(0, 3, true)
		f.lose("n1", "n2")
		if why := j.pass(breakMost - time.Minute); why == "" {
			t.Error("thawed while losses count")
		}
		if why := j.pass(time.Minute + breakSettle + 5*time.Second); why != "" {
			t.Errorf("frozen by what was lost long ago: %s", why)
		}
	})
}

func TestFewPoliciesThatAreBrokenFreezeNothing(t *testing.T) {
	for name, sizes := range map[string][2]int{"one of one": {1, 1}, "one of two": {1, 2}, "both of two": {2, 2}, "two of three": {2, 3}} {
		j := &judged{newBreaker(nil, brokenFile{}), noon}
		j.report(0, sizes[1], false)
		j.report(0, sizes[0], true)
		if why := j.pass(time.Minute); why != "" {
			t.Errorf("%s: %s", name, why)
		}
	}
}

func TestPoliciesThatNeverHadDataLoseNone(t *testing.T) {
	j := &judged{newBreaker(nil, brokenFile{}), noon}
	j.report(0, 10, true)
	if why := j.pass(time.Minute); why != "" {
		t.Error(why)
	}
}

func TestAgentsThatAreLostAtOnceFreezeAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{heard: 6}
		j := &judged{newBreaker(f, brokenFile{}), time.Now()}
		wait := func(d time.Duration) string { <-time.After(d); return j.pass(d) }
		f.lose("n1")
		if why := wait(2 * time.Minute); why != "" {
			t.Fatalf("frozen by one of six: %s", why)
		}
		f.lose("n2")
		if why := wait(2 * time.Minute); why != "" {
			t.Fatalf("frozen by one more, minutes later: %s", why)
		}
		f.lose("n3", "n4")
		if why := wait(time.Second); why != "2 of 4 agents were lost at once" {
			t.Fatalf("told %q", why)
		}
		f.back()
		if why := wait(breakSettle + 5*time.Second); why != "" {
			t.Errorf("frozen after they came back: %s", why)
		}
	})
}

func TestAFrostOutlivesARestart(t *testing.T) {
	j := &judged{newBreaker(nil, brokenFile{}), noon}
	j.report(0, 5, false)
	j.report(0, 4, true)
	j.pass(10 * time.Second)

	file := filepath.Join(t.TempDir(), "state.json")
	m := openMemory(file, quiet)
	m.breaks(j.file())
	if err := m.end(); err != nil {
		t.Fatal(err)
	}
	was := openMemory(file, quiet).broken
	if diff := cmp.Diff(j.file(), was); diff != "" {
		t.Fatal(diff)
	}
	again := &judged{newBreaker(nil, was), j.now}
	again.report(0, 5, true) // still
	if why := again.pass(time.Hour); !strings.Contains(why, "4 of 5") {
		t.Errorf("after the restart told %q", why)
	}
	again.report(0, 5, false)
	if why := again.pass(breakSettle + 5*time.Second); why != "" {
		t.Errorf("frozen after all came back: %s", why)
	}
}

func TestWhatDoesNotRunHasNoDataToLose(t *testing.T) {
	gone := []decide.Reading{{Err: "no container is heard"}}
	for name, tt := range map[string]struct {
		o    decide.Observation
		want vision
	}{
		"all is well":                {decide.Observation{Desired: 2, Ready: 2, Signals: []decide.Reading{{}}}, sees},
		"the data is gone":           {decide.Observation{Desired: 2, Ready: 2, Signals: gone}, blind},
		"scaled to zero":             {decide.Observation{Signals: gone}, unknown},
		"none is up":                 {decide.Observation{Desired: 2, Starting: 2, Signals: gone}, unknown},
		"the platform does not tell": {decide.Observation{Err: "refused", Signals: []decide.Reading{{}}}, unknown},
	} {
		if got := sight(tt.o); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	j := &judged{newBreaker(nil, brokenFile{}), noon}
	j.report(0, 10, false)
	for i := range 10 {
		j.see(fmt.Sprint("p", i), unknown, j.now)
	}
	if why := j.pass(time.Minute); why != "" {
		t.Errorf("frozen by workloads that do not run: %s", why)
	}
}

func TestAPolicyThatIsRemovedDoesNotFreezeTheRest(t *testing.T) {
	j := &judged{newBreaker(nil, brokenFile{}), noon}
	j.report(0, 6, false)
	j.report(0, 3, true)
	j.pass(time.Second)
	stay := []policy.App{{Name: "p3"}, {Name: "p4"}, {Name: "p5"}}
	j.retain(stay, j.now)
	if why := j.pass(breakForget - time.Minute); why == "" {
		t.Error("thawed at once, though it may only be that labels were not read yet")
	}
	if why := j.pass(time.Minute + breakSettle + 5*time.Second); why != "" {
		t.Error(why)
	}
	j.retain(stay, j.now)
	if n := len(j.policies); n != 3 {
		t.Errorf("%d policies are remembered, want 3", n)
	}
}

// TestNothingShrinksWhileTheDataOfManyIsLost plays it whole: the load of all falls,
// and a third of the policies goes blind before the window is over.
func TestNothingShrinksWhileTheDataOfManyIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, apps := crowd(9)
		for i := range 3 {
			apps[i].Signals[0].Query = "load"
		}
		for i := 3; i < 9; i++ {
			apps[i].Signals[0].Query = "other"
		}
		s := play(t, w, Options{Policies: apps})
		s.pass(10 * time.Minute)
		s.set(5)
		s.pass(time.Minute)
		w.spoil(func(context.Context) ([]Sample, error) { return nil, errors.New("gone") }) // for "load"
		s.pass(20 * time.Minute)
		if writes := w.platform.Writes(); len(writes) > 0 {
			t.Fatalf("shrank while the data of a third was lost: %+v", writes)
		}
		if s.metric("frozen", "") != 1 {
			t.Error("the metric does not say so")
		}
		for _, p := range s.scaler.Policies() {
			if why := p.Last.Observation.Frozen; why != "3 of 9 policies lost their data at once" {
				t.Errorf("%s: %q", p.Policy.Name, why)
			}
		}
		s.set(5)
		s.pass(breakSettle + 6*time.Minute)
		if len(w.platform.Writes()) < 9 || s.metric("frozen", "") != 0 {
			t.Errorf("%d writes after the data came back, want all to shrink: %s", len(w.platform.Writes()), s.last().Decision.Why())
		}
	})
}
