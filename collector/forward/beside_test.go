package forward

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
)

// local is a store of the collector's kind.
type local struct{ *tsdb.DB }

func (local) Sync(context.Context) error { return nil }

func TestWhatIsCommittedBesideIsForwarded(t *testing.T) {
	db, err := tsdb.Open(t.TempDir(), slog.New(slog.DiscardHandler), nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tg := newTarget(t, time.Hour)
	r := start(t, Options{Dir: t.TempDir()}, configured(t, quick(tg.server.URL, version1)))
	store := r.Beside(local{db})
	ls, now := container(2, "c"), time.Now().UnixMilli()
	put := func(app storage.AppenderV2, s labels.Labels, at int64, v float64) error {
		_, err := app.Append(0, s, 0, at, v, nil, nil, storage.AOptions{})
		return err
	}
	app := store.AppenderV2(t.Context())
	for _, at := range []int64{now - 1000, now} {
		for _, s := range ls {
			if err := put(app, s, at, float64(at-now)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := app.Append(0, labels.FromStrings("__name__", "h"), 0, now, 0, tsdbutil.GenerateTestHistogram(1), nil, storage.AOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	app = store.AppenderV2(t.Context())
	if ref, known := app.(storage.GetRef).GetRef(ls[0], ls[0].Hash()); ref == 0 || !labels.Equal(known, ls[0]) {
		t.Error("the store's series are not found through it")
	}
	if err := put(app, ls[0], now, 7); !errors.Is(err, storage.ErrDuplicateSampleForTimestamp) {
		t.Errorf("another value at the same time: %v", err)
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	app = store.AppenderV2(t.Context())
	if err := put(app, ls[0], now+5, 7); err != nil {
		t.Fatal(err)
	}
	if err := app.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := store.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := r.drained(t); e.Sent != 4 || tg.count() != 4 {
		t.Errorf("%d at the target: %+v", tg.count(), e)
	}
}
