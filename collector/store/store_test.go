package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// noon is where test samples begin; a recent time, so that retention keeps them.
var noon = time.Now().Truncate(24 * time.Hour).Add(-12 * time.Hour)

func series(n int) []labels.Labels {
	all := make([]labels.Labels, n)
	for i := range all {
		all[i] = labels.FromStrings("__name__", "m", "n", fmt.Sprint(i))
	}
	return all
}

// put appends to each series the samples from..to-1, one a second. The value is
// the number of the sample.
func put(s *Store, all []labels.Labels, from, to int) error {
	app := s.AppenderV2(context.Background())
	for n := from; n < to; n++ {
		for _, l := range all {
			if _, err := app.Append(0, l, 0, noon.UnixMilli()+int64(n)*1000, float64(n), nil, nil, storage.AOptions{}); err != nil {
				return errors.Join(err, app.Rollback())
			}
		}
	}
	return app.Commit()
}

func open(t *testing.T, opts Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustPut(t *testing.T, s *Store, all []labels.Labels, from, to int) {
	t.Helper()
	if err := put(s, all, from, to); err != nil {
		t.Fatal(err)
	}
}

func mustClose(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// count returns how many samples each series has, by its labels. It fails the
// test if a value is not the one put wrote there.
func count(t *testing.T, s *Store) map[string]int {
	t.Helper()
	q, err := s.Querier(0, noon.Add(48*time.Hour).UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	counts := map[string]int{}
	set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".+"))
	for set.Next() {
		l := set.At().Labels().String()
		it := set.At().Iterator(nil)
		for it.Next() == chunkenc.ValFloat {
			at, v := it.At()
			if want := float64(at-noon.UnixMilli()) / 1000; v != want {
				t.Fatalf("%s has %v at second %v", l, v, want)
			}
			counts[l]++
		}
		if it.Err() != nil {
			t.Fatal(it.Err())
		}
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
	return counts
}

// each fails the test unless all n series have exactly want samples.
func each(t *testing.T, s *Store, n, want int) {
	t.Helper()
	counts := count(t, s)
	for _, l := range series(n) {
		if got := counts[l.String()]; got != want {
			t.Errorf("%s has %d samples, want %d", l, got, want)
		}
	}
	if len(counts) != n {
		t.Errorf("%d series, want %d", len(counts), n)
	}
}

func TestWhatWasStoredIsThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	for restart := range 3 {
		s := open(t, Options{Dir: dir})
		mustPut(t, s, series(3), restart*100, (restart+1)*100)
		mustClose(t, s)
	}
	s := open(t, Options{Dir: dir})
	defer mustClose(t, s)
	each(t, s, 3, 300)
}

// Twenty lives of one directory, each killed at a moment that its seed chooses.
func TestWhatWasSyncedSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		synced := killed(t, dir, 1+r.IntN(40), time.Duration(r.IntN(4000))*time.Microsecond)
		s := open(t, Options{Dir: copied(t, dir)})
		if !s.UncleanStop() {
			t.Errorf("seed %d: the kill went unnoticed", seed)
		}
		// One more may have been committed and not yet told.
		if stored, err := wholeRounds(s); err != nil || stored < synced || stored > synced+1 {
			t.Fatalf("seed %d: %d samples, %d were synced, error %v", seed, stored, synced, err)
		}
		if n, _ := s.lost(); n > 0 {
			t.Errorf("seed %d: losses %+v", seed, s.Losses())
		}
		mustClose(t, s)
	}
}

// copied is a copy of a data directory, to look at what the next process finds.
func copied(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestUncleanStop(t *testing.T) {
	tests := map[string]struct {
		before func(t *testing.T, dir string)
		want   bool
	}{
		"a new directory was never left": {func(*testing.T, string) {}, false},
		"after Close it is clean": {func(t *testing.T, dir string) {
			mustClose(t, open(t, Options{Dir: dir}))
		}, false},
		"what an open store looks like is not": {func(t *testing.T, dir string) {
			live := open(t, Options{Dir: filepath.Join(t.TempDir(), "live")})
			defer mustClose(t, live)
			mustPut(t, live, series(1), 0, 10)
			if err := os.CopyFS(dir, os.DirFS(live.Dir())); err != nil {
				t.Fatal(err)
			}
		}, true},
		"a log without a known owner may not be": {func(t *testing.T, dir string) {
			mustClose(t, open(t, Options{Dir: dir}))
			if err := os.Remove(filepath.Join(dir, ownerFile)); err != nil {
				t.Fatal(err)
			}
		}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			tt.before(t, dir)
			s := open(t, Options{Dir: dir})
			defer mustClose(t, s)
			if got := s.UncleanStop(); got != tt.want {
				t.Errorf("unclean %v, want %v", got, tt.want)
			}
		})
	}
}

func TestASecondCollectorIsToldWhoHasTheDirectory(t *testing.T) {
	dir := t.TempDir()
	first := open(t, Options{Dir: dir})
	defer mustClose(t, first)
	_, err := Open(t.Context(), Options{Dir: dir})
	if err == nil {
		t.Fatal("two stores on one directory")
	}
	for _, want := range []string{dir, fmt.Sprintf("pid %d ", os.Getpid()), "stop that one"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	mustPut(t, first, series(1), 0, 10) // the first has not noticed
	each(t, first, 1, 10)
}

func TestADirectoryThatCannotBeWrittenIsNamedWithARemedy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "data"), "/proc/plimsoll"} {
		_, err := Open(t.Context(), Options{Dir: dir})
		if err == nil {
			t.Fatalf("opened %s", dir)
		}
		for _, want := range []string{dir + " cannot be written", "uid", "another directory"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error %q does not say %q", err, want)
			}
		}
	}
}

func TestSamplesUpToADayLateAreTaken(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	defer mustClose(t, s)
	late := series(1)[0]
	mustPut(t, s, []labels.Labels{late}, 24*3600, 24*3600+1)
	for behind, want := range map[time.Duration]bool{time.Hour: true, 23 * time.Hour: true, 25 * time.Hour: false} {
		app := s.AppenderV2(t.Context())
		at := noon.Add(24*time.Hour - behind).UnixMilli()
		_, err := app.Append(0, late, 0, at, float64(at-noon.UnixMilli())/1000, nil, nil, storage.AOptions{})
		if (err == nil) != want {
			t.Errorf("%v late: error %v", behind, err)
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	if got := count(t, s)[late.String()]; got != 3 {
		t.Errorf("%d samples, want 3", got)
	}
}

func TestRetention(t *testing.T) {
	const day = 24 * time.Hour
	tests := map[string]struct {
		opts            Options
		retention, span time.Duration
		bytes           int64
		percent         float64
	}{
		"15 days or 80 % of the disk unless told":          {Options{}, 15 * day, 36 * time.Hour, 0, 80},
		"a bound in bytes takes the place of the share":    {Options{RetentionBytes: 1 << 30}, 15 * day, 36 * time.Hour, 1 << 30, 0},
		"blocks of a year span a month at most":            {Options{RetentionTime: 400 * day}, 400 * day, 31 * day, 0, 80},
		"blocks of an hour's data still span two hours":    {Options{RetentionTime: time.Hour}, time.Hour, 2 * time.Hour, 0, 80},
		"blocks of ten days' data span a tenth, one day's": {Options{RetentionTime: 10 * day}, 10 * day, day, 0, 80},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := tsdbOptions(tt.opts)
			if o.RetentionDuration != tt.retention.Milliseconds() || o.MaxBlockDuration != tt.span.Milliseconds() ||
				o.MaxBytes != tt.bytes || o.MaxPercentage != tt.percent {
				t.Errorf("retention %d ms, block %d ms, %d bytes, %v %%", o.RetentionDuration, o.MaxBlockDuration, o.MaxBytes, o.MaxPercentage)
			}
		})
	}
}

func TestMetricsComeAndGoWithTheStore(t *testing.T) {
	reg, dir := prometheus.NewRegistry(), t.TempDir()
	for range 2 { // the second must not trip over the first
		s := open(t, Options{Dir: dir, Registerer: reg, RetentionTime: time.Hour})
		values := map[string]float64{}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			values[f.GetName()] = f.Metric[0].GetGauge().GetValue()
		}
		if values["prometheus_tsdb_retention_limit_seconds"] != 3600 {
			t.Errorf("retention metric %v", values["prometheus_tsdb_retention_limit_seconds"])
		}
		for _, name := range []string{"plimsoll_store_unclean_stop", "plimsoll_store_losses", "plimsoll_store_sync_failed"} {
			if v, ok := values[name]; !ok || v != 0 {
				t.Errorf("%s %v, there %v", name, v, ok)
			}
		}
		mustClose(t, s)
		if left, _ := reg.Gather(); len(left) != 0 {
			t.Errorf("%d metrics left after Close", len(left))
		}
	}
}

// warnings collects what is logged at warning level and above.
func warnings() (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelWarn})), &b
}

func TestFoundIsTheNewestSampleOfTheLifeBefore(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	if !s.Found().IsZero() {
		t.Errorf("%v in an empty store", s.Found())
	}
	mustPut(t, s, series(2), 0, 100)
	mustClose(t, s)
	s = open(t, Options{Dir: dir})
	defer mustClose(t, s)
	mustPut(t, s, series(2), 100, 200)
	if want := noon.Add(99 * time.Second); !s.Found().Equal(want) {
		t.Errorf("%v, want %v", s.Found(), want)
	}
}
