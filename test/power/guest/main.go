// Command guest is the first process of a virtual machine whose power will be
// cut. It says what its store has, and then stores on and on, a line for each
// round of samples that a power cut may not take away any more.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/plimsoll-io/plimsoll/collector/store"
)

// nSeries is how many series are live; as many again are late.
const nSeries = 50

func main() {
	fmt.Println("FAIL:", run(context.Background()))
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) // ends the machine: it is told not to reboot
}

func run(ctx context.Context) error {
	if err := boot(); err != nil {
		return fmt.Errorf("boot: %w", err)
	}
	base, err := strconv.ParseInt(os.Getenv("PLIMSOLL_BASE"), 10, 64)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := store.Open(ctx, store.Options{Dir: "/data/tsdb", Log: log})
	if err != nil {
		return err
	}
	r := rounds{store: s, base: base}
	stored, err := r.stored(ctx)
	if err != nil {
		return err
	}
	losses := 0
	for _, l := range s.Losses() {
		if !l.CutShort {
			losses++
			fmt.Println(l)
		}
	}
	fmt.Printf("found %d rounds, %d losses, unclean %t\n", stored, losses, s.UncleanStop())
	for n := stored + 1; ; n++ {
		if err := r.put(ctx, n); err != nil {
			return err
		}
		if err := s.Sync(ctx); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// boot makes the disk known and mounts it.
func boot() error {
	if err := unix.Mount("dev", "/dev", "devtmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	for _, name := range []string{"/virtio_ring.ko", "/virtio.ko", "/virtio_pci_legacy_dev.ko", "/virtio_pci_modern_dev.ko", "/virtio_pci.ko", "/virtio_blk.ko"} {
		if err := load(name); err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
	}
	for range 1000 {
		err := unix.Mount("/dev/vda", "/data", "ext4", 0, "")
		if !errors.Is(err, unix.ENOENT) {
			return err
		}
		<-time.After(10 * time.Millisecond) // it is being looked for
	}
	return errors.New("there is no disk")
}

func load(module string) error {
	f, err := os.Open(module)
	if err != nil {
		return err
	}
	return errors.Join(unix.FinitModule(int(f.Fd()), "", 0), f.Close())
}

// rounds are the samples, one of each series. Round n of a live series is n
// seconds after the base, and of a late one as much before.
type rounds struct {
	store *store.Store
	base  int64 // ms since the Unix epoch
}

func (r rounds) put(ctx context.Context, n int) error {
	for late, sign := range map[string]int64{"no": 1, "yes": -1} {
		app := r.store.AppenderV2(ctx)
		for i := range nSeries {
			l := labels.FromStrings("__name__", "m", "n", strconv.Itoa(i), "late", late)
			at := r.base + sign*int64(n)*1000
			if _, err := app.Append(0, l, 0, at, float64(n), nil, nil, storage.AOptions{}); err != nil {
				return errors.Join(err, app.Rollback())
			}
		}
		if err := app.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// stored is how many rounds are there of each series. It fails if they are not
// the first ones.
func (r rounds) stored(ctx context.Context) (int, error) {
	q, err := r.store.Querier(0, math.MaxInt64)
	if err != nil {
		return 0, err
	}
	defer func() { _ = q.Close() }()
	least, series := math.MaxInt, 0
	set := q.Select(ctx, false, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "m"))
	for set.Next() {
		n, most := 0, 0
		it := set.At().Iterator(nil)
		for it.Next() == chunkenc.ValFloat {
			_, v := it.At()
			n, most = n+1, max(most, int(v))
		}
		if it.Err() != nil {
			return 0, it.Err()
		}
		if most != n {
			return 0, fmt.Errorf("%s has %d samples, and one of round %d", set.At().Labels(), n, most)
		}
		least, series = min(least, n), series+1
	}
	if series < 2*nSeries {
		least = 0
	}
	return least, set.Err()
}
