package stream

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

func TestOnlyWhatIsAllowedIsInForce(t *testing.T) {
	burst := func(name string, ms uint32) *plimsollv1.Burst {
		return &plimsollv1.Burst{Container: name, ResolutionMs: ms, RemainingS: 60}
	}
	tests := map[string]struct {
		opts     SettingsOptions
		want     *plimsollv1.Settings
		slowdown uint64
		web      time.Duration // resolution of the container of that name
		refused  []string      // what is said of each part that is refused
	}{
		"nothing":                      {want: &plimsollv1.Settings{}, slowdown: 1},
		"no settings at all":           {slowdown: 1},
		"slower":                       {want: &plimsollv1.Settings{Slowdown: 3}, slowdown: 3},
		"slower than the default":      {want: &plimsollv1.Settings{Slowdown: 5}, slowdown: 4, refused: []string{"operator allows 4"}},
		"slower than the operator":     {opts: SettingsOptions{MaxSlowdown: 1}, want: &plimsollv1.Settings{Slowdown: 2}, slowdown: 1, refused: []string{"operator allows 1"}},
		"slower than makes sense":      {opts: SettingsOptions{MaxSlowdown: 1000}, want: &plimsollv1.Settings{Slowdown: 61}, slowdown: 1, refused: []string{"slowdown 61: allowed are 1 to 60"}},
		"a burst":                      {want: &plimsollv1.Settings{Bursts: []*plimsollv1.Burst{burst("db", 500), burst("web", 200)}}, slowdown: 1, web: 200 * time.Millisecond},
		"a burst faster than allowed":  {want: &plimsollv1.Settings{Bursts: []*plimsollv1.Burst{burst("web", 20)}}, slowdown: 1, web: 100 * time.Millisecond, refused: []string{"operator allows 100ms"}},
		"a burst faster than sensible": {want: &plimsollv1.Settings{Slowdown: 2, Bursts: []*plimsollv1.Burst{burst("web", 9)}}, slowdown: 2, refused: []string{`"web": resolution 9ms`}},
		"a burst slower than a tick":   {want: &plimsollv1.Settings{Bursts: []*plimsollv1.Burst{burst("web", 1001)}}, slowdown: 1, refused: []string{"1.001s"}},
		"a burst of nobody":            {want: &plimsollv1.Settings{Bursts: []*plimsollv1.Burst{burst("", 100)}}, slowdown: 1, refused: []string{"1 to 4096 bytes"}},
		"a burst that is over":         {want: &plimsollv1.Settings{Bursts: []*plimsollv1.Burst{{Container: "web", ResolutionMs: 100}}}, slowdown: 1},
		"more bursts than there is room for": {
			want: &plimsollv1.Settings{Bursts: slices.Repeat([]*plimsollv1.Burst{burst("web", 100)}, 65)}, slowdown: 1, web: 100 * time.Millisecond,
			refused: []string{"65 bursts"},
		},
		"what a newer collector knows": {want: func() *plimsollv1.Settings {
			w := &plimsollv1.Settings{Slowdown: 2}
			w.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
			return w
		}(), slowdown: 2, refused: []string{"update it"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := NewSettings(tt.opts)
			s.of("c1").apply(&plimsollv1.Settings{Version: 1, Slowdown: 4, Bursts: []*plimsollv1.Burst{burst("web", 900)}})
			before := s.InForce().Refused
			refused := s.of("c1").apply(tt.want)
			if f := s.InForce(); f.Slowdown != tt.slowdown || f.Refused-before != uint64(len(tt.refused)) {
				t.Errorf("in force: %+v", f)
			}
			if got := s.Resolution("", "web"); got != tt.web {
				t.Errorf("resolution %s, want %s", got, tt.web)
			}
			if s.Resolution("") != 0 || s.Resolution("other") != 0 {
				t.Error("a container that nobody named has a resolution")
			}
			for i, want := range tt.refused {
				if len(refused) != len(tt.refused) || !strings.Contains(refused[i], want) {
					t.Fatalf("refused %q, want %q", refused, tt.refused)
				}
			}
		})
	}
}

func TestToAskForTheSettingsAllocatesNothing(t *testing.T) {
	s := NewSettings(SettingsOptions{})
	s.of("c1").apply(&plimsollv1.Settings{Version: 1, Slowdown: 4, Bursts: []*plimsollv1.Burst{{Container: "web", ResolutionMs: 100, RemainingS: 60}}})
	name := "w" + strings.Repeat("e", 1) + "b"
	if n := testing.AllocsPerRun(100, func() { s.Resolution(name, "id", "/docker/id"); s.InForce() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSettingsComeWithTheWelcomeAndAreAnsweredBeforeAnyFrame(t *testing.T) {
	settings := NewSettings(SettingsOptions{})
	inBubble(t, Options{Settings: settings, Interval: 2 * time.Second, Round: 60}, func(w *world) {
		w.collector.welcome.Settings = &plimsollv1.Settings{Version: 7, Slowdown: 5}
		defer w.collector.start()()
		<-time.After(time.Second)
		synctest.Wait()
		if f := settings.InForce(); f.Version != 7 || f.Slowdown != 4 {
			t.Errorf("in force: %+v", f)
		}
		if h := w.collector.hellos[0]; h.GetIntervalMs() != 2000 || h.GetRoundTicks() != 60 {
			t.Errorf("hello %v", h)
		}
		a := w.collector.applied
		if len(a) != 1 || a[0].GetVersion() != 7 || a[0].GetIntervalMs() != 8000 || len(a[0].GetRefused()) != 1 {
			t.Errorf("answered %v", a)
		}
	})
}

// A collector that learnt of a slower tick with the next frame only would have
// given the agent up by then.
func TestSettingsInTheMiddleOfAStreamAreAnsweredAtOnce(t *testing.T) {
	settings := NewSettings(SettingsOptions{})
	inBubble(t, Options{Settings: settings}, func(w *world) {
		defer w.collector.start()()
		w.put(newGroup(1))
		<-time.After(time.Second)
		synctest.Wait()
		if len(w.collector.applied) != 0 {
			t.Errorf("answered %v, and nothing was asked", w.collector.applied)
		}
		for version := uint64(1); version <= 3; version++ {
			if err := w.collector.want(&plimsollv1.Settings{Version: version, Slowdown: uint32(version)}); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(time.Millisecond)
		synctest.Wait()
		a := w.collector.applied
		if len(a) != 3 || a[2].GetVersion() != 3 || a[2].GetIntervalMs() != 3000 || settings.InForce().Slowdown != 3 {
			t.Errorf("answered %v", a)
		}
	})
}

func TestAnAgentWithoutSettingsAnswersAsAnOlderOneDoes(t *testing.T) {
	inBubble(t, Options{}, func(w *world) {
		w.collector.welcome.Settings = &plimsollv1.Settings{Version: 7, Slowdown: 2}
		defer w.collector.start()()
		w.put(newGroup(1))
		<-time.After(time.Second)
		synctest.Wait()
		if len(w.collector.applied) != 0 || len(w.collector.seqs()) != 1 {
			t.Errorf("answered %v, sent %v", w.collector.applied, w.collector.seqs())
		}
	})
}

func TestSettingsOutlastTheirCollectorByFiveMinutes(t *testing.T) {
	settings := NewSettings(SettingsOptions{})
	inBubble(t, Options{Settings: settings}, func(w *world) {
		w.collector.welcome.Settings = &plimsollv1.Settings{Version: 7, Slowdown: 2, Bursts: []*plimsollv1.Burst{{Container: "web", ResolutionMs: 100, RemainingS: 3600}}}
		stop := w.collector.start()
		<-time.After(10 * time.Minute)
		if f := settings.InForce(); f.Slowdown != 2 {
			t.Fatalf("in force with the collector there: %+v", f)
		}
		stop()
		<-time.After(4 * time.Minute)
		if f := settings.InForce(); f.Slowdown != 2 || settings.Resolution("web") == 0 {
			t.Errorf("in force four minutes after the collector left: %+v", f)
		}
		// One that comes back meanwhile hears of the tick that is in force.
		stop = w.collector.start()
		<-time.After(maxDelay + time.Second)
		synctest.Wait()
		if h := w.collector.hellos[len(w.collector.hellos)-1]; h.GetIntervalMs() != 2000 {
			t.Errorf("hello %v", h)
		}
		stop()
		<-time.After(settingsLast + maxDelay)
		if f := settings.InForce(); f != (InForce{Slowdown: 1}) || settings.Resolution("web") != 0 {
			t.Errorf("in force five minutes after the collector left: %+v", f)
		}
		// One that wants nothing is obeyed at once.
		w.collector.with(func() { w.collector.welcome.Settings = &plimsollv1.Settings{Version: 8, Slowdown: 3} })
		stop = w.collector.start()
		<-time.After(maxDelay + time.Second)
		if f := settings.InForce(); f.Version != 8 || f.Slowdown != 3 {
			t.Errorf("in force: %+v", f)
		}
		stop()
		w.collector.with(func() { w.collector.welcome.Settings = nil })
		defer w.collector.start()()
		<-time.After(maxDelay + time.Second)
		if f := settings.InForce(); f.Slowdown != 1 {
			t.Errorf("in force though nothing is wanted: %+v", f)
		}
	})
}

func TestABurstEndsWhenItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSettings(SettingsOptions{})
		s.of("c1").apply(&plimsollv1.Settings{Version: 1, Bursts: []*plimsollv1.Burst{{Container: "web", ResolutionMs: 100, RemainingS: 30}}})
		<-time.After(29 * time.Second)
		if s.Resolution("web") == 0 {
			t.Error("ended early")
		}
		<-time.After(time.Second)
		if s.Resolution("web") != 0 {
			t.Error("still wanted")
		}
	})
}
