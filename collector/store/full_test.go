package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tmpfs mounts a small file system in memory.
func tmpfs(t *testing.T, options string) string {
	t.Helper()
	if os.Getuid() != 0 && os.Getenv("CI") != "true" {
		t.Skip("only root mounts file systems")
	}
	dir := t.TempDir()
	if err := unix.Mount("plimsoll-store", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// hog takes space until so many bytes are free.
func hog(t *testing.T, dir string, free int64) {
	t.Helper()
	if err := take(dir, free); err != nil {
		t.Fatal(err)
	}
}

// take tries again where the store takes space meanwhile.
func take(dir string, free int64) error {
	f, err := os.OpenFile(filepath.Join(dir, "hog"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	for {
		v, err := statfs(dir)
		if err != nil || v.free <= free {
			return errors.Join(err, f.Close())
		}
		info, err := f.Stat()
		if err == nil {
			err = unix.Fallocate(int(f.Fd()), 0, info.Size(), v.free-free)
		}
		if err != nil && !errors.Is(err, unix.ENOSPC) {
			return errors.Join(err, f.Close())
		}
	}
}

// release gives back what hog has taken.
func release(t *testing.T, dir string) { remove(t, filepath.Join(dir, "hog")) }

// within fails the test unless ok becomes true in five seconds, which is what a
// store promises for its recovery, times six for a machine under load.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not in half a minute: %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// nothingIsTaken waits until the guard has seen all of what was taken: its last look
// may have been at a disk that was only filling.
func nothingIsTaken(t *testing.T, s *Store) {
	t.Helper()
	within(t, "nothing may be written", func() bool { return s.guard.stop() != nil })
	if put(s, series(50), 5000, 5001) == nil {
		t.Error("a sample was taken")
	}
}

func TestADiskThatFillsStopsIngestAndNothingElse(t *testing.T) {
	volume := tmpfs(t, "size=48m")
	dir := filepath.Join(volume, "data")
	log, said := warnings()
	s := open(t, Options{Dir: dir, Log: log})
	mustPut(t, s, series(50), 0, 1000)
	within(t, "the ballast is made", func() bool { return s.guard.state().ballast > 0 })
	if err := s.Refuse(); err != nil {
		t.Fatalf("there is room, but %v", err)
	}

	// Below the mark agents are told to wait. The collector's own series go on.
	hog(t, volume, 4<<20)
	within(t, "ingest is refused", func() bool { return s.Refuse() != nil })
	if err := s.Refuse(); !strings.Contains(err.Error(), "MiB must stay so") || s.Ready() == nil {
		t.Errorf("refused because %v", err)
	}
	mustPut(t, s, series(50), 1000, 1010)

	// Nothing is left: nothing is written, not even by the TSDB.
	hog(t, volume, 0)
	within(t, "the ballast is given back, and taken", func() bool {
		hog(t, volume, 0)
		return s.guard.state().ballast == 0
	})
	nothingIsTaken(t, s)
	if err := s.life.upkeepOnce(t.Context()); !lacksRoom(err) {
		t.Errorf("the TSDB was let write, error %v", err)
	}
	each(t, s, 50, 1010)
	if err := s.Sync(t.Context()); err != nil {
		t.Errorf("what was written is not safe: %v", err)
	}

	release(t, volume)
	within(t, "ingest goes on", func() bool { return s.Refuse() == nil })
	within(t, "the ballast is made anew", func() bool { return s.guard.state().ballast > 0 })
	mustPut(t, s, series(50), 1010, 1020)
	if err := s.life.upkeepOnce(t.Context()); err != nil {
		t.Error(err)
	}
	mustClose(t, s)
	s = open(t, Options{Dir: dir})
	defer mustClose(t, s)
	each(t, s, 50, 1020)
	if got := said.String(); strings.Count(got, "ingest is refused") != 1 || strings.Count(got, "its ballast has been given back") == 0 {
		t.Errorf("the log says\n%s", got)
	}
}

// The TSDB panics there. What it leaves behind goes with the process.
func TestAStoreOnAFullDiskCloses(t *testing.T) {
	volume := tmpfs(t, "size=48m")
	dir := filepath.Join(volume, "data")
	out, err := child(t, dir, "close on a full disk").Output()
	if err != nil || !strings.Contains(string(out), "no space left") {
		t.Errorf("%s, error %v", out, err)
	}
	release(t, volume)
	s := open(t, Options{Dir: dir})
	defer mustClose(t, s)
	each(t, s, 50, 1000)
	if !s.UncleanStop() {
		t.Error("that was no clean stop")
	}
}

// closeOnAFullDisk prints why the store did not close.
func closeOnAFullDisk(dir string) error {
	s, err := Open(context.Background(), Options{Dir: dir, Ballast: Space{Bytes: -1}})
	if err != nil {
		return err
	}
	if err := put(s, series(50), 0, 1000); err != nil { // several chunks each, which it wants to pack
		return err
	}
	if err := s.Sync(context.Background()); err != nil {
		return err
	}
	if err := take(filepath.Dir(dir), 0); err != nil {
		return err
	}
	fmt.Println(s.Close())
	return nil
}

// The guard looks every second, and at each commit. Another process may be
// faster all the same; so may a quota.
func TestAfterAFailedWriteNothingIsAcknowledgedThatIsLost(t *testing.T) {
	volume := tmpfs(t, "size=48m")
	dir := filepath.Join(volume, "data")
	s := open(t, Options{Dir: dir})
	mustPut(t, s, series(50), 0, 500)
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	stale(s)
	hog(t, volume, 0)
	failed := 500
	for ; put(s, series(50), failed, failed+1) == nil; failed++ {
	}
	if s.life.failure() == nil || s.Ready() == nil {
		t.Fatalf("the guard was first: %v", s.Refuse())
	}
	release(t, volume)
	if put(s, series(50), failed, failed+1) == nil {
		t.Error("after a failed write another was taken")
	}
	if s.Sync(t.Context()) == nil {
		t.Error("after a failed write all is said to be safe")
	}
	if err := s.Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Refuse(); err != nil {
		t.Errorf("it is open, but %v", err)
	}
	stored := count(t, s)[series(1)[0].String()]
	if stored < 500 {
		t.Errorf("%d samples are left of 500 that were safe", stored)
	}
	for _, l := range s.Losses() {
		if !l.CutShort {
			t.Errorf("what was never acknowledged is said to be lost: %v", l)
		}
	}
	mustPut(t, s, series(50), stored, 2000)
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	crashed := t.TempDir()
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = open(t, Options{Dir: crashed})
	defer mustClose(t, s)
	each(t, s, 50, 2000)
}

// stale stops the guard's looks.
func stale(s *Store) {
	s.stop()
	s.watching.Wait()
	s.guard.mu.Lock()
	defer s.guard.mu.Unlock()
	s.guard.at = time.Now().Add(time.Hour)
}

// Late samples go to a log of their own, and the TSDB tells nobody if it cannot
// write it.
func TestAFailedWriteOfLateSamplesIsNoticed(t *testing.T) {
	volume := tmpfs(t, "size=48m")
	s := open(t, Options{Dir: filepath.Join(volume, "data"), Ballast: Space{Bytes: -1}})
	mustPut(t, s, series(1), 80_000, 80_001)
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	stale(s)
	hog(t, volume, 0)
	for late := 0; s.life.lost() == nil; late++ {
		if late == 80_000 {
			t.Fatal("all was written to a full disk")
		}
		if err := put(s, series(1), late, late+1); err != nil {
			break
		}
	}
	if s.Sync(t.Context()) == nil {
		t.Error("all is said to be safe")
	}
	release(t, volume)
	if err := s.Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
}

func TestAStoreStartsOnAFullDisk(t *testing.T) {
	tests := map[string]struct {
		options string
		ballast Space
		killed  bool
		fill    func(t *testing.T, volume string)
		free    func(t *testing.T, volume string)
		shadow  bool
		says    string
	}{
		"after a clean stop": {
			"size=48m",
			Space{Bytes: -1},
			false,
			func(t *testing.T, volume string) { hog(t, volume, 0) }, release, true, "no space left",
		},
		"after a kill": {
			"size=48m",
			Space{Bytes: -1},
			true,
			func(t *testing.T, volume string) { hog(t, volume, 0) }, release, true, "no space left",
		},
		"with ballast left, it opens for real": {
			"size=48m",
			Space{Bytes: 20 << 20},
			true,
			func(t *testing.T, volume string) { hog(t, volume, 0) }, release, false, "must stay so",
		},
		"without inodes": {
			"size=48m,nr_inodes=64",
			Space{Bytes: -1},
			true, takeInodes,
			func(t *testing.T, volume string) { remove(t, filepath.Join(volume, "names")) }, true, "inodes are free",
		},
		"on a read-only file system": {
			"size=48m",
			Space{Bytes: -1},
			true,
			func(t *testing.T, volume string) { remount(t, volume, unix.MS_RDONLY) },
			func(t *testing.T, volume string) { remount(t, volume, 0) }, true, "read-only file system",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			volume := tmpfs(t, tt.options)
			dir := filepath.Join(volume, "data")
			live := t.TempDir()
			if !tt.killed {
				live = dir
			}
			s := open(t, Options{Dir: live, Ballast: tt.ballast})
			mustPut(t, s, series(50), 10_000, 11_000)
			mustPut(t, s, series(50), 0, 100)
			if tt.killed {
				within(t, "the ballast is made", func() bool { return s.guard.state().ballast == max(0, tt.ballast.Bytes) })
				if err := os.CopyFS(dir, os.DirFS(live)); err != nil {
					t.Fatal(err)
				}
			}
			mustClose(t, s)
			tt.fill(t, volume)
			before := listing(t, dir)

			s = open(t, Options{Dir: dir, Ballast: tt.ballast})
			each(t, s, 50, 1100)
			if s.life.shadow != tt.shadow {
				t.Errorf("from memory: %v", s.life.shadow)
			}
			if err := s.Refuse(); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("refused because %v, want %q", err, tt.says)
			}
			if tt.shadow {
				if put(s, series(1), 20_000, 20_001) == nil {
					t.Error("a sample was taken")
				}
				if after := listing(t, dir); after != before {
					t.Errorf("the data directory was\n%s\nand is\n%s", before, after)
				}
			}
			tt.free(t, volume)
			within(t, "it is open", func() bool { return s.Refuse() == nil })
			each(t, s, 50, 1100)
			mustPut(t, s, series(50), 20_000, 20_010)
			if s.UncleanStop() != tt.killed {
				t.Errorf("unclean %v", s.UncleanStop())
			}
			mustClose(t, s)
			s = open(t, Options{Dir: dir, Ballast: tt.ballast})
			defer mustClose(t, s)
			each(t, s, 50, 1110)
			if s.UncleanStop() || len(s.Losses()) > 0 {
				t.Errorf("unclean %v, losses %v", s.UncleanStop(), s.Losses())
			}
			for _, parent := range memoryDirs() {
				if _, err := os.Stat(shadowOf(dir, parent)); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the shadow is still there, error %v", err)
				}
			}
		})
	}
}

func takeInodes(t *testing.T, volume string) {
	t.Helper()
	names := filepath.Join(volume, "names")
	if err := os.Mkdir(names, 0o700); err != nil {
		t.Fatal(err)
	}
	for {
		_, err := os.MkdirTemp(names, "")
		if errors.Is(err, unix.ENOSPC) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func remount(t *testing.T, volume string, flags uintptr) {
	t.Helper()
	if err := unix.Mount("plimsoll-store", volume, "tmpfs", unix.MS_REMOUNT|flags, "size=48m"); err != nil {
		t.Fatal(err)
	}
}

// listing is all files of a directory with their sizes and times.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			b.WriteString(path + " " + info.ModTime().String() + " " + inBytes(info.Size()) + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFewInodesStopIngestAndNothingElse(t *testing.T) {
	volume := tmpfs(t, "size=48m,nr_inodes=64")
	s := open(t, Options{Dir: filepath.Join(volume, "data")})
	mustPut(t, s, series(50), 0, 1000)
	if err := s.Refuse(); err != nil {
		t.Fatal(err)
	}
	takeInodes(t, volume)
	within(t, "ingest is refused", func() bool { return s.Refuse() != nil })
	if err := s.Refuse(); !strings.Contains(err.Error(), "inodes") {
		t.Errorf("refused because %v", err)
	}
	nothingIsTaken(t, s)
	each(t, s, 50, 1000)
	remove(t, filepath.Join(volume, "names"))
	within(t, "ingest goes on", func() bool { return s.Refuse() == nil })
	mustPut(t, s, series(50), 1000, 1010)
	mustClose(t, s)
}
