package spool

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// small is a spool whose segments hold two batches.
func small(t *testing.T, opts Options) (s *Spool, appendTo func(next uint64)) {
	opts.SegmentBytes = 300
	s = open(t, opts)
	g := group("a")
	return s, func(next uint64) {
		t.Helper()
		for s.NextSeq() < next {
			put(t, s, tick(int(s.NextSeq()), g))
		}
	}
}

func TestABatchStaysUntilEachCollectorHasIt(t *testing.T) {
	s, appendTo := small(t, Options{Dir: t.TempDir(), Keep: -1})
	a, b := s.Cursor("a"), s.Cursor("b")
	appendTo(21)
	a.Ack(20)
	if st := s.Stats(); st.Oldest != 1 || st.Acked != 0 {
		t.Errorf("one of two has them all: %+v", st)
	}
	b.Ack(10)
	if st := s.Stats(); st.Oldest > 11 || st.Oldest < 9 || st.Acked != 10 || b.Acked() != 10 || a.Acked() != 20 {
		t.Errorf("the other has ten: %+v", st)
	}
	b.Ack(5) // an old one comes late
	b.Ack(20)
	if st := s.Stats(); st.Segments != 1 || st.Acked != 20 {
		t.Errorf("both have them all: %+v", st)
	}
}

func TestWhatACollectorNeverHadIsCountedWhenItIsDropped(t *testing.T) {
	s, appendTo := small(t, Options{Dir: t.TempDir(), MaxBytes: 3000})
	a, b := s.Cursor("a"), s.Cursor("b")
	appendTo(11)
	a.Ack(10)
	b.Ack(4)
	appendTo(101)
	st := s.Stats()
	if want := st.Oldest - 1 - 4; st.Dropped.Batches != want || st.Bytes > 3000 {
		t.Errorf("%+v: want %d batches dropped that b never had", st, want)
	}
}

func TestAcknowledgedBatchesAreKeptForAWhileWithinTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, appendTo := small(t, Options{Dir: t.TempDir(), MaxBytes: 3000})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		c := s.Cursor("c")
		appendTo(11)
		c.Ack(10)
		<-time.After(2*time.Hour - time.Minute)
		st := s.Stats()
		if st.Oldest != 1 || st.Kept < 8 || st.KeptBytes == 0 || st.KeptBytes >= st.Bytes {
			t.Errorf("nearly two hours after: %+v", st)
		}
		<-time.After(2 * time.Minute)
		if st := s.Stats(); st.Segments != 1 || st.Kept != 0 || st.KeptBytes != 0 {
			t.Errorf("two hours after: %+v", st)
		}
		appendTo(24)
		c.Ack(23)
		appendTo(34)
		if st := s.Stats(); st.Bytes > 3000 || st.Kept == 0 || st.Dropped != (Count{}) {
			t.Errorf("over the bound: %+v: want what is acknowledged to go first, and not to count as lost", st)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		s.Close()
	})
}

func TestCursorsOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	s, appendTo := small(t, Options{Dir: dir, BootID: "boot-1"})
	appendTo(11)
	s.Cursor("a").Ack(7)
	s.Cursor("b c\n").Ack(3)
	s.Close()
	s, _ = small(t, Options{Dir: dir, BootID: "boot-1"})
	a, b := s.Cursor("a"), s.Cursor("b c\n")
	if a.Acked() != 7 || b.Acked() != 3 || s.Cursor("new").Acked() != 0 || a.Oldest() != 1 {
		t.Errorf("after a restart the cursors are at %d and %d, and the oldest batch is %d", a.Acked(), b.Acked(), a.Oldest())
	}
}

// A collector must not take twice, under two identities, what it had before the
// machine crashed.
func TestUnderANewIdentityACollectorIsOfferedOnlyWhatItLacks(t *testing.T) {
	dir := t.TempDir()
	s, appendTo := small(t, Options{Dir: dir, BootID: "boot-1"})
	appendTo(11)
	c := s.Cursor("c")
	c.Ack(6)
	s.saveCursors()
	id := s.ID()
	s, appendTo = small(t, Options{Dir: killed(t, s), BootID: "boot-2"}) // the machine went down
	c = s.Cursor("c")
	if s.ID() == id || c.Oldest() != 7 || c.Acked() != 6 || s.Cursor("new").Oldest() != 1 {
		t.Errorf("oldest is %d for one that had 6, %d for one that had none", c.Oldest(), s.Cursor("new").Oldest())
	}
	appendTo(15)
	c.Ack(13)
	if c.Oldest() != 7 {
		t.Errorf("oldest is %d after more was acknowledged: what was sent under this identity is kept for its sake", c.Oldest())
	}
	if err := s.Renew(); err != nil {
		t.Fatal(err)
	}
	if c.Oldest() != 14 {
		t.Errorf("oldest is %d after another renewal, want 14", c.Oldest())
	}
}

func TestACursorsFileThatMakesNoSenseIsAsGoodAsNone(t *testing.T) {
	for name, content := range map[string]string{
		"empty":           "",
		"another version": "plimsoll-cursors 2\n1 0 \"c\"\n",
		"no number":       cursorsHeader + "\nx 0 \"c\"\n",
		"no name":         cursorsHeader + "\n1 0 c\n",
		"half a line":     cursorsHeader + "\n1 0",
		"ahead of itself": cursorsHeader + "\n1000 2000 \"c\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, cursorsName), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			s, appendTo := small(t, Options{Dir: dir, Keep: -1})
			appendTo(5)
			c := s.Cursor("c")
			if c.Acked() != 0 || c.Oldest() != 1 {
				t.Errorf("acknowledged %d, oldest %d", c.Acked(), c.Oldest())
			}
		})
	}
}

func FuzzCursors(f *testing.F) {
	f.Add([]byte(cursorsHeader + "\n7 3 \"c\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, cursorsName), data, 0o600); err != nil {
			t.Fatal(err)
		}
		known, err := readCursors(dir)
		if err != nil || len(known) > maxCursors {
			t.Fatalf("%d cursors, %v", len(known), err)
		}
		for name, c := range known {
			if c.name != name || c.former > c.acked {
				t.Fatalf("%+v under %q", c, name)
			}
		}
	})
}
