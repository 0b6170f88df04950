package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ext4 mounts a small file system on a file.
func ext4(t *testing.T) string {
	t.Helper()
	_, dir := ext4Image(t)
	return dir
}

func ext4Image(t *testing.T) (image, dir string) {
	t.Helper()
	if os.Getuid() != 0 && os.Getenv("CI") != "true" {
		t.Skip("only root mounts file systems")
	}
	image, dir = filepath.Join(t.TempDir(), "image"), t.TempDir()
	for _, args := range [][]string{
		{"truncate", "-s", "48M", image},
		{"mkfs.ext4", "-q", "-m", "0", image},
		{"mount", "-o", "loop", image, dir},
	} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v, %s", args, err, out)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return image, dir
}

// sender does with a store what ingest does: it acknowledges what has been
// synced, waits while it is refused, and has the store opened anew after a
// failure.
type sender struct {
	store           *Store
	acked, reopened atomic.Int64
}

func (x *sender) run(ctx context.Context) {
	const enough = 15_000 // samples of each series fit
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		n := int(x.acked.Load())
		if n >= enough || x.store.Refuse() != nil {
			continue
		}
		if put(x.store, series(50), n, n+1) == nil && x.store.Sync(ctx) == nil {
			x.acked.Add(1)
		} else if x.store.Reopen(ctx) == nil {
			x.reopened.Add(1)
		}
	}
}

// goesOn waits until some more samples are taken. A slow disk has its time for each.
func (x *sender) goesOn(t *testing.T) {
	t.Helper()
	for from := x.acked.Load(); x.acked.Load() <= from+20; {
		before := x.acked.Load()
		within(t, "a sample is taken", func() bool { return x.acked.Load() > before })
	}
}

func TestNothingAcknowledgedIsLostHoweverOftenTheDiskFills(t *testing.T) {
	for name, mount := range map[string]func(*testing.T) string{
		"tmpfs": func(t *testing.T) string { return tmpfs(t, "size=48m") },
		"ext4":  ext4,
	} {
		t.Run(name, func(t *testing.T) {
			volume := mount(t)
			dir := filepath.Join(volume, "data")
			x := &sender{store: open(t, Options{Dir: dir})}
			ctx, cancel := context.WithCancel(t.Context())
			var sending sync.WaitGroup
			sending.Go(func() { x.run(ctx) })
			defer sending.Wait()
			defer cancel()

			random := rand.New(rand.NewPCG(7, 0))
			for range 8 {
				x.goesOn(t)
				for range 1 + random.IntN(3) { // as another program does, that writes and deletes
					hog(t, volume, random.Int64N(2)*random.Int64N(4<<20))
					<-time.After(time.Duration(random.IntN(100)) * time.Millisecond)
				}
				acked := int(x.acked.Load())
				if stored := count(t, x.store)[series(1)[0].String()]; stored < acked {
					t.Fatalf("%d samples are there on the full disk, %d were acknowledged", stored, acked)
				}
				release(t, volume)
			}
			x.goesOn(t)
			cancel()
			sending.Wait()
			acked := int(x.acked.Load())
			t.Logf("%d samples of each series acknowledged, opened anew %d times", acked, x.reopened.Load())

			killed := t.TempDir()
			if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			mustClose(t, x.store)
			for what, dir := range map[string]string{"after a kill": killed, "after a clean stop": dir} {
				s := open(t, Options{Dir: dir})
				for l, stored := range count(t, s) {
					if stored < acked || stored > acked+1 {
						t.Errorf("%s: %s has %d samples, %d were acknowledged", what, l, stored, acked)
					}
				}
				if n, _ := s.lost(); n > 0 {
					t.Errorf("%s: losses %+v", what, s.Losses())
				}
				mustClose(t, s)
			}
		})
	}
}

// What is beyond retention may go once there is room to note that it has gone.
func TestNoBlockIsForgottenWhileTheDiskIsFull(t *testing.T) {
	from, _ := twoBlocks(t)
	remove(t, filepath.Join(from, ballastFile))
	volume := tmpfs(t, "size=48m")
	dir := filepath.Join(volume, "data")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	hog(t, volume, 0)
	s := open(t, Options{Dir: dir, Ballast: Space{Bytes: -1}, RetentionBytes: 1})
	if !s.life.shadow {
		t.Error("it is open for writing")
	}
	each(t, s, 20, 6*60)
	if err := s.Snapshot(filepath.Join(volume, "snapshot"), true); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("snapshot: error %v", err)
	}
	mustClose(t, s)
}
