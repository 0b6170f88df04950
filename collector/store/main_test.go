package store

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"go.uber.org/goleak"
)

// childEnv names the data directory of a copy of the test binary that does the
// deed that deedEnv names, on samples from noonEnv on: midnight may have passed.
const (
	childEnv = "PLIMSOLL_STORE_TEST_CHILD"
	deedEnv  = "PLIMSOLL_STORE_TEST_DEED"
	noonEnv  = "PLIMSOLL_STORE_TEST_NOON"
)

var deeds = map[string]func(dir string) error{
	"store for ever":            storeForEver,
	"close on a full disk":      closeOnAFullDisk,
	"store until the disk dies": storeUntilTheDiskDies,
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		var err error
		if noon, err = time.Parse(time.RFC3339, os.Getenv(noonEnv)); err != nil {
			panic(err)
		}
		if err := deeds[os.Getenv(deedEnv)](dir); err != nil {
			panic(err)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// child prepares a copy of the test binary for a deed.
func child(t *testing.T, dir, deed string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir, deedEnv+"="+deed, noonEnv+"="+noon.Format(time.RFC3339))
	cmd.Stderr = os.Stderr
	return cmd
}

// storeForEver appends a sample to each of ten series, and a late one to another
// ten, syncs, and prints how many each has by now, again and again. It goes on
// where the last one was killed.
func storeForEver(dir string) error {
	s, err := Open(context.Background(), Options{Dir: dir})
	if err != nil {
		return err
	}
	done, err := wholeRounds(s)
	if err != nil {
		return err
	}
	for n := done + 1; ; n++ {
		if err := put(s, series(10), firstLive+n-1, firstLive+n); err != nil {
			return err
		}
		// Each is an hour and more behind the live ones, and behind its own.
		if err := put(s, lateSeries(), firstLate-n, firstLate-n+1); err != nil {
			return err
		}
		if err := s.Sync(context.Background()); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

const (
	firstLive = 40_000
	firstLate = 30_000
)

func lateSeries() []labels.Labels {
	all := series(10)
	for i, l := range all {
		all[i] = labels.NewBuilder(l).Set("late", "yes").Labels()
	}
	return all
}

// wholeRounds is how many samples each series has, the least of all. It fails if
// they are not the first ones.
func wholeRounds(s *Store) (int, error) {
	q, err := s.Querier(0, math.MaxInt64)
	if err != nil {
		return 0, err
	}
	defer func() { _ = q.Close() }()
	least, found := math.MaxInt, 0
	set := q.Select(context.Background(), false, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "m"))
	for set.Next() {
		var n, first, last int
		for it := set.At().Iterator(nil); it.Next() == chunkenc.ValFloat; n++ {
			_, v := it.At()
			if n == 0 {
				first = int(v)
			}
			last = int(v)
		}
		if first != firstLive && last != firstLate-1 || last-first != n-1 {
			return 0, fmt.Errorf("%s has %d samples, the first is number %d and the last %d", set.At().Labels(), n, first, last)
		}
		least, found = min(least, n), found+1
	}
	if found < 20 {
		least = 0
	}
	return least, set.Err()
}

// killed runs storeForEver on dir, kills it a moment after it has synced so many
// times and returns how many samples it had said each series has.
func killed(t *testing.T, dir string, times int, moment time.Duration) (synced int) {
	t.Helper()
	cmd := child(t, dir, "store for ever")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, heard := bufio.NewScanner(out), 0
	for ; lines.Scan(); heard++ {
		if _, err := fmt.Sscan(lines.Text(), &synced); err != nil {
			t.Fatal(err)
		}
		if heard == times {
			time.AfterFunc(moment, func() { _ = cmd.Process.Kill() }) // it has ended only if the test fails
		}
	}
	if err := cmd.Wait(); err == nil || heard < times {
		t.Fatalf("the child ended by itself after %d rounds, error %v", heard, err)
	}
	return synced
}
