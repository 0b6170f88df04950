package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// failSync makes the store fail as a disk does that cannot flush: a kernel
// flushes no device file.
func failSync(t *testing.T, s *Store) {
	t.Helper()
	newest := filepath.Join(s.Dir(), walDir, segmentName(1))
	if err := os.Symlink("/dev/null", newest); err != nil {
		t.Fatal(err)
	}
	if s.Sync(t.Context()) == nil {
		t.Fatal("a device was flushed")
	}
	remove(t, newest)
}

func TestAFailedStoreGoesOnOnceItIsOpenedAnew(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := open(t, Options{Dir: t.TempDir(), Registerer: reg})
	defer mustClose(t, s)
	mustPut(t, s, series(10), 0, 100)
	failSync(t, s)
	if s.Refuse() != nil { // or nobody would notice that it is to be opened anew
		t.Errorf("refused because %v", s.Refuse())
	}
	if s.Ready() == nil || put(s, series(10), 100, 101) == nil || s.Sync(t.Context()) == nil {
		t.Error("a failed store goes on")
	}
	each(t, s, 10, 100) // queries do

	if err := s.Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Refuse(); err != nil {
		t.Error(err)
	}
	mustPut(t, s, series(10), 100, 200)
	if err := s.Sync(t.Context()); err != nil {
		t.Error(err)
	}
	each(t, s, 10, 200)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "prometheus_tsdb_head_series" && f.Metric[0].GetGauge().GetValue() != 10 {
			t.Errorf("%v series", f.Metric[0].GetGauge().GetValue())
		}
		if f.GetName() == "plimsoll_store_reopened_total" && f.Metric[0].GetCounter().GetValue() != 1 {
			t.Errorf("opened anew %v times", f.Metric[0].GetCounter().GetValue())
		}
	}
}

func TestOpeningAnewWaitsForQueriesAndTheNextOnesWaitForIt(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	defer mustClose(t, s)
	mustPut(t, s, series(10), 0, 1000)
	s.life.db.ForceHeadMMap() // what is read lies in a file that closing unmaps
	under, err := s.Querier(0, noon.Add(time.Hour).UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	set := under.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "m"))
	reopened, asked := make(chan error, 1), make(chan map[string]int, 1)
	go func() { reopened <- s.Reopen(t.Context()) }()
	within(t, "nothing new is taken", func() bool { return errors.Is(s.Refuse(), errRenewed) })
	if err := put(s, series(1), 2000, 2001); !errors.Is(err, errRenewed) {
		t.Errorf("a sample is taken meanwhile, error %v", err)
	}
	go func() { asked <- count(t, s) }()

	read := 0
	for set.Next() {
		for it := set.At().Iterator(nil); it.Next() != 0; read++ {
		}
	}
	if set.Err() != nil || read != 10_000 {
		t.Errorf("%d samples, error %v", read, set.Err())
	}
	select {
	case err := <-reopened:
		t.Fatalf("opened anew under a query, error %v", err)
	case <-asked:
		t.Fatal("a query ran in between")
	default:
	}
	for range 2 { // the second time does no harm
		if err := under.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-reopened; err != nil {
		t.Error(err)
	}
	if counts := <-asked; len(counts) != 10 || counts[series(1)[0].String()] != 1000 {
		t.Errorf("counts %v", counts)
	}
}

func TestOpeningAnewEndsWithItsContextAndTheStoreStays(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	defer mustClose(t, s)
	mustPut(t, s, series(10), 0, 10)
	app := s.AppenderV2(t.Context()) // a transaction that does not end
	ctx, cancel := context.WithCancel(t.Context())
	reopened := make(chan error, 1)
	go func() { reopened <- s.Reopen(ctx) }()
	within(t, "it waits", func() bool { return s.Refuse() != nil })
	cancel()
	if err := <-reopened; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 queries or transactions") {
		t.Errorf("error %v", err)
	}
	if err := app.Rollback(); err != nil {
		t.Error(err)
	}
	mustPut(t, s, series(10), 10, 20)
	each(t, s, 10, 20)
}

// A series that was not yet in the log loses its number with the life it had, and
// another gets it.
func TestAReferenceOfAnEarlierLifeIsHarmless(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	defer mustClose(t, s)
	a, b := series(2)[0], series(2)[1]
	appendTo := func(ref storage.SeriesRef, l labels.Labels, n int) storage.SeriesRef {
		t.Helper()
		app := s.AppenderV2(t.Context())
		ref, err := app.Append(ref, l, 0, noon.UnixMilli()+int64(n)*1000, float64(n), nil, nil, storage.AOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
		return ref
	}
	refA, refB := appendTo(0, a, 0), appendTo(0, b, 0)
	if again := appendTo(refA, a, 1); again != refA {
		t.Errorf("reference %d became %d", refA, again)
	}
	for range 3 {
		if err := s.Reopen(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// Each with the other's: the labels decide.
	newA, newB := appendTo(refB, a, 2), appendTo(refA, b, 2)
	if newA == refA || newB == refB {
		t.Error("a reference stayed the same over lives")
	}
	if appendTo(newA, a, 3) != newA {
		t.Error("a reference of this life is not kept")
	}
	v1 := s.Appender(t.Context())
	if _, err := v1.Append(refB, a, noon.UnixMilli()+4000, 4); err != nil {
		t.Error(err)
	}
	if err := v1.Commit(); err != nil {
		t.Error(err)
	}
	if got := count(t, s); got[a.String()] != 5 || got[b.String()] != 2 {
		t.Errorf("counts %v", got)
	}
}

func TestTheBackgroundWorkGoesOnAfterAPanicOfTheTSDB(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	defer mustClose(t, s)
	err := s.life.careful("pack chunks", func() error { panic("preallocate: no space left on device") })
	if err == nil || s.life.failure() == nil || s.Ready() == nil {
		t.Errorf("error %v, failure %v", err, s.life.failure())
	}
	if err := s.Reopen(t.Context()); err != nil || s.Ready() != nil {
		t.Errorf("error %v, not ready because %v", err, s.Ready())
	}
}

// Nobody may append because it is not ready, and so nobody would call Reopen.
func TestAFailedStoreThatNobodyOpensAnewDoesSoItself(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	defer mustClose(t, s)
	mustPut(t, s, series(10), 0, 100)
	before := s.Lives()
	failSync(t, s)
	s.mend(t.Context())
	if s.Ready() == nil || s.Lives() != before {
		t.Error("it did not wait for those who append")
	}
	s.life.failed.Store(&failure{errors.New("a disk"), time.Now().Add(-time.Hour)})
	within(t, "it is open", func() bool { return s.Ready() == nil })
	if s.Lives() == before {
		t.Error("whoever counts lives does not notice")
	}
	each(t, s, 10, 100)
}
