package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// late is a store whose snapshots have what came late as well: the TSDB's own
// leave out what of that is still in memory.
type late struct{ *tsdb.DB }

func (l late) Snapshot(dir string, withHead bool) error {
	if err := l.CompactOOOHead(context.Background()); err != nil {
		return err
	}
	return l.DB.Snapshot(dir, withHead)
}

func openDB(t testing.TB, dir string) late {
	t.Helper()
	o := tsdb.DefaultOptions()
	o.OutOfOrderTimeWindow = (24 * time.Hour).Milliseconds()
	db, err := tsdb.Open(dir, nil, nil, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return late{db}
}

// put stores a sample of each of ten series at a time.
func put(db storage.AppendableV2, at time.Time, value float64) error {
	app := db.AppenderV2(context.Background())
	for i := range 10 {
		ls := labels.FromStrings(model.MetricNameLabel, "m", "n", string(rune('a'+i)))
		if _, err := app.Append(0, ls, 0, at.UnixMilli(), value, nil, nil, storage.AOptions{}); err != nil {
			return errors.Join(err, app.Rollback())
		}
	}
	return app.Commit()
}

// tally counts the samples of all series until a time, and adds up their values.
func tally(t testing.TB, db storage.Queryable, until time.Time) (n int, sum float64) {
	t.Helper()
	q, err := db.Querier(math.MinInt64, until.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	set := q.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, "m"))
	for set.Next() {
		it := set.At().Iterator(nil)
		for it.Next() == chunkenc.ValFloat {
			_, v := it.At()
			n, sum = n+1, sum+v
		}
		if it.Err() != nil {
			t.Fatal(it.Err())
		}
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
	return n, sum
}

// stocked is a store with blocks, samples in memory, and late ones.
func stocked(t testing.TB) (late, time.Time) {
	t.Helper()
	db := openDB(t, filepath.Join(t.TempDir(), "tsdb"))
	now := time.Now().Truncate(time.Second)
	for at := now.Add(-8 * time.Hour); !at.After(now); at = at.Add(time.Minute) {
		if err := put(db, at, float64(at.Minute())); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	for at := now.Add(-20 * time.Hour); at.Before(now.Add(-19 * time.Hour)); at = at.Add(time.Minute) {
		if err := put(db, at, 1e6); err != nil {
			t.Fatal(err)
		}
	}
	if len(db.Blocks()) == 0 {
		t.Fatal("nothing is in blocks")
	}
	return db, now
}

func snapshots(t testing.TB, opts Options) *Snapshots {
	t.Helper()
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// While samples come in, a snapshot has all that was there when it began, and a
// second collector that it is restored to answers the same.
func TestASnapshotUnderLoadIsRestoredWithEqualCounts(t *testing.T) {
	db, now := stocked(t)
	reg := prometheus.NewRegistry()
	s := snapshots(t, Options{Dir: filepath.Join(t.TempDir(), "snapshots"), Sources: map[string]Source{"tsdb": db}, Version: "test", Registerer: reg})
	wantN, wantSum := tally(t, db, now)

	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	load.Go(func() {
		// In small steps, or the head would be full faster than a slow disk takes blocks.
		for at := now.Add(time.Second); ctx.Err() == nil; at = at.Add(time.Millisecond) {
			if err := put(db, at, 1); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var last, total int64
	made, err := s.Create(t.Context(), func(done, of int64) { last, total = done, of })
	cancel()
	load.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if last != total || total != made.Bytes() || total == 0 {
		t.Errorf("progress ended at %d of %d bytes, the snapshot has %d", last, total, made.Bytes())
	}
	if p := made.Parts[0]; p.Name != "tsdb" || p.Blocks < 3 || p.Samples < uint64(wantN) || p.From.After(now.Add(-20*time.Hour)) || p.To.Before(now) {
		t.Errorf("it says of itself %+v", p)
	}
	if got := testutil.ToFloat64(s.metrics.last); got < float64(now.Unix()) {
		t.Errorf("last success %v", got)
	}

	data := filepath.Join(t.TempDir(), "data")
	if _, err := Restore(t.Context(), made.Dir, data, nil); err != nil {
		t.Fatal(err)
	}
	n, sum := tally(t, openDB(t, filepath.Join(data, "tsdb")), now)
	if n != wantN || sum != wantSum {
		t.Errorf("restored %d samples of %v in all, want %d of %v", n, sum, wantN, wantSum)
	}
	if left, _ := filepath.Glob(filepath.Join(data, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestPromtoolReadsASnapshot(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		lacking(t, "promtool is not installed: apt-get install prometheus, or build it from Prometheus' module")
	}
	db, _ := stocked(t)
	s := snapshots(t, Options{Dir: t.TempDir(), Sources: map[string]Source{"tsdb": db}})
	made, err := s.Create(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	out := func(command string) string {
		out, err := exec.CommandContext(t.Context(), promtool, "tsdb", command, filepath.Join(made.Dir, "tsdb")).CombinedOutput()
		if err != nil {
			t.Fatalf("promtool tsdb %s: %v\n%s", command, err, out)
		}
		return string(out)
	}
	if n := strings.Count(strings.TrimSpace(out("list")), "\n"); n != made.Parts[0].Blocks { // below the heading
		t.Errorf("it lists %d blocks, want %d", n, made.Parts[0].Blocks)
	}
	if text := out("analyze"); !strings.Contains(text, "Series: 10\n") {
		t.Errorf("it finds\n%s\nwant 10 series", text)
	}
}

func TestDamageIsFoundAndNeverRestored(t *testing.T) {
	db, _ := stocked(t)
	s := snapshots(t, Options{Dir: t.TempDir(), Sources: map[string]Source{"tsdb": db}, Keep: 20})
	for name, tt := range map[string]struct {
		damage func(t *testing.T, dir, file string)
		want   string
	}{
		"a bit that has turned": {func(t *testing.T, _, file string) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			data[len(data)/2] ^= 1
			replace(t, file, data)
		}, "damaged"},
		"a file that is cut off": {func(t *testing.T, _, file string) { replace(t, file, []byte("x")) }, "has 1 bytes instead of"},
		"a file that is missing": {func(t *testing.T, _, file string) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}, "is missing"},
		"a list that is missing": {func(t *testing.T, dir, _ string) {
			if err := os.Remove(filepath.Join(dir, manifestFile)); err != nil {
				t.Fatal(err)
			}
		}, "is not a snapshot"},
		"a list from the future": {func(t *testing.T, dir, _ string) {
			replace(t, filepath.Join(dir, manifestFile), []byte(`{"format":2}`))
		}, "its format is 2"},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := s.Create(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Verify(t.Context(), made.Dir, nil); err != nil {
				t.Fatalf("before the damage: %v", err)
			}
			index, err := filepath.Glob(filepath.Join(made.Dir, "tsdb", "*", "index"))
			if err != nil || len(index) == 0 {
				t.Fatalf("no index: %v", err)
			}
			tt.damage(t, made.Dir, index[0])
			if _, err := Verify(t.Context(), made.Dir, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("verify: error %v, want %q in it", err, tt.want)
			}
			data := t.TempDir()
			if _, err := Restore(t.Context(), made.Dir, data, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("restore: error %v, want %q in it", err, tt.want)
			}
			if left, _ := os.ReadDir(data); len(left) > 0 {
				t.Errorf("%v was restored", left)
			}
		})
	}
	t.Run("a file that nobody listed", func(t *testing.T) {
		made, err := s.Create(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		replace(t, filepath.Join(made.Dir, "tsdb", "more"), nil)
		if _, err := Verify(t.Context(), made.Dir, nil); err == nil || !strings.Contains(err.Error(), "tsdb/more is not in the list") {
			t.Errorf("error %v", err)
		}
	})
}

// replace writes a new file: the old one is a link to the store's.
func replace(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRestoreRefusesADirectoryWithSamples(t *testing.T) {
	db, now := stocked(t)
	s := snapshots(t, Options{Dir: t.TempDir(), Sources: map[string]Source{"tsdb": db}})
	made, err := s.Create(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := tally(t, db, now)
	if _, err := Restore(t.Context(), made.Dir, filepath.Dir(db.Dir()), nil); err == nil || !strings.Contains(err.Error(), "is not empty; stop the collector") {
		t.Errorf("error %v, want that the directory is not empty", err)
	}
	if n, _ := tally(t, db, now); n != want {
		t.Errorf("%d samples afterwards, want %d", n, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	data := t.TempDir()
	if _, err := Restore(ctx, made.Dir, data, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that it was cancelled", err)
	}
	if left, _ := os.ReadDir(data); len(left) > 0 {
		t.Errorf("%v was restored", left)
	}
	if _, err := Restore(t.Context(), made.Dir, data, nil); err != nil {
		t.Errorf("at the second attempt: %v", err)
	}
}

// broken is a store that cannot be copied.
type broken struct{}

func (broken) Snapshot(dir string, _ bool) error {
	return errors.Join(os.WriteFile(filepath.Join(dir, "half"), nil, 0o600), errors.New("disk full"))
}

func TestOnlyTheNewestCompleteSnapshotsStay(t *testing.T) {
	db, _ := stocked(t)
	dir := t.TempDir()
	s := snapshots(t, Options{Dir: dir, Sources: map[string]Source{"tsdb": db}, Keep: 2})
	var names []string
	for range 4 {
		made, err := s.Create(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, made.Name)
	}
	all, problems, err := List(dir)
	if err != nil || len(problems) > 0 || len(all) != 2 || all[0].Name != names[2] || all[1].Name != names[3] {
		t.Errorf("left: %v %v %v, want %v", all, problems, err, names[2:])
	}

	b := snapshots(t, Options{Dir: dir, Sources: map[string]Source{"tsdb": db, "zzz": broken{}}})
	if _, err := b.Create(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "store zzz: disk full") {
		t.Errorf("error %v, want that the disk is full", err)
	}
	if got := testutil.ToFloat64(b.metrics.failures); got != 1 {
		t.Errorf("%v failures counted, want 1", got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("a failed snapshot left %v, %v", entries, err)
	}

	half := filepath.Join(dir, unfinished+"20261105T101213.000Z")
	if err := os.MkdirAll(filepath.Join(half, "tsdb"), 0o750); err != nil {
		t.Fatal(err)
	}
	snapshots(t, Options{Dir: dir, Sources: map[string]Source{"tsdb": db}})
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what an earlier process has not finished is still there: %v", err)
	}
}

// A clock that was wrong when the others were made must not cost the newest.
func TestTheSnapshotThatWasJustMadeStays(t *testing.T) {
	db, _ := stocked(t)
	dir := t.TempDir()
	s := snapshots(t, Options{Dir: dir, Sources: map[string]Source{"tsdb": db}, Keep: 1})
	made, err := s.Create(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	future := filepath.Join(dir, "29991231T235959.000Z")
	if err := os.Rename(made.Dir, future); err != nil {
		t.Fatal(err)
	}
	if made, err = s.Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	all, problems, err := List(dir)
	if err != nil || len(problems) > 0 || len(all) != 1 || all[0].Name != made.Name {
		t.Errorf("left: %v %v %v, want %s", all, problems, err, made.Name)
	}
}

func TestASnapshotThatCouldNotBeRemovedWholeIsNoneAnyMore(t *testing.T) {
	if os.Getuid() != 0 {
		lacking(t, "needs root to mount what cannot be removed")
	}
	db, _ := stocked(t)
	dir := t.TempDir()
	s := snapshots(t, Options{Dir: dir, Sources: map[string]Source{"tsdb": db}, Keep: 1})
	old, err := s.Create(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	stone := filepath.Join(old.Dir, "tsdb", "stone")
	if err := os.Mkdir(stone, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", stone, "tmpfs", 0, "size=4k"); err != nil {
		lacking(t, "cannot mount: %v", err)
	}
	unmount := sync.OnceFunc(func() {
		for _, at := range []string{stone, filepath.Join(dir, unfinished+old.Name, "tsdb", "stone")} {
			if _, err := os.Stat(at); err == nil {
				if err := unix.Unmount(at, 0); err != nil {
					t.Error(err)
				}
			}
		}
	})
	t.Cleanup(unmount)
	made, err := s.Create(t.Context(), nil)
	if err == nil || made.Name == "" {
		t.Errorf("snapshot %q, error %v; want both", made.Name, err)
	}
	all, problems, err := List(dir)
	if err != nil || len(problems) > 0 || len(all) != 1 || all[0].Name != made.Name {
		t.Errorf("listed: %v %v %v, want %s alone", all, problems, err, made.Name)
	}
	unmount()
	snapshots(t, Options{Dir: dir, Sources: map[string]Source{"tsdb": db}})
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("after the next start there are %v, %v; want the snapshot alone", entries, err)
	}
}

func TestASnapshotIsMadeOverHTTP(t *testing.T) {
	db, _ := stocked(t)
	s := snapshots(t, Options{Dir: t.TempDir(), Sources: map[string]Source{"tsdb": db}})
	server := httptest.NewServer(s.Handler())
	defer server.Close()

	resp, err := server.Client().Post(server.URL+Path, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var last Event
	for lines := json.NewDecoder(resp.Body); ; {
		var e Event
		if err := lines.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		last = e
	}
	if last.Snapshot == nil || last.Error != "" {
		t.Fatalf("the answer ends with %+v", last)
	}
	if _, err := Verify(t.Context(), last.Snapshot.Dir, nil); err != nil {
		t.Error(err)
	}

	resp, err = server.Client().Get(server.URL + Path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct {
		Status string
		Data   []Snapshot
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil || len(list.Data) != 1 || list.Data[0].Name != last.Snapshot.Name {
		t.Errorf("list %+v, %v", list, err)
	}

	s.one.Lock() // as if one were being made
	defer s.one.Unlock()
	resp, err = server.Client().Post(server.URL+Path, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusConflict {
		t.Errorf("a second at a time: %s", resp.Status)
	}

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err = server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("from another site: %s", resp.Status)
	}
}

func TestAListCannotLeadOutOfTheSnapshot(t *testing.T) {
	const sum = `"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"`
	for name, text := range map[string]string{
		"by a part":           `{"format":1,"parts":[{"name":".."}]}`,
		"by a part with path": `{"format":1,"parts":[{"name":"a/b"}]}`,
		"by the part itself":  `{"format":1,"parts":[{"name":"."}]}`,
		"by a file":           `{"format":1,"parts":[{"name":"tsdb"}],"files":[{"path":"tsdb/../../x",` + sum + `}]}`,
		"by an absolute file": `{"format":1,"parts":[{"name":"tsdb"}],"files":[{"path":"/etc/passwd",` + sum + `}]}`,
		"beside its parts":    `{"format":1,"parts":[{"name":"tsdb"}],"files":[{"path":"other/x",` + sum + `}]}`,
		"by a file twice":     `{"format":1,"parts":[{"name":"tsdb"}],"files":[{"path":"tsdb/x",` + sum + `},{"path":"tsdb/x",` + sum + `}]}`,
		"without a checksum":  `{"format":1,"parts":[{"name":"tsdb"}],"files":[{"path":"tsdb/x","sha256":"00"}]}`,
		"without parts":       `{"format":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parse([]byte(text)); err == nil {
				t.Error("it was taken")
			}
		})
	}
	if _, err := parse([]byte(`{"format":1,"parts":[{"name":"tsdb"}],"files":[{"path":"tsdb/x",` + sum + `}]}`)); err != nil {
		t.Errorf("a proper one: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"format":1,"parts":[{"name":"tsdb"}],"files":[{"path":"tsdb/x","bytes":1,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}`))
	f.Add([]byte(`{"format":1,"parts":[{"name":".."}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parse(text)
		if err != nil {
			return
		}
		for _, file := range m.Files {
			path := filepath.Join("/root/of/it", filepath.FromSlash(file.Path))
			if !strings.HasPrefix(path, "/root/of/it/") {
				t.Errorf("%q leads to %s", file.Path, path)
			}
		}
		for _, p := range m.Parts {
			if filepath.Dir(filepath.Join("/root/of/it", p.Name)) != "/root/of/it" {
				t.Errorf("part %q", p.Name)
			}
		}
	})
}

// lacking skips a test for want of something, which fails where all is to be there.
func lacking(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
