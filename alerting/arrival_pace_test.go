package alerting

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// paced runs a group whose evaluations take so long, and counts them.
func paced(t *testing.T, took time.Duration, deeds func(p *pace, evaluations, deferred *atomic.Int64)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		ctx, cancel := context.WithCancel(t.Context())
		var evaluations, deferred atomic.Int64
		go func() {
			for {
				if _, ok := p.next(ctx, func() { deferred.Add(1) }); !ok {
					return
				}
				evaluations.Add(1)
				p.begin(time.Now())
				<-time.After(took)
				p.spend(took)
				p.await(time.Time{})
			}
		}()
		deeds(p, &evaluations, &deferred)
		cancel()
		pass(took)
	})
}

// pass lets time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestCrossingsThatComeTogetherAreOneEvaluation(t *testing.T) {
	paced(t, time.Millisecond, func(p *pace, evaluations, _ *atomic.Int64) {
		for range 5 {
			p.cross(time.Now())
			pass(gap / 5)
		}
		if evaluations.Load() != 0 {
			t.Errorf("%d evaluations while samples still come", evaluations.Load())
		}
		pass(gap)
		if evaluations.Load() != 1 {
			t.Errorf("%d evaluations, want 1", evaluations.Load())
		}
		pass(time.Minute)
		if evaluations.Load() != 1 {
			t.Errorf("%d evaluations though nothing more crossed", evaluations.Load())
		}
	})
}

func TestCrossingsThatDoNotEndAreNotWaitedFor(t *testing.T) {
	paced(t, time.Millisecond, func(p *pace, evaluations, _ *atomic.Int64) {
		for range 1000 {
			p.cross(time.Now())
			pass(time.Millisecond)
		}
		if n := evaluations.Load(); n < 15 || n > 20 {
			t.Errorf("%d evaluations in a second of crossings, want one each 50 ms", n)
		}
	})
}

func TestWhatCrossesDuringAnEvaluationIsEvaluatedAgain(t *testing.T) {
	paced(t, 100*time.Millisecond, func(p *pace, evaluations, _ *atomic.Int64) {
		p.cross(time.Now())
		pass(50 * time.Millisecond)
		p.cross(time.Now())
		pass(time.Second)
		if evaluations.Load() != 2 {
			t.Errorf("%d evaluations, want 2", evaluations.Load())
		}
	})
}

func TestAGroupThatFlapsTakesNoMoreThanItsShare(t *testing.T) {
	const took = 100 * time.Millisecond
	paced(t, took, func(p *pace, evaluations, deferred *atomic.Int64) {
		for range 60_000 {
			p.cross(time.Now())
			pass(10 * time.Millisecond)
		}
		spent, most := time.Duration(evaluations.Load())*took, allowance+time.Duration(share*float64(10*time.Minute))+took
		if spent > most || spent < most/2 {
			t.Errorf("%v spent in ten minutes, want at most %v and not much less", spent, most)
		}
		if deferred.Load() == 0 {
			t.Error("it is not counted")
		}
		pass(10 * time.Minute) // it saves, and is at once again
		before := evaluations.Load()
		p.cross(time.Now())
		pass(gap)
		if evaluations.Load() != before+1 {
			t.Error("a group that was calm for long has to wait")
		}
	})
}

func TestASampleOfTheNextMomentIsWaitedFor(t *testing.T) {
	paced(t, time.Millisecond, func(p *pace, evaluations, _ *atomic.Int64) {
		p.cross(time.Now().Add(900 * time.Millisecond))
		pass(899 * time.Millisecond)
		if evaluations.Load() != 0 {
			t.Error("evaluated before the engine sees it")
		}
		pass(time.Millisecond)
		if evaluations.Load() != 1 {
			t.Errorf("%d evaluations when the engine sees it", evaluations.Load())
		}
		p.cross(time.Now().Add(time.Hour)) // a clock that is wrong
		pass(time.Minute)
		if evaluations.Load() != 2 {
			t.Errorf("%d evaluations, want one for a sample far ahead", evaluations.Load())
		}
	})
}

func TestAnAlertThatHasWaitedIsEvaluatedThen(t *testing.T) {
	paced(t, time.Millisecond, func(p *pace, evaluations, _ *atomic.Int64) {
		p.await(time.Now().Add(time.Minute))
		pass(time.Minute - time.Millisecond)
		if evaluations.Load() != 0 {
			t.Error("evaluated too early")
		}
		pass(time.Millisecond)
		if evaluations.Load() != 1 {
			t.Errorf("%d evaluations, want 1", evaluations.Load())
		}
	})
}
