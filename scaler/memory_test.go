package scaler

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

var quiet = slog.New(slog.DiscardHandler)

// watched is the past of a policy that has decided once.
func watched(t *testing.T, app policy.App) decide.State {
	t.Helper()
	s, _ := decide.Next(app, decide.State{}, decide.Observation{Now: noon, Desired: 2, Ready: 2})
	if cmp.Equal(s, decide.State{}) {
		t.Fatal("a decision leaves no past: the test shows nothing")
	}
	return s
}

func TestThePastSurvivesARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	app := policy.App{Name: "web", Min: 1, Max: 5}
	past := watched(t, app)

	m := openMemory(file, quiet)
	m.remember("web", app.Fingerprint(), past)
	if err := m.end(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(past, openMemory(file, quiet).recall(app, noon)); diff != "" {
		t.Error(diff)
	}
}

func TestThePastOfAnotherPolicyDoesNotCount(t *testing.T) {
	m := openMemory("", quiet)
	app := policy.App{Name: "web", Min: 1, Max: 5}
	m.remember("web", app.Fingerprint(), watched(t, app))
	for name, change := range map[string]func(*policy.App){
		"another maximum": func(a *policy.App) { a.Max = 6 },
		"another mode":    func(a *policy.App) { a.Mode = policy.Active },
		"another name":    func(a *policy.App) { a.Name = "api" },
	} {
		other := app
		change(&other)
		if got := m.recall(other, noon); !cmp.Equal(got, decide.State{}) {
			t.Errorf("%s: recalls %+v, want a fresh start", name, got)
		}
	}
}

func TestAnUnreadableStateIsAFreshStartWithAWarning(t *testing.T) {
	app := policy.App{Name: "web"}
	for name, content := range map[string]string{
		"empty":               "",
		"torn":                `{"version":1,"past":{"web":{"pol`,
		"another file":        `[]`,
		"another version":     `{"version":2}`,
		"not even text":       "\x00\xff",
		"past of wrong types": `{"version":1,"past":{"web":{"state":7}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "state.json")
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			m := openMemory(file, slog.New(slog.NewTextHandler(&log, nil)))
			if got := m.recall(app, noon); !cmp.Equal(got, decide.State{}) {
				t.Errorf("recalls %+v, want a fresh start", got)
			}
			if !strings.Contains(log.String(), "level=WARN") {
				t.Errorf("log %q has no warning", log.String())
			}
		})
	}
}

func TestAStateOfAnotherVersionIsDropped(t *testing.T) {
	m := openMemory("", quiet)
	app := policy.App{Name: "web"}
	s := watched(t, app)
	s.Version = decide.StateVersion + 1
	m.remember("web", app.Fingerprint(), s)
	if got := m.recall(app, noon); !cmp.Equal(got, decide.State{}) {
		t.Errorf("recalls %+v, want a fresh start", got)
	}
}

func TestAFailedSaveLeavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "state.json")
	app := policy.App{Name: "web"}
	m := openMemory(file, quiet)
	m.remember("web", app.Fingerprint(), watched(t, app))
	if err := m.save(); err != nil {
		t.Fatal(err)
	}
	m.path = filepath.Join(dir, "gone", "state.json")
	m.retain(nil, noon.Add(2*absence))
	if err := m.save(); err == nil {
		t.Error("no error for a directory that is not there")
	}
	if got := openMemory(file, quiet).recall(app, noon); cmp.Equal(got, decide.State{}) {
		t.Error("the old file has no past any more")
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*new*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestACrashIsTakenForAGapAndACleanEndIsNot(t *testing.T) {
	app := policy.App{Name: "web", Min: 1, Max: 5}
	for name, end := range map[string]func(*memory) error{"a crash": (*memory).save, "a clean end": (*memory).end} {
		file := filepath.Join(t.TempDir(), "state.json")
		past := watched(t, app)
		m := openMemory(file, quiet)
		m.remember("web", app.Fingerprint(), past)
		if err := end(m); err != nil {
			t.Fatal(err)
		}
		later := noon.Add(time.Second)
		got := openMemory(file, quiet).recall(app, later)
		lost := past.Clone()
		lost.Lost(later)
		want := map[string]decide.State{"a crash": lost, "a clean end": past}[name]
		if diff := cmp.Diff(want, got); diff != "" || cmp.Equal(lost, past) {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestACrashAfterACleanStartIsACrash is about the time before anything else is
// written.
func TestACrashAfterACleanStartIsACrash(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	if err := openMemory(file, quiet).end(); err != nil {
		t.Fatal(err)
	}
	// end writes even what is empty.
	m := openMemory(file, quiet)
	if m.crash {
		t.Fatal("a clean end is taken for a crash")
	}
	if err := m.save(); err != nil {
		t.Fatal(err)
	}
	if !openMemory(file, quiet).crash {
		t.Error("a process that was killed after its start is taken for one that ended")
	}
}

func TestWhatWasLearntOfATargetOutlivesAnEditOfItsPolicy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	app := policy.App{Name: "web", Target: policy.Target{Driver: "swarm", Service: "shop_web"}}
	want := target{Boots: []time.Duration{20 * time.Second}, Nodes: []string{"n1", "n2"}}
	m := openMemory(file, quiet)
	m.learn(app.Target.String(), want)
	if err := m.end(); err != nil {
		t.Fatal(err)
	}
	m = openMemory(file, quiet)
	app.Max = 7
	m.retain([]policy.App{app}, noon)
	if diff := cmp.Diff(want, m.learnt(app.Target)); diff != "" {
		t.Error(diff)
	}
	m.retain(nil, noon)
	if diff := cmp.Diff(target{}, m.learnt(app.Target)); diff != "" {
		t.Errorf("of a target that is no more: %s", diff)
	}
}

func TestAPolicyThatIsAwayForAWhileKeepsItsPast(t *testing.T) {
	app := policy.App{Name: "web", Min: 1, Max: 5, Target: policy.Target{Driver: "swarm", Service: "shop_web"}}
	past, seen := watched(t, app), target{Nodes: []string{"n1"}}
	m := openMemory("", quiet)
	m.remember("web", app.Fingerprint(), past)
	m.learn(app.Target.String(), seen)

	m.retain(nil, noon.Add(absence-time.Minute))
	if diff := cmp.Diff(past, m.recall(app, noon)) + cmp.Diff(seen, m.learnt(app.Target)); diff != "" {
		t.Error(diff)
	}
	m.retain(nil, noon.Add(absence+time.Minute))
	if diff := cmp.Diff(decide.State{}, m.recall(app, noon)) + cmp.Diff(target{}, m.learnt(app.Target)); diff != "" {
		t.Errorf("of a policy that is no more: %s", diff)
	}
}

// TestPoliciesThatComeLateGoOnWithTheirPast is what happens to those in labels when
// the platform cannot be asked at the start.
func TestPoliciesThatComeLateGoOnWithTheirPast(t *testing.T) {
	stage(t, 2, func(t *testing.T, w *world) {
		file := filepath.Join(t.TempDir(), "state.json")
		app := holding(policy.Active)
		s := play(t, w, Options{Policies: []policy.App{app}, StateFile: file})
		s.set(75)
		s.pass(25 * time.Second)
		s.end()

		s = play(t, w, Options{StateFile: file})
		s.pass(15 * time.Second)
		if err := s.scaler.Reload([]policy.App{app}); err != nil {
			t.Fatal(err)
		}
		s.pass(10 * time.Second)
		s.end()
		m := openMemory(file, quiet)
		if past := m.past["web"].State; len(past.Changes) == 0 {
			t.Errorf("it has forgotten that it scaled: %+v", past)
		}
		if len(m.learnt(app.Target).Boots) == 0 {
			t.Error("it has forgotten how long replicas take to start")
		}
	})
}

func TestWhatACrashLeftOfASaveIsRemoved(t *testing.T) {
	dir := t.TempDir()
	file, other := filepath.Join(dir, "state.json"), filepath.Join(dir, "hand.json.new-2")
	for _, name := range []string{file + ".new-1", file + ".new-2", other} {
		if err := os.WriteFile(name, []byte("torn"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := openMemory(file, quiet)
	if err := m.end(); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if diff := cmp.Diff([]string{other, file}, left); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestManyWhoSaveAtOnceShareAWrite(t *testing.T) {
	m := openMemory(filepath.Join(t.TempDir(), "state.json"), quiet)
	m.saving.Lock() // someone writes
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			m.remember(strconv.Itoa(i), "", decide.State{})
			if err := m.save(); err != nil {
				t.Error(err)
			}
		})
	}
	for all := false; !all; {
		runtime.Gosched()
		m.mu.Lock()
		all = len(m.past) == 100
		m.mu.Unlock()
	}
	m.saving.Unlock()
	wg.Wait()
	if file, err := readMemory(m.path); err != nil || len(file.Past) != 100 {
		t.Errorf("%d pasts in the file, want all: %v", len(file.Past), err)
	}
	if m.writes > 2 {
		t.Errorf("written %d times, want once for all that waited", m.writes)
	}
}
