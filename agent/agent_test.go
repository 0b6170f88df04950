package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// memory is a spool that remembers what it was given, and is full if told so.
type memory struct {
	full    bool
	times   []time.Time
	ticks   []uint64
	samples []map[string]string
}

func (m *memory) Append(b *sample.Batch) error {
	if m.full {
		return errors.New("no space left on device")
	}
	m.times = append(m.times, b.Time)
	m.ticks = append(m.ticks, b.Tick)
	m.samples = append(m.samples, values(b))
	return nil
}

// scripted is a source that gives a sample at each tick, and then does as told.
type scripted struct {
	name   string
	then   func(ctx context.Context, tick uint64) error
	group  *sample.Group
	closed bool
}

func source(name string, then func(context.Context, uint64) error) *scripted {
	return &scripted{name: name, then: then, group: &sample.Group{
		Series: []sample.Series{{Metric: &sample.Metric{Name: name, Type: sample.Counter}}},
	}}
}

func (s *scripted) Name() string { return s.name }
func (s *scripted) Close() error { s.closed = true; return nil }

func (s *scripted) Collect(ctx context.Context, b *sample.Batch) error {
	b.Add(s.group)[0] = float64(b.Tick)
	if s.then == nil {
		return nil
	}
	return s.then(ctx, b.Tick)
}

func stream(ctx context.Context) error { <-ctx.Done(); return nil }

// sail runs an agent for d of virtual time.
func sail(t *testing.T, d time.Duration, opts Options) *Agent {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	opts.Stream = stream
	a, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return a
}

const half = time.Second / 2 // so that no test ends on a tick

func TestAnHourIsOneBatchPerIntervalOnTheSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		<-time.After(137 * time.Millisecond) // nobody starts on the second
		var spool memory
		a := sail(t, time.Hour, Options{Sources: []Source{source("s", nil)}, Spool: &spool})
		if len(spool.times) != 3600 || a.metrics.missed.Load() != 0 {
			t.Errorf("%d batches, %d ticks missed in an hour", len(spool.times), a.metrics.missed.Load())
		}
		for i, at := range spool.times {
			if at.Nanosecond() != 0 || spool.ticks[i] != uint64(i) || i > 0 && at.Sub(spool.times[i-1]) != time.Second {
				t.Fatalf("batch %d is tick %d of %s", i, spool.ticks[i], at)
			}
		}
	})
}

func TestTheAgentIsAlignedToItsInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		<-time.After(time.Second)
		var spool memory
		sail(t, time.Minute, Options{Sources: []Source{source("s", nil)}, Spool: &spool, Interval: 5 * time.Second})
		if len(spool.times) != 12 || spool.times[0].Second() != 5 {
			t.Errorf("batches at %v", spool.times)
		}
	})
}

func TestTheCollectorMaySlowTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		<-time.After(time.Second) // a multiple of neither pace
		start := time.Now()
		var spool memory
		reg := prometheus.NewRegistry()
		a := sail(t, 40*time.Second+half, Options{
			Sources: []Source{source("s", nil)}, Spool: &spool, Registerer: reg, Lanes: Lanes{Second: 1},
			Settings: func() Settings {
				// Slowed from the 10th second to the 31st.
				if past := time.Since(start); past > 10*time.Second && past < 31*time.Second {
					return Settings{Version: 9, Slowdown: 4, Refused: 2}
				}
				return Settings{}
			},
		})
		var at []int
		for i, tick := range spool.times {
			at = append(at, int(tick.Sub(start).Seconds()))
			if spool.ticks[i] != uint64(i) {
				t.Errorf("batch %d is tick %d", i, spool.ticks[i])
			}
		}
		// Every agent of a fleet ticks at the same multiples of the slower pace.
		want := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 19, 23, 27, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40}
		if !slices.Equal(at, want) {
			t.Errorf("ticks at %v, want %v", at, want)
		}
		if n := a.metrics.missed.Load(); n != 0 {
			t.Errorf("%d ticks missed", n)
		}
		for tick, want := range map[int][3]string{10: {"1", "0", "0"}, 13: {"4", "9", "2"}, 20: {"1", "0", "0"}} {
			got := spool.samples[tick]
			for i, name := range []string{"interval_seconds", "settings_version", "settings_refused_total"} {
				if v := got["plimsoll_agent_"+name+`{job="plimsoll-agent"}`]; v != want[i] {
					t.Errorf("tick %d: %s is %s, want %s", tick, name, v, want[i])
				}
			}
		}
	})
}

func TestASlowTickOfASlowedAgentMissesOnlyItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var spool memory
		slow := source("slow", func(context.Context, uint64) error { <-time.After(2500 * time.Millisecond); return nil })
		a := sail(t, 19*time.Second+half, Options{
			Sources: []Source{slow}, Spool: &spool, Settings: func() Settings { return Settings{Slowdown: 2} },
		})
		// Ticks at 0, 4, 8, 12 and 16 s, each over the next.
		if len(spool.times) != 5 || a.metrics.missed.Load() != 5 {
			t.Errorf("%d batches, %d ticks missed; want 5 and 5", len(spool.times), a.metrics.missed.Load())
		}
	})
}

func TestASlowTickIsLeftOutNotQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var spool memory
		slow := source("slow", func(context.Context, uint64) error { <-time.After(2500 * time.Millisecond); return nil })
		a := sail(t, 9*time.Second+half, Options{Sources: []Source{slow}, Spool: &spool})
		// Ticks at 0, 3, 6 and 9 s.
		if len(spool.times) != 4 || a.metrics.missed.Load() != 8 {
			t.Errorf("%d batches, %d ticks missed; want 4 and 8", len(spool.times), a.metrics.missed.Load())
		}
		if got := time.Duration(a.sources[0].took.Load()); got != 10*time.Second {
			t.Errorf("the source is said to have taken %s, want 10s", got)
		}
	})
}

func TestATickIsStampedAsPunctualIfItAlmostIs(t *testing.T) {
	for late, want := range map[time.Duration]time.Duration{
		0:                        2 * time.Second,
		9 * time.Millisecond:     2 * time.Second,
		300 * time.Millisecond:   2300 * time.Millisecond,
		300*time.Millisecond + 1: 2300 * time.Millisecond,
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			clock := newClock(func() (time.Time, time.Duration) {
				now := time.Now()
				if now.Sub(start) >= 2*time.Second { // the machine was busy when the third tick was due
					now = now.Add(late)
				}
				return now.Round(0), now.Sub(start)
			})
			var spool memory
			sail(t, 2*time.Second+half, Options{Clock: clock, Spool: &spool, Sources: []Source{source("s", nil)}})
			if got := spool.times[2].Sub(spool.times[0]); got != want {
				t.Errorf("%s late is stamped %s after the first, want %s", late, got, want)
			}
		})
	}
}

func TestNoTwoBatchesHaveTheSameTime(t *testing.T) {
	h := &hands{wall: noon}
	a, err := New(Options{Sources: []Source{source("s", nil)}, Spool: &memory{}, Stream: stream, Clock: newClock(h.read)})
	if err != nil {
		t.Fatal(err)
	}
	first, second := a.stamp(noon), a.stamp(noon)
	if first != noon || second.Sub(first) != time.Millisecond {
		t.Errorf("stamps %s and %s", first, second)
	}
}

func TestASourceThatPanicsCostsItsTickAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var spool memory
		var log bytes.Buffer
		bad := source("bad", func(_ context.Context, tick uint64) error {
			if tick%2 == 1 {
				panic("index out of range")
			}
			return nil
		})
		a := sail(t, 20*time.Minute-half, Options{
			Sources: []Source{bad, source("good", nil)}, Spool: &spool,
			Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		for i, got := range spool.samples {
			if _, there := got["bad"]; there != (i%2 == 0) || got["good"] == "" {
				t.Fatalf("batch %d: %v", i, got)
			}
		}
		if n := a.sources[0].panicked.Load(); n != 600 {
			t.Errorf("%d panics counted, want 600", n)
		}
		if n := strings.Count(log.String(), "source panicked"); n != 2 {
			t.Errorf("logged %d times in 20 minutes, want 2:\n%s", n, log.String())
		}
		if !strings.Contains(log.String(), "repeated=299") || !strings.Contains(log.String(), "source=bad") {
			t.Errorf("log %s", log.String())
		}
	})
}

func TestHalfAPictureBeatsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var spool memory
		s := source("s", func(context.Context, uint64) error { return errors.New("permission denied") })
		a := sail(t, half, Options{Sources: []Source{s}, Spool: &spool})
		if spool.samples[0]["s"] != "0" || a.sources[0].failed.Load() != 1 {
			t.Errorf("samples %v, %d errors", spool.samples, a.sources[0].failed.Load())
		}
	})
}

func TestASourceThatWaitsForItsContextIsStoppedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var spool memory
		s := source("s", func(ctx context.Context, _ uint64) error { <-ctx.Done(); return ctx.Err() })
		sail(t, 9*time.Second+half, Options{Sources: []Source{s, source("next", nil)}, Spool: &spool})
		if len(spool.times) != 10 || spool.samples[1]["next"] == "" {
			t.Errorf("%d batches in ten seconds, want 10", len(spool.times))
		}
	})
}

func TestWhatWasReadSurvivesTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var spool memory
		s := source("s", func(ctx context.Context, _ uint64) error { <-ctx.Done(); return ctx.Err() })
		a := sail(t, half, Options{Sources: []Source{s}, Spool: &spool})
		if len(spool.samples) != 1 || spool.samples[0]["s"] != "0" {
			t.Errorf("spooled %v, want what was read before the end", spool.samples)
		}
		if a.sources[0].failed.Load() != 0 {
			t.Error("the end counts as an error of the source")
		}
		if !s.closed {
			t.Error("the source was not closed")
		}
	})
}

func TestAFullSpoolCostsABatchNotTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var spool memory
		var log bytes.Buffer
		s := source("s", func(_ context.Context, tick uint64) error { spool.full = tick >= 10 && tick < 20; return nil })
		a := sail(t, 30*time.Second-half, Options{
			Sources: []Source{s}, Spool: &spool, Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if len(spool.times) != 20 || a.metrics.lost.Load() != 10 {
			t.Errorf("%d batches kept, %d lost; want 20 and 10", len(spool.times), a.metrics.lost.Load())
		}
		if n := strings.Count(log.String(), "batch lost"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, log.String())
		}
	})
}

func TestAClockSetBackALittleNeverMakesTimeGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var offset time.Duration
		start := time.Now()
		clock := newClock(func() (time.Time, time.Duration) {
			return time.Now().Add(offset).Round(0), time.Since(start)
		})
		var spool memory
		a := sail(t, time.Minute, Options{Clock: clock, Spool: &spool, Sources: []Source{source("s", func(_ context.Context, tick uint64) error {
			if tick == 10 {
				offset = -20 * time.Second
			}
			return nil
		})}})
		for i := range spool.times[1:] {
			if step := spool.times[i+1].Sub(spool.times[i]); step < 900*time.Millisecond || step > 1100*time.Millisecond {
				t.Errorf("batch %d is %s after the one before", i+1, step)
			}
		}
		if n := len(spool.times); n < 57 || n > 60 {
			t.Errorf("%d batches in a minute", n)
		}
		if clock.Jumps() != 1 || a.metrics.missed.Load() != 0 {
			t.Errorf("%d jumps, %d ticks missed; want 1 and 0", clock.Jumps(), a.metrics.missed.Load())
		}
	})
}

// Stamps of an hour ahead would be refused, and the samples be lost, until the
// wall had caught up.
func TestAClockSetBackByAnHourCostsNoTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var offset time.Duration
		start := time.Now()
		clock := newClock(func() (time.Time, time.Duration) {
			return time.Now().Add(offset).Round(0), time.Since(start)
		})
		var spool memory
		a := sail(t, 20*time.Second+half, Options{Clock: clock, Spool: &spool, Sources: []Source{source("s", func(_ context.Context, tick uint64) error {
			if tick == 9 {
				offset = -time.Hour
			}
			return nil
		})}})
		if n := len(spool.times); n < 20 || n > 21 || a.metrics.missed.Load() != 0 {
			t.Fatalf("%d batches in 20 seconds, %d ticks missed", n, a.metrics.missed.Load())
		}
		for i, at := range spool.times[10:] {
			if want := start.Add(-time.Hour + time.Duration(10+i)*time.Second); at.Sub(want).Abs() > time.Second {
				t.Errorf("batch %d is stamped %s, want about %s", 10+i, at, want)
			}
		}
	})
}

func TestAClockSetForwardIsFollowedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var offset time.Duration
		start := time.Now()
		clock := newClock(func() (time.Time, time.Duration) {
			return time.Now().Add(offset).Round(0), time.Since(start)
		})
		var spool memory
		a := sail(t, 20*time.Second-half, Options{Clock: clock, Spool: &spool, Sources: []Source{source("s", func(_ context.Context, tick uint64) error {
			if tick == 9 {
				offset = time.Hour
			}
			return nil
		})}})
		if got := spool.times[10].Sub(spool.times[9]); got < time.Hour {
			t.Errorf("the clock was followed by %s", got)
		}
		// The step may bring on a tick that was not due yet.
		if n := len(spool.times); clock.Jumps() != 1 || a.metrics.missed.Load() != 0 || n < 20 || n > 21 {
			t.Errorf("%d jumps, %d missed, %d batches", clock.Jumps(), a.metrics.missed.Load(), len(spool.times))
		}
	})
}

func TestTheAgentReportsOnItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var spool memory
		reg := prometheus.NewRegistry()
		sail(t, 11*time.Second, Options{
			Sources: []Source{source("s", func(context.Context, uint64) error { return errors.New("no") })},
			Spool:   &spool, Version: "1.2.3", Registerer: reg, Lanes: Lanes{First: 1, Second: 5, Third: 15},
			Backlog: func() Backlog {
				return Backlog{SpoolBytes: 4096, SpoolLimit: 8192, Dropped: 2, Damaged: 1, Unacknowledged: 7, WaitingBytes: 1024, Resent: 9}
			},
			Discovery: func() discover.Stats {
				return discover.Stats{LeftOut: 3, Dropped: 4, Unreadable: 5, InotifyFallbacks: 6, EngineConnected: true, EngineReconnects: 8}
			},
		})
		for tick, want := range map[int]map[string]string{
			5: {
				`plimsoll_agent_build_info{job="plimsoll-agent",version="1.2.3"}`:               "1",
				`plimsoll_agent_ticks_total{job="plimsoll-agent"}`:                              "5",
				`plimsoll_agent_source_errors_total{job="plimsoll-agent",source="s"}`:           "6",
				`plimsoll_agent_spool_bytes{job="plimsoll-agent"}`:                              "4096",
				`plimsoll_agent_spool_dropped_batches_total{job="plimsoll-agent"}`:              "2",
				`plimsoll_agent_unacknowledged_batches{job="plimsoll-agent"}`:                   "7",
				`plimsoll_agent_spool_limit_bytes{job="plimsoll-agent"}`:                        "8192",
				`plimsoll_agent_unacknowledged_bytes{job="plimsoll-agent"}`:                     "1024",
				`plimsoll_agent_resent_batches_total{job="plimsoll-agent"}`:                     "9",
				`plimsoll_agent_ticks_missed_total{job="plimsoll-agent"}`:                       "0",
				`plimsoll_agent_clock_jumps_total{job="plimsoll-agent"}`:                        "0",
				`plimsoll_agent_tick_duration_seconds{job="plimsoll-agent"}`:                    "0",
				`plimsoll_agent_source_panics_total{job="plimsoll-agent",source="s"}`:           "0",
				`plimsoll_agent_spool_damaged_batches_total{job="plimsoll-agent"}`:              "1",
				`plimsoll_agent_source_duration_seconds_total{job="plimsoll-agent",source="s"}`: "0",
				`plimsoll_agent_discovery_left_out{job="plimsoll-agent"}`:                       "3",
				`plimsoll_agent_discovery_dropped_total{job="plimsoll-agent"}`:                  "4",
				`plimsoll_agent_discovery_unreadable_total{job="plimsoll-agent"}`:               "5",
				`plimsoll_agent_discovery_inotify_fallbacks_total{job="plimsoll-agent"}`:        "6",
				`plimsoll_agent_engine_connected{job="plimsoll-agent"}`:                         "1",
				`plimsoll_agent_engine_reconnects_total{job="plimsoll-agent"}`:                  "8",
			},
			6: {},
		} {
			got := spool.samples[tick]
			for series, value := range want {
				if got[series] != value {
					t.Errorf("tick %d: %s is %q, want %s", tick, series, got[series], value)
				}
			}
			_, there := got[`process_resident_memory_bytes{job="plimsoll-agent"}`]
			if there != (tick == 5) {
				t.Errorf("tick %d: the process' memory is there: %t", tick, there)
			}
		}

		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		registered := make(map[string]bool)
		for _, f := range families {
			registered[f.GetName()] = true
		}
		for series := range spool.samples[5] {
			if name, _, _ := strings.Cut(series, "{"); strings.HasPrefix(name, "plimsoll_") && !registered[name] {
				t.Errorf("%s is in the batch and not in the registry", name)
			}
		}
	})
}

func TestNewSaysWhatIsMissing(t *testing.T) {
	whole := func() Options { return Options{Sources: []Source{source("s", nil)}, Spool: &memory{}, Stream: stream} }
	if _, err := New(whole()); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	for name, spoil := range map[string]func(*Options){
		"no sources":                     func(o *Options) { o.Sources = nil },
		"no spool":                       func(o *Options) { o.Spool = nil },
		"no stream":                      func(o *Options) { o.Stream = nil },
		"an interval of a nanosecond":    func(o *Options) { o.Interval = 1 },
		"an interval below zero":         func(o *Options) { o.Interval = -time.Second },
		"lanes that make no sense":       func(o *Options) { o.Lanes = Lanes{First: 5, Second: 1} },
		"an interval of 12.5 ms":         func(o *Options) { o.Interval = 12500 * time.Microsecond },
		"two sources of one name":        func(o *Options) { o.Sources = append(o.Sources, source("s", nil)) },
		"a source called like our own":   func(o *Options) { o.Sources = append(o.Sources, source("self", nil)) },
		"metrics that are there already": func(o *Options) { o.Registerer = reg; _, _ = New(*o) },
	} {
		t.Run(name, func(t *testing.T) {
			opts := whole()
			spoil(&opts)
			if a, err := New(opts); err == nil {
				t.Errorf("got %v, want an error", a)
			}
		})
	}
}

func TestAnAgentWhoseStreamFailsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := New(Options{
			Sources: []Source{source("s", nil)}, Spool: &memory{},
			Stream: func(context.Context) error { return errors.New("certificate revoked") },
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "stream: certificate revoked") {
			t.Errorf("error %v", err)
		}
	})
}

func TestQuietForgetsAndIsBounded(t *testing.T) {
	q := quiet{every: time.Minute}
	for i := range 2 * mostCauses {
		_, ok := q.due(fmt.Sprint(i), noon)
		if ok != (i < mostCauses) {
			t.Fatalf("cause %d is said: %t", i, ok)
		}
	}
	if _, ok := q.due("new", noon.Add(time.Minute)); !ok || len(q.said) != 1 {
		t.Errorf("a minute later a new cause is said: %t, %d remembered", ok, len(q.said))
	}
}
