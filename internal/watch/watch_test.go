package watch_test

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/watch"
)

// dir is watched; each look is a second after the one before.
type dir struct {
	t       *testing.T
	path    string
	changed atomic.Int64
}

// in runs f while a directory with a file is watched.
func in(t *testing.T, f func(d *dir)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &dir{t: t, path: t.TempDir()}
		d.write("a.yml", "one")
		patterns := func() []string {
			return []string{filepath.Join(d.path, "*.yml"), filepath.Join(d.path, "link", "data")}
		}
		w, err := watch.New(watch.Options{Patterns: patterns, Changed: func() { d.changed.Add(1) }, Interval: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- w.Run(ctx) }()
		<-time.After(time.Millisecond) // off the ticks
		f(d)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func (d *dir) write(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.path, name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// after checks how many changes were told of after some looks.
func (d *dir) after(looks, changes int, what string) {
	d.t.Helper()
	<-time.After(time.Duration(looks) * time.Second)
	synctest.Wait()
	if got := int(d.changed.Load()); got != changes {
		d.t.Errorf("%s: %d changes, want %d", what, got, changes)
	}
}

func TestNothingIsToldWhileNothingChanges(t *testing.T) {
	in(t, func(d *dir) {
		d.after(10, 0, "untouched")
		d.write("a.yml", "one")
		d.after(10, 0, "written again as it was")
	})
}

func TestAChangeIsToldOnceItIsStill(t *testing.T) {
	in(t, func(d *dir) {
		d.write("a.yml", "tw")
		d.after(1, 0, "seen once")
		d.write("a.yml", "two")
		d.after(1, 0, "still being written")
		d.after(1, 1, "seen twice")
		d.after(10, 1, "told")
		d.write("a.yml", "one")
		d.after(2, 2, "changed back")
	})
}

func TestFilesThatComeAndGoAreChanges(t *testing.T) {
	in(t, func(d *dir) {
		d.write("b.yml", "")
		d.after(2, 1, "one more")
		d.write("c.txt", "")
		d.after(2, 1, "one of no concern")
		if err := os.Rename(filepath.Join(d.path, "b.yml"), filepath.Join(d.path, "d.yml")); err != nil {
			t.Fatal(err)
		}
		d.after(2, 2, "another name")
		if err := os.Remove(filepath.Join(d.path, "a.yml")); err != nil {
			t.Fatal(err)
		}
		d.after(2, 3, "one less")
	})
}

// A ConfigMap is a link to a directory of a version; an update puts a new link in
// its place.
func TestALinkThatIsExchangedIsAChange(t *testing.T) {
	in(t, func(d *dir) {
		for i, version := range []string{"v1", "v2"} {
			if err := os.Mkdir(filepath.Join(d.path, version), 0o700); err != nil {
				t.Fatal(err)
			}
			d.write(version+"/data", version)
			tmp := filepath.Join(d.path, "tmp")
			if err := os.Symlink(version, tmp); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(tmp, filepath.Join(d.path, "link")); err != nil {
				t.Fatal(err)
			}
			d.after(2, i+1, version)
		}
	})
}

func TestAPipeIsNotOpened(t *testing.T) {
	in(t, func(d *dir) {
		if err := syscall.Mkfifo(filepath.Join(d.path, "p.yml"), 0o600); err != nil {
			t.Fatal(err)
		}
		d.after(5, 1, "a pipe")
	})
}

func TestAWatcherNeedsSomethingToDo(t *testing.T) {
	if _, err := watch.New(watch.Options{}); err == nil {
		t.Error("no error")
	}
}
