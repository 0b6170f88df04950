package scaler

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// postman shows samples to the policies of a scene.
type postman struct {
	mu  sync.Mutex
	all []Watched
}

func (p *postman) take(all []Watched) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = all
}

// deliver tells of a sample that was taken a while ago.
func (p *postman) deliver(ago time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.all {
		w.Arrived(time.Now().Add(-ago))
	}
}

// slow is the policy web with an hour between two ticks.
func slow() policy.App {
	app := holding(policy.Active)
	app.Interval = time.Hour
	return app
}

func TestASampleIsAnsweredWithinATenthOfASecond(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		var post postman
		s := play(t, w, Options{Policies: []policy.App{slow()}, Watch: post.take})
		s.pass(time.Minute + 30*time.Millisecond)
		s.set(75)
		s.pass(10 * time.Second)
		if n := len(s.platform.Writes()); n != 0 {
			t.Fatalf("%d writes before anything came", n)
		}
		came := time.Now()
		post.deliver(300 * time.Millisecond)
		s.pass(coalesce)
		writes := s.platform.Writes()
		if len(writes) != 1 || writes[0].To != 8 || writes[0].At.Sub(came) > coalesce {
			t.Fatalf("writes %+v, want one to 8 within %v", writes, coalesce)
		}
		took := writes[0].At.Sub(came).Seconds()
		if got := s.sum("reaction_seconds", "direction=out,from=arrival"); got != took {
			t.Errorf("reaction from the arrival %v, want %v", got, took)
		}
		if got := s.sum("reaction_seconds", "direction=out,from=sample"); got != took+0.3 {
			t.Errorf("reaction from the sample %v, want %v", got, took+0.3)
		}
		j := s.last()
		if j.Trigger != journal.TriggerSample {
			t.Errorf("trigger %q, want %q", j.Trigger, journal.TriggerSample)
		}
	})
}

func TestAFloodOfSamplesIsNoFloodOfEvaluations(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		var post postman
		s := play(t, w, Options{Policies: []policy.App{slow()}, Watch: post.take})
		s.pass(time.Minute)
		before := s.metric("evaluations_total", "trigger=sample")
		for range 10_000 { // in ten seconds
			post.deliver(0)
			<-time.After(time.Millisecond)
		}
		if n := s.metric("evaluations_total", "trigger=sample") - before; n < 90 || n > 101 {
			t.Errorf("%v evaluations of 10,000 samples in 10 s, want one each 100 ms", n)
		}
	})
}

func TestTheMorePoliciesTheRarerSamplesLeadToAny(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, apps := crowd(200)
		var post postman
		s := play(t, w, Options{Policies: apps, Watch: post.take})
		s.pass(time.Minute)
		before := s.metric("evaluations_total", "trigger=sample")
		for range 20 { // in two seconds
			post.deliver(0)
			<-time.After(100 * time.Millisecond)
		}
		if n := s.metric("evaluations_total", "trigger=sample") - before; n < 1600 || n > 2200 {
			t.Errorf("%v evaluations in 2 s, want about a thousand a second", n)
		}
	})
}

func TestOldSamplesLeadToNothing(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		var post postman
		s := play(t, w, Options{Policies: []policy.App{slow()}, Watch: post.take})
		s.pass(time.Minute)
		post.deliver(10 * time.Minute) // what an agent had kept
		s.pass(time.Minute)
		if n := s.metric("evaluations_total", "trigger=sample"); n != 0 {
			t.Errorf("%v evaluations", n)
		}
	})
}

func TestSamplesOfAPolicyThatIsNoMoreLeadToNothing(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		var post postman
		s := play(t, w, Options{Policies: []policy.App{slow()}, Watch: post.take})
		s.pass(time.Second)
		post.mu.Lock()
		old := slices.Clone(post.all)
		post.mu.Unlock()
		if err := s.scaler.Reload(nil); err != nil {
			t.Fatal(err)
		}
		s.pass(time.Second)
		for _, one := range old {
			one.Arrived(time.Now())
		}
		s.pass(time.Minute)
		if n := s.metric("evaluations_total", "trigger=sample"); n != 0 {
			t.Errorf("%v evaluations", n)
		}
		post.mu.Lock()
		defer post.mu.Unlock()
		if len(post.all) != 0 {
			t.Errorf("still waited for: %d", len(post.all))
		}
	})
}

func TestAPolicyIsNeverEvaluatedTwiceAtATime(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		var post postman
		s := play(t, w, Options{Policies: []policy.App{holding(policy.Active)}, Watch: post.take})
		s.pass(time.Second)
		var mu sync.Mutex
		at, most := 0, 0
		w.spoil(func(ctx context.Context) ([]Sample, error) {
			mu.Lock()
			at++
			most = max(most, at)
			mu.Unlock()
			<-time.After(700 * time.Millisecond)
			mu.Lock()
			at--
			mu.Unlock()
			return []Sample{{At: time.Now(), Value: 20}}, nil
		})
		for range 300 {
			post.deliver(0)
			w.platform.SetUpdating(web, false)
			s.scaler.wake("web")
			<-time.After(100 * time.Millisecond)
		}
		s.end()
		if most != 1 {
			t.Errorf("%d evaluations at a time", most)
		}
	})
}

func TestWhatThePlatformTellsIsSeenAtOnce(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		s := play(t, w, Options{Policies: []policy.App{slow()}})
		s.pass(time.Minute)
		w.platform.Edit(web, 5)
		s.pass(coalesce)
		if e := s.last(); e.Observation.Desired != 5 || e.Trigger != journal.TriggerPlatform {
			t.Errorf("desired %d because of %s, want what someone asked for because the platform told", e.Observation.Desired, e.Trigger)
		}
	})
}

func TestWhileReplicasStartTheyAreLookedAtEachSecond(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		s := play(t, w, Options{Policies: []policy.App{slow()}})
		s.pass(time.Minute)
		w.platform.Edit(web, 5) // they take 20 s
		s.pass(21 * time.Second)
		if e := s.last(); e.Observation.Ready != 5 || e.Trigger != journal.TriggerStarting {
			t.Errorf("%d ready, looked at because of %s", e.Observation.Ready, e.Trigger)
		}
		before := w.platform.Reads()
		s.pass(10 * time.Minute)
		if n := w.platform.Reads() - before; n > 1 {
			t.Errorf("looked at %d times after all were ready", n)
		}
		if boot := s.last().Observation.Boot; boot < 20*time.Second || boot > 21*time.Second {
			t.Errorf("replicas took %v to start, want what they took", boot)
		}
	})
}

func TestReplicasThatNeverComeAreLookedAtEverMoreRarely(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		w.platform.Boot = 100 * 24 * time.Hour
		s := play(t, w, Options{Policies: []policy.App{slow()}})
		s.pass(time.Minute)
		s.set(50)
		w.platform.Edit(web, 5)
		before := w.platform.Reads()
		s.pass(pollPatience)
		if n := w.platform.Reads() - before; n < 58 {
			t.Errorf("looked at %d times in the first minute, want each second", n)
		}
		before = w.platform.Reads()
		s.pass(10 * time.Hour)
		if n := w.platform.Reads() - before; n < 20 || n > 100 {
			t.Errorf("looked at %d times in 10 hours, want some ten", n)
		}
		s.set(75)
		s.scaler.wake("web")
		before = w.platform.Reads()
		s.pass(pollPatience)
		if n := w.platform.Reads() - before; n < 58 {
			t.Errorf("looked at %d times in the minute after another change, want each second", n)
		}
	})
}

func TestAWriteThatIsRefusedIsNotTriedEachSecond(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		s := play(t, w, Options{Policies: []policy.App{slow()}})
		s.pass(time.Minute)
		refused := make([]error, 1000)
		for i := range refused {
			refused[i] = driver.ErrRefused
		}
		w.platform.FailScale(refused...)
		s.set(75)
		s.scaler.wake("web")
		s.pass(10 * time.Minute)
		if n := s.metric("actions_total", "direction=out,policy=web,result=refused"); n != 1 {
			t.Errorf("asked %v times in 10 minutes with an interval of an hour", n)
		}
	})
}

func TestAScheduleCountsFromItsFirstMoment(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		app := slow()
		at := time.Now().Add(17*time.Minute + 300*time.Millisecond)
		app.Schedules = []policy.Schedule{{Name: "sale", At: at, Duration: 10 * time.Minute, Floor: 6}}
		s := play(t, w, Options{Policies: []policy.App{app}})
		s.pass(time.Until(at) - time.Millisecond)
		if n := len(w.platform.Writes()); n != 0 {
			t.Fatalf("%d writes before it begins", n)
		}
		s.pass(time.Millisecond)
		if e := s.last(); s.replicas() != 6 || e.Trigger != journal.TriggerSchedule {
			t.Errorf("%d replicas as it begins, last evaluated because of %s", s.replicas(), e.Trigger)
		}
	})
}

func TestAPolicyIsEvaluatedWhenItIsWoken(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		s := play(t, w, Options{Policies: []policy.App{slow()}})
		s.pass(time.Minute)
		s.set(75)
		s.scaler.wake("web")
		s.scaler.wake("nobody")
		s.pass(0)
		if e := s.last(); s.replicas() != 8 || e.Trigger != journal.TriggerPolicy {
			t.Errorf("%d replicas, last evaluated because of %s", s.replicas(), e.Trigger)
		}
	})
}

// deaf is a platform that can be listened to for a moment only.
type deaf struct {
	driver.Driver
	heard int
}

func (d *deaf) Watch(ctx context.Context, changed func(driver.Workload)) error {
	d.heard++
	changed(driver.Workload{})
	select {
	case <-time.After(time.Second):
		return errors.New("stream ended")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestAPlatformThatCannotBeListenedToIsTriedAgainMoreAndMoreRarely(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		d := &deaf{Driver: &w.platform}
		s, err := New(Options{Policies: []policy.App{slow()}, Query: w, Drivers: map[string]driver.Driver{"fake": d}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
		if d.heard < 15 || d.heard > 30 {
			t.Errorf("listened to %d times in 10 minutes, want each half a minute in the end", d.heard)
		}
	})
}

func TestTimesOfAGridAreOfTheClockOnTheWall(t *testing.T) {
	for after, want := range map[time.Duration]time.Duration{
		0:                      0,
		time.Millisecond:       100 * time.Millisecond,
		199 * time.Millisecond: 200 * time.Millisecond,
	} {
		if got := up(noon.Add(after), coalesce).Sub(noon); got != want {
			t.Errorf("after %v comes %v, want %v", after, got, want)
		}
	}
}

func TestWhatStoodInTheWayIsCounted(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		s := play(t, w, Options{Policies: []policy.App{holding(policy.Advise)}})
		s.set(75)
		s.pass(10 * time.Second)
		if got, ticks := s.metric("gates_total", "gate=advise,policy=web"), s.metric("ticks_total", "policy=web"); got != ticks-1 && got != ticks {
			t.Errorf("advise counted %v times in %v decisions", got, ticks)
		}
	})
}

func TestPoliciesOfOneIntervalComeTogether(t *testing.T) {
	for interval, most := range map[time.Duration]time.Duration{
		200 * time.Millisecond:  50 * time.Millisecond,
		time.Second:             time.Second / 2,
		1500 * time.Millisecond: 50 * time.Millisecond,
		2 * time.Second:         time.Second,
		3 * time.Second:         time.Second / 2,
		time.Hour:               time.Second,
	} {
		for began := time.Duration(0); began < 2*time.Second; began += 130 * time.Millisecond {
			m := &member{app: policy.App{Interval: interval}, last: noon.Add(began)}
			m.plan(m.last, m.last, 0)
			if off := m.beat.Sub(m.last) - interval; off < -most || off > most {
				t.Errorf("interval %v: the next beat is %v late, want at most %v", interval, off, most)
			}
			m.last = m.beat
			m.plan(m.last, m.last, 0)
			if got := m.beat.Sub(m.last); got != interval {
				t.Errorf("interval %v: beats are %v apart", interval, got)
			}
		}
	}
}
