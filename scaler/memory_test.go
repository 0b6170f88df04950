package scaler

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	m.remember("web", fingerprint(app), past)
	if err := m.save(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(past, openMemory(file, quiet).recall(app)); diff != "" {
		t.Error(diff)
	}
}

func TestThePastOfAnotherPolicyDoesNotCount(t *testing.T) {
	m := openMemory("", quiet)
	app := policy.App{Name: "web", Min: 1, Max: 5}
	m.remember("web", fingerprint(app), watched(t, app))
	for name, change := range map[string]func(*policy.App){
		"another maximum": func(a *policy.App) { a.Max = 6 },
		"another mode":    func(a *policy.App) { a.Mode = policy.Active },
		"another name":    func(a *policy.App) { a.Name = "api" },
	} {
		other := app
		change(&other)
		if got := m.recall(other); !cmp.Equal(got, decide.State{}) {
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
			if got := m.recall(app); !cmp.Equal(got, decide.State{}) {
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
	m.remember("web", fingerprint(app), s)
	if got := m.recall(app); !cmp.Equal(got, decide.State{}) {
		t.Errorf("recalls %+v, want a fresh start", got)
	}
}

func TestAFailedSaveLeavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "state.json")
	app := policy.App{Name: "web"}
	m := openMemory(file, quiet)
	m.remember("web", fingerprint(app), watched(t, app))
	if err := m.save(); err != nil {
		t.Fatal(err)
	}
	m.path = filepath.Join(dir, "gone", "state.json")
	m.retain(nil)
	if err := m.save(); err == nil {
		t.Error("no error for a directory that is not there")
	}
	if got := openMemory(file, quiet).recall(app); cmp.Equal(got, decide.State{}) {
		t.Error("the old file has no past any more")
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*new*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
