package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// die makes an ext4 fail each write and flush from now on, as the kernel does
// after an error of the disk, and forget what was not flushed.
func die(volume string) error {
	const (
		shutdown = 0x8004587d // EXT4_IOC_SHUTDOWN of the kernel's ext4.h
		noFlush  = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH
	)
	d, err := os.Open(volume)
	if err != nil {
		return err
	}
	return errors.Join(unix.IoctlSetPointerInt(int(d.Fd()), shutdown, noFlush), d.Close())
}

// A disk that has an error takes nothing any more. What was acknowledged before
// is there when it is well again; nothing is acknowledged in between.
func TestADiskThatDiesLosesNothingAcknowledged(t *testing.T) {
	image, volume := ext4Image(t)
	dir := filepath.Join(volume, "data")
	out, err := child(t, dir, "store until the disk dies").Output()
	if err != nil {
		t.Fatalf("%s, error %v", out, err)
	}
	acked := 0
	if _, err := fmt.Sscanf(string(out), "%d acknowledged\n", &acked); err != nil || acked < 100 {
		t.Fatalf("%s, error %v", out, err)
	}
	if err := unix.Unmount(volume, 0); err != nil {
		t.Fatal(err)
	}
	// A process that has just begun a mount namespace of its own may still have
	// the dead one, and of the same file the kernel would give that again.
	healed := image + "-healed"
	for _, args := range [][]string{{"cp", "--sparse=always", image, healed}, {"mount", "-o", "loop", healed, volume}} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v, %s", args, err, out)
		}
	}
	s := open(t, Options{Dir: dir})
	defer mustClose(t, s)
	stored := count(t, s)
	for l, n := range stored {
		if n < acked || n > acked+6 {
			t.Errorf("%s: %d samples, %d were acknowledged", l, n, acked)
		}
	}
	if lost, _ := s.lost(); lost > 0 || len(stored) != 50 {
		t.Errorf("%d series, losses %+v", len(stored), s.Losses())
	}
}

// storeUntilTheDiskDies prints how many samples of each series are acknowledged.
// The TSDB does not close on such a disk, so that what it has open goes with the
// process.
func storeUntilTheDiskDies(dir string) error {
	ctx := context.Background()
	s, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		return err
	}
	acked := 0
	for ; acked < 300; acked += 10 {
		if err := errors.Join(put(s, series(50), acked, acked+10), s.Sync(ctx)); err != nil {
			return err
		}
	}
	fmt.Printf("%d acknowledged\n", acked)
	if err := errors.Join(put(s, series(50), acked, acked+5), die(filepath.Dir(dir))); err != nil {
		return err
	}
	for range 2 {
		_ = put(s, series(50), acked+5, acked+6) // whether or not it is taken
		if s.Sync(ctx) == nil {
			return errors.New("the disk has flushed something")
		}
		if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "input/output error") {
			return fmt.Errorf("not ready because %w", err)
		}
		q, err := s.Querier(0, 1<<62)
		if err != nil {
			return err
		}
		if n, _, err := q.LabelValues(ctx, "n", nil); err != nil || len(n) != 50 {
			return fmt.Errorf("queries find %v, error %w", n, err)
		}
		if err := q.Close(); err != nil {
			return err
		}
		trying, cancel := context.WithTimeout(ctx, 2*time.Second)
		err = s.Reopen(trying)
		cancel()
		if err == nil {
			return errors.New("it is opened anew")
		}
	}
	if s.Close() == nil {
		return errors.New("it closed as if all were well")
	}
	return nil
}
