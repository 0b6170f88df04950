package cgroup

import (
	"errors"
	"os"
	"testing"
)

// readings are the ways to read a group, for tests that are about all of them.
var readings = map[string]func(*Group) error{
	"cpu":       func(g *Group) error { _, err := g.CPU(); return err },
	"local":     func(g *Group) error { _, err := g.LocalThrottled(); return err },
	"usage":     func(g *Group) error { _, err := g.MemoryUsage(); return err },
	"stat":      func(g *Group) error { _, err := g.MemoryStat(); return err },
	"events":    func(g *Group) error { _, err := g.MemoryEvents(); return err },
	"limits":    func(g *Group) error { _, err := g.Limits(); return err },
	"pids":      func(g *Group) error { _, err := g.PIDs(); return err },
	"processes": func(g *Group) error { _, err := g.ProcessCount(); return err },
	"io":        func(g *Group) error { _, err := g.IO(nil); return err },
	"pressure":  func(g *Group) error { _, err := g.Pressure(); return err },
}

func TestGroupThatIsRemovedSaysSo(t *testing.T) {
	for name, read := range readings {
		t.Run(name, func(t *testing.T) {
			l := newLive(t)
			held, fresh := open(t, l.fs, l.path), open(t, l.fs, l.path)
			readAll(t, held) // and so keeps descriptors
			l.remove()
			if name == "pressure" && l.fs.mode == V1 {
				t.Skip("version 1 has no pressure")
			}
			for which, g := range map[string]*Group{"whose files are open": held, "not read before": fresh} {
				if err := read(g); !errors.Is(err, ErrGone) {
					t.Errorf("a group %s: error %v, want ErrGone", which, err)
				}
			}
			if _, err := l.fs.Open(l.path); !errors.Is(err, ErrGone) {
				t.Errorf("opened again: error %v, want ErrGone", err)
			}
		})
	}
}

// A container that is restarted gets the same path.
func TestGroupThatComesBackIsAnotherOne(t *testing.T) {
	l := newLive(t)
	old := open(t, l.fs, l.path)
	readAll(t, old)
	l.remove()
	for _, dir := range l.dirs {
		if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	if _, err := old.CPU(); !errors.Is(err, ErrGone) {
		t.Errorf("the old one: error %v, want ErrGone", err)
	}
	readAll(t, open(t, l.fs, l.path))
}

func TestGroupOfACopyIsGoneWithItsFolder(t *testing.T) {
	for name, fixture := range fixtures {
		t.Run(name, func(t *testing.T) {
			root := extract(t, name)
			f := newFS(t, Options{Root: root, MaxOpen: 1})
			g := open(t, f, fixture.busy)
			readAll(t, g)
			if err := os.RemoveAll(root); err != nil {
				t.Fatal(err)
			}
			if _, err := g.PIDs(); !errors.Is(err, ErrGone) {
				t.Errorf("error %v, want ErrGone", err)
			}
		})
	}
}
