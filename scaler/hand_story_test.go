package scaler

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

func TestAPauseHoldsOverARestartAndEndsByItself(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		opts := Options{Policies: []policy.App{holding(policy.Active)}, HandFile: filepath.Join(t.TempDir(), "hand.json")}
		s := play(t, w, opts)
		s.pass(time.Minute)
		decodeAnswer(t, post(s.scaler, PausePath, `{"policy":"web","for":"30m","reason":"load test"}`, nil))
		s.set(100)
		s.pass(10 * time.Minute)
		if n := len(s.platform.Writes()); n != 0 {
			t.Fatalf("%d writes in a pause", n)
		}
		if got := s.metric("paused", "direction=out,policy=web"); got != 1 {
			t.Errorf("paused %v", got)
		}
		s.end()
		s = play(t, w, opts)
		s.pass(18 * time.Minute)
		if n := len(s.platform.Writes()); n != 0 {
			t.Fatalf("%d writes in a pause, after a restart", n)
		}
		s.pass(2 * time.Minute)
		if s.replicas() != 10 {
			t.Errorf("%d replicas when the pause is over, want 10: %s", s.replicas(), s.last().Decision.Why())
		}
	})
}

func TestAPauseOneWayLetsTheOtherBe(t *testing.T) {
	stage(t, 4, func(t *testing.T, w *world) {
		s := play(t, w, Options{Policies: []policy.App{holding(policy.Active)}})
		s.pass(time.Minute)
		decodeAnswer(t, post(s.scaler, PausePath, `{"policy":"web","direction":"in","for":"1h","reason":"sale"}`, nil))
		s.set(80)
		s.pass(time.Minute)
		if s.replicas() != 8 {
			t.Errorf("%d replicas, want 8: it may grow", s.replicas())
		}
		s.set(10)
		s.pass(30 * time.Minute)
		if s.replicas() != 8 {
			t.Errorf("%d replicas, want 8: nothing shrinks", s.replicas())
		}
		decodeAnswer(t, post(s.scaler, ResumePath, `{"policy":"web","reason":"over"}`, nil))
		s.pass(time.Hour)
		if s.replicas() != 1 {
			t.Errorf("%d replicas an hour after it went on, want 1: %s", s.replicas(), s.last().Decision.Why())
		}
	})
}

func TestAnOverrideLiftsAtOnceAndLetsGo(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		s := play(t, w, Options{Policies: []policy.App{holding(policy.Active)}})
		s.pass(time.Minute)
		decodeAnswer(t, post(s.scaler, OverridePath, `{"policy":"web","floor":10,"for":"30m","reason":"sale"}`, nil))
		s.pass(time.Second)
		if s.replicas() != 10 {
			t.Errorf("%d replicas, want the floor of 10 before the next tick is due: %s", s.replicas(), s.last().Decision.Why())
		}
		s.pass(29 * time.Minute)
		if s.replicas() != 10 {
			t.Errorf("%d replicas within the override", s.replicas())
		}
		s.pass(time.Hour)
		if s.replicas() != 2 {
			t.Errorf("%d replicas an hour after it, want 2: %s", s.replicas(), s.last().Decision.Why())
		}
	})
}
