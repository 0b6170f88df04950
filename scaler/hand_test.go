package scaler

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/durable"
	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
)

// clocks are a wall clock, which can be set, and the time that passes.
type clocks struct {
	wall   time.Time
	passed time.Duration
}

func (c *clocks) pass(d time.Duration) { c.wall, c.passed = c.wall.Add(d), c.passed+d }

// listening are hands with such clocks, and what they have told the audit.
func (c *clocks) listening(path string) (h *hands, audited *[]journal.Act) {
	audited = new([]journal.Act)
	return loadHands(&hands{
		path: path, log: slog.New(slog.DiscardHandler), metrics: newHandMetrics(nil),
		audit:   func(a journal.Act) error { *audited = append(*audited, a); return nil },
		wall:    func() time.Time { return c.wall },
		clock:   func() time.Duration { return c.passed },
		replace: durable.Replace,
	}), audited
}

func (c *clocks) act(verb journal.Verb, policy string, lasts time.Duration) journal.Act {
	a := journal.Act{At: c.wall, Verb: verb, Policy: policy, By: "alice", Reason: "test"}
	switch verb {
	case journal.VerbPause:
		a.Direction = decide.PauseAll
	case journal.VerbOverride:
		a.Floor = 5
	}
	if lasts > 0 {
		a.Until = c.wall.Add(lasts)
	}
	return a
}

func say(t *testing.T, h *hands, a journal.Act) journal.Act {
	t.Helper()
	a, err := h.say(a)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.sweep(); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestWhatWasSaidEndsWhenItWasMeantTo(t *testing.T) {
	for name, tt := range map[string]struct {
		set     time.Duration // the clock, after a minute
		restart bool
		last    time.Duration // when it still counts
		over    time.Duration // when it no longer does
	}{
		"by a clock that goes right":                        {0, false, 119 * time.Minute, 2 * time.Hour},
		"though the clock was set back":                     {-time.Hour, false, 119 * time.Minute, 2 * time.Hour},
		"though the clock was set ahead":                    {time.Hour, false, 119 * time.Minute, 2 * time.Hour},
		"though the clock was set ahead by more than it":    {5 * time.Hour, false, 119 * time.Minute, 2 * time.Hour},
		"over a restart":                                    {0, true, 119 * time.Minute, 2 * time.Hour},
		"though the clock was set back before a restart":    {-time.Hour, true, 119 * time.Minute, 2 * time.Hour},
		"though the clock was set ahead before a restart":   {5 * time.Hour, true, 119 * time.Minute, 2 * time.Hour},
		"though the clock was set back and it was not seen": {-24 * time.Hour, true, 119 * time.Minute, 2*time.Hour + time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			c := &clocks{wall: noon}
			path := filepath.Join(t.TempDir(), "hand.json")
			h, _ := c.listening(path)
			say(t, h, c.act(journal.VerbPause, "web", 2*time.Hour))
			c.pass(time.Minute)
			c.wall = c.wall.Add(tt.set)
			if !strings.Contains(name, "not seen") {
				h.of("web") // a tick sees that it was set
			}
			if err := h.sweep(); err != nil {
				t.Fatal(err)
			}
			if tt.restart {
				h, _ = c.listening(path)
			}
			c.pass(tt.last - time.Minute)
			said := h.of("web")
			if said.Pause == nil {
				t.Fatalf("over after %v", tt.last)
			}
			if left := said.Pause.Until.Sub(c.wall); (left - time.Minute).Abs() > time.Minute+clockSlack {
				t.Errorf("%v are said to be left", left)
			}
			if d := said.decided(); d.Pause != decide.PauseAll || !d.PauseUntil.After(c.wall) {
				t.Errorf("a decision at %v is told %+v", c.wall, d)
			}
			c.pass(tt.over - tt.last)
			if said := h.of("web"); said.Pause != nil {
				t.Errorf("not over after %v: %+v", tt.over, said.Pause)
			}
			if err := h.sweep(); err != nil {
				t.Fatal(err)
			}
			if again, _ := c.listening(path); again.of("web").Pause != nil {
				t.Error("a restart brings it back")
			}
		})
	}
}

func TestTheLastWordCounts(t *testing.T) {
	c := &clocks{wall: noon}
	h, audited := c.listening(filepath.Join(t.TempDir(), "hand.json"))
	say(t, h, c.act(journal.VerbPause, "web", time.Hour))
	in := c.act(journal.VerbPause, "web", 30*time.Minute)
	in.Direction = decide.PauseIn
	say(t, h, in)
	if p := h.of("web").Pause; p == nil || p.Direction != decide.PauseIn || !p.Until.Equal(noon.Add(30*time.Minute)) {
		t.Errorf("pause %+v", p)
	}
	say(t, h, c.act(journal.VerbOverride, "web", time.Hour))
	if d := h.of("web").decided(); d.Pause != decide.PauseIn || d.Floor != 5 || d.By != "alice, unproven (test)" || d.PauseBy != d.By {
		t.Errorf("decided %+v", d)
	}
	say(t, h, c.act(journal.VerbResume, "web", 0))
	if d := h.of("web").decided(); d.Pause != "" || d.Floor != 5 {
		t.Errorf("after resume: %+v", d)
	}
	for _, verb := range []journal.Verb{journal.VerbResume, journal.VerbRelease} {
		if verb == journal.VerbRelease {
			say(t, h, c.act(verb, "web", 0))
		}
		if _, err := h.say(c.act(verb, "web", 0)); !errors.Is(err, errNothingToEnd) {
			t.Errorf("a second %s: %v", verb, err)
		}
	}
	if h.of("web") != (Hand{}) || h.of("api") != (Hand{}) {
		t.Errorf("%+v", h.of("web"))
	}
	if len(*audited) != 5 {
		t.Errorf("%d acts in the audit log, want 5", len(*audited))
	}
}

func TestAPauseOfAllIsOneOfEach(t *testing.T) {
	c := &clocks{wall: noon}
	h, _ := c.listening("")
	in, out := c.act(journal.VerbPause, journal.AllPolicies, time.Hour), c.act(journal.VerbPause, "web", 30*time.Minute)
	in.Direction, out.Direction = decide.PauseIn, decide.PauseOut
	say(t, h, in)
	say(t, h, out)
	if d := h.of("api").decided(); d.Pause != decide.PauseIn || !d.PauseUntil.Equal(noon.Add(time.Hour)) {
		t.Errorf("api: %+v", d)
	}
	if d := h.of("web").decided(); d.Pause != decide.PauseAll || !d.PauseUntil.Equal(noon.Add(30*time.Minute)) {
		t.Errorf("web: %+v, want all until the first of them is over", d)
	}
	c.pass(30 * time.Minute)
	if d := h.of("web").decided(); d.Pause != decide.PauseIn || !d.PauseUntil.Equal(noon.Add(time.Hour)) {
		t.Errorf("web, when its own is over: %+v", d)
	}
}

func TestWhatIsNotInTheAuditLogDoesNotCount(t *testing.T) {
	c := &clocks{wall: noon}
	h, _ := c.listening("")
	full := errors.New("disk full")
	h.audit = func(journal.Act) error { return full }
	if _, err := h.say(c.act(journal.VerbPause, "web", time.Hour)); !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
	if h.of("web").Pause != nil {
		t.Error("it counts")
	}
}

func TestWhatARestartWouldForgetIsTold(t *testing.T) {
	c := &clocks{wall: noon}
	dir := filepath.Join(t.TempDir(), "gone")
	h, _ := c.listening(filepath.Join(dir, "hand.json"))
	if _, err := h.say(c.act(journal.VerbPause, "web", time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := h.sweep(); err == nil || h.of("web").Pause == nil {
		t.Errorf("sweep: %v, pause %v", err, h.of("web").Pause)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := h.sweep(); err != nil { // it is tried again
		t.Fatal(err)
	}
	if again, _ := c.listening(h.path); again.of("web").Pause == nil {
		t.Error("not written once it could be")
	}
}

func TestAnUnreadableFileIsPutAside(t *testing.T) {
	for name, text := range map[string]string{"damaged": `{"version":1,"acts":[`, "of a later version": `{"version":2}`} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hand.json")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			c := &clocks{wall: noon}
			h, _ := c.listening(path)
			say(t, h, c.act(journal.VerbPause, "web", time.Hour))
			if aside, err := os.ReadFile(path + ".unreadable"); err != nil || string(aside) != text {
				t.Errorf("aside: %q %v", aside, err)
			}
		})
	}
}

// Whatever is told to one of a pair, in whatever order it arrives, both end up with
// the same.
func TestTheTwoOfAPairAgree(t *testing.T) {
	a, b := &clocks{wall: noon}, &clocks{wall: noon.Add(-3 * time.Minute)} // whose clock is behind
	one, _ := a.listening("")
	other, audited := b.listening("")
	paused := say(t, one, a.act(journal.VerbPause, "web", time.Hour))
	if !other.hear(paused) || other.of("web").Pause == nil {
		t.Fatal("what one was told does not count on the other")
	}
	resumed := say(t, other, b.act(journal.VerbResume, "web", 0)) // at an earlier time, by its clock
	if !one.hear(resumed) || one.of("web").Pause != nil {
		t.Error("the later word does not count on the one with the later clock")
	}
	for _, h := range []*hands{one, other} {
		for _, old := range []journal.Act{paused, resumed} {
			if h.hear(old) || h.of("web").Pause != nil {
				t.Errorf("what is known already is taken: %+v", old)
			}
		}
	}
	if len(*audited) != 2 {
		t.Errorf("%d acts in the audit log of the other, want both", len(*audited))
	}

	// Two that were said at once are no tie.
	b.wall = a.wall
	x := say(t, one, a.act(journal.VerbPause, "api", time.Hour))
	y := say(t, other, b.act(journal.VerbOverride, "api", time.Hour))
	y.Verb, y.Direction, y.Floor, y.Order = journal.VerbPause, decide.PauseIn, 0, x.Order
	z := x
	one.hear(y)
	two, _ := b.listening("")
	two.hear(y)
	two.hear(z)
	if p, q := one.of("api").Pause, two.of("api").Pause; p == nil || q == nil || p.ID != q.ID {
		t.Errorf("one has %+v, the other %+v", p, q)
	}
}

// A disk that hangs holds up whoever speaks, and no decision.
func TestNoDecisionWaitsForADisk(t *testing.T) {
	c := &clocks{wall: noon}
	h, _ := c.listening(filepath.Join(t.TempDir(), "hand.json"))
	say(t, h, c.act(journal.VerbPause, "web", time.Hour))
	meanwhile := func(what string) {
		t.Helper()
		done := make(chan bool, 1)
		go func() { done <- h.of("web").Pause != nil && len(h.all()) > 0 }()
		select {
		case paused := <-done:
			if !paused {
				t.Errorf("%s: not paused any more", what)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: a decision waits", what)
		}
	}
	h.audit = func(journal.Act) error { meanwhile("in say or hear, as it is audited"); return nil }
	h.replace = func(path string, data []byte, mode fs.FileMode) error {
		meanwhile("in sweep, as it is saved")
		return durable.Replace(path, data, mode)
	}
	said := say(t, h, c.act(journal.VerbOverride, "web", time.Hour))
	said.Policy, said.ID = "api", "x"
	if !h.hear(said) {
		t.Error("not taken")
	}
	if err := h.sweep(); err != nil {
		t.Fatal(err)
	}
	if again, _ := c.listening(h.path); len(again.all()) != 3 {
		t.Errorf("a restart knows %+v", again.all())
	}
}

// What is said while the file is being written is in the next one.
func TestWhatIsSaidDuringASaveIsSavedAsWell(t *testing.T) {
	c := &clocks{wall: noon}
	h, _ := c.listening(filepath.Join(t.TempDir(), "hand.json"))
	h.replace = func(path string, data []byte, mode fs.FileMode) error {
		h.replace = durable.Replace
		if _, err := h.say(c.act(journal.VerbPause, "api", time.Hour)); err != nil {
			t.Error(err)
		}
		return durable.Replace(path, data, mode)
	}
	say(t, h, c.act(journal.VerbPause, "web", time.Hour))
	if err := h.sweep(); err != nil {
		t.Fatal(err)
	}
	if again, _ := c.listening(h.path); again.of("api").Pause == nil || again.of("web").Pause == nil {
		t.Errorf("a restart knows %+v", again.all())
	}
}

func TestWhatIsOverIsNotTakenAgain(t *testing.T) {
	a, b := &clocks{wall: noon}, &clocks{wall: noon.Add(-3 * time.Minute)} // whose clock is behind
	one, audited := a.listening("")
	other, _ := b.listening("")
	paused := say(t, other, b.act(journal.VerbPause, "web", time.Hour))
	if !one.hear(paused) {
		t.Fatal("not taken")
	}
	a.pass(58 * time.Minute)
	b.pass(58 * time.Minute)
	if err := one.sweep(); err != nil {
		t.Fatal(err)
	}
	for range 3 { // for the other it counts yet
		for _, again := range other.all() {
			if one.hear(again) {
				t.Errorf("taken again: %+v", again)
			}
		}
	}
	if len(*audited) != 1 {
		t.Errorf("%d acts in the audit log, want one", len(*audited))
	}
	// But over or not, the last word ends the one before.
	say(t, one, a.act(journal.VerbPause, "api", 24*time.Hour))
	later := a.act(journal.VerbPause, "api", time.Minute)
	later.ID, later.Order = "x", a.wall.UnixMilli()+1
	a.pass(2 * time.Minute)
	if !one.hear(later) || one.of("api").Pause != nil {
		t.Error("a later word that is over does not end an earlier one")
	}
	if one.hear(later) {
		t.Error("it is taken twice")
	}
}
