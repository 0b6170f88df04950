package durable_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/internal/durable"
)

// holds fails the test if a directory does not hold just these files, with what is
// in them.
func holds(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got[e.Name()] = string(text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAFileIsReplacedAsAWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	for _, text := range []string{"first", "second"} {
		if err := durable.Replace(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		holds(t, dir, map[string]string{"state": text})
	}
	full := errors.New("no room")
	err := durable.ReplaceWith(path, 0o600, func(w io.Writer) error {
		_, _ = io.WriteString(w, "half of the thi")
		return full
	})
	if !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
	holds(t, dir, map[string]string{"state": "second"})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
	if err := durable.Replace(filepath.Join(dir, "gone", "state"), nil, 0o600); err == nil {
		t.Error("no error for a directory that is not there")
	}
	if err := durable.Replace(dir, nil, 0o600); err == nil {
		t.Error("no error for a directory in its place")
	}
}

func TestWhatACrashLeftOfAReplacementIsRemoved(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"state", "state.new-1", "state.new-2", "other.new-2"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := durable.DropTorn(filepath.Join(dir, "state")); err != nil {
		t.Error(err)
	}
	holds(t, dir, map[string]string{"state": "state", "other.new-2": "other.new-2"})
	if err := durable.DropTorn(filepath.Join(dir, "gone", "state")); err != nil {
		t.Errorf("error %v for a directory that is not there", err)
	}
}
