package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/wlog"
)

// The tests below damage files as disks, power cuts and people do.

func damage(t *testing.T, path string, how func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, how(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func nothing([]byte) []byte { return nil }
func half(b []byte) []byte  { return b[:len(b)/2] }
func torn(b []byte) []byte  { return b[:len(b)-3] }
func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte {
		b[at] ^= 0x10
		return b
	}
}

// twoBlocks makes a directory with two blocks of two hours each and leaves
// nothing else in it. It returns the name of the older block.
func twoBlocks(t *testing.T) (dir, older string) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, Options{Dir: dir})
	for minute := range 6 * 60 { // the TSDB writes out what is three hours old
		mustPut(t, s, series(20), minute*60, minute*60+1)
	}
	if err := s.life.db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	metas, err := s.BlockMetas()
	if err != nil || len(metas) != 2 {
		t.Fatalf("%d blocks, error %v", len(metas), err)
	}
	mustClose(t, s)
	return dir, metas[0].ULID.String()
}

func TestADamagedBlockCostsThatBlock(t *testing.T) {
	tests := map[string]func(t *testing.T, block string){
		"index empty":          func(t *testing.T, b string) { damage(t, filepath.Join(b, "index"), nothing) },
		"index cut in half":    func(t *testing.T, b string) { damage(t, filepath.Join(b, "index"), half) },
		"index missing":        func(t *testing.T, b string) { remove(t, filepath.Join(b, "index")) },
		"a byte of it flipped": func(t *testing.T, b string) { damage(t, filepath.Join(b, "index"), flip(400)) },
		"meta empty":           func(t *testing.T, b string) { damage(t, filepath.Join(b, "meta.json"), nothing) },
		"meta cut in half":     func(t *testing.T, b string) { damage(t, filepath.Join(b, "meta.json"), half) },
		"meta missing":         func(t *testing.T, b string) { remove(t, filepath.Join(b, "meta.json")) },
		"chunk file missing":   func(t *testing.T, b string) { remove(t, filepath.Join(b, "chunks", "000001")) },
		"chunk file empty":     func(t *testing.T, b string) { damage(t, filepath.Join(b, "chunks", "000001"), nothing) },
		"chunk file cut":       func(t *testing.T, b string) { damage(t, filepath.Join(b, "chunks", "000001"), half) },
		"its last chunk torn":  func(t *testing.T, b string) { damage(t, filepath.Join(b, "chunks", "000001"), torn) },
		"all chunks missing":   func(t *testing.T, b string) { remove(t, filepath.Join(b, "chunks")) },
		"index and meta empty": func(t *testing.T, b string) {
			damage(t, filepath.Join(b, "meta.json"), nothing)
			damage(t, filepath.Join(b, "index"), nothing)
		},
		"tombstones broken": func(t *testing.T, b string) { damage(t, filepath.Join(b, "tombstones"), half) },
	}
	for name, harm := range tests {
		t.Run(name, func(t *testing.T) {
			dir, block := twoBlocks(t)
			harm(t, filepath.Join(dir, block))
			log, said := warnings()
			s := open(t, Options{Dir: dir, Log: log})
			defer mustClose(t, s)

			each(t, s, 20, 4*60) // six hours less the two of the block
			if len(s.Losses()) != 1 {
				t.Fatalf("losses %+v", s.Losses())
			}
			l := s.Losses()[0]
			if l.Why == nil || l.From.IsZero() || l.To.Before(l.From) {
				t.Errorf("loss %+v lacks reason or times", l)
			}
			if name == "index and meta empty" { // then its name tells when it was made
				if !l.From.Equal(l.To) || time.Since(l.To).Abs() > time.Hour {
					t.Errorf("the loss is said to end %v", l.To)
				}
			} else if !l.From.Equal(noon) || l.To.Sub(noon) > 2*time.Hour {
				t.Errorf("the loss is said to be from %v to %v", l.From, l.To)
			}
			if l.Kept != filepath.Join(dir, quarantineDir, block) {
				t.Errorf("kept in %q", l.Kept)
			}
			if _, err := os.Stat(l.Kept); err != nil {
				t.Error(err)
			}
			if got := said.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, block) {
				t.Errorf("want one warning that names the block:\n%s", got)
			}
		})
	}
}

func TestNoFlippedByteOfAnIndexFailsAQuery(t *testing.T) {
	dir, block := twoBlocks(t)
	index := filepath.Join(dir, block, "index")
	info, err := os.Stat(index)
	if err != nil {
		t.Fatal(err)
	}
	found, tried := 0, 0
	for at := 0; at < int(info.Size()); at += 5 {
		tried++
		damage(t, index, flip(at))
		if verifyBlock(t.Context(), filepath.Join(dir, block)) != nil {
			found++
		} else if err := readBlock(t, filepath.Join(dir, block)); err != nil {
			t.Errorf("byte %d of %d flipped: taken for sound, but %v", at, info.Size(), err)
		}
		damage(t, index, flip(at)) // back
	}
	if found < tried*3/4 { // the rest is padding, and tables that nobody reads any more
		t.Errorf("%d of %d flips found", found, tried)
	}
	if err := verifyBlock(t.Context(), filepath.Join(dir, block)); err != nil {
		t.Errorf("a sound block is taken for damaged: %v", err)
	}
}

// fiveSegments makes a log of five segments, each with 100 samples of two
// series, the first one with nothing.
func fiveSegments(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for n := range 5 {
		s := open(t, Options{Dir: dir})
		mustPut(t, s, series(2), n*100, (n+1)*100)
		mustClose(t, s)
	}
	return dir
}

func TestADamagedLogCostsWhatFollows(t *testing.T) {
	segment := func(dir string, n int) string { return filepath.Join(dir, walDir, segmentName(n)) }
	tests := map[string]struct {
		harm func(t *testing.T, dir string)
		left int // samples per series
		says string
	}{
		"a segment is missing": {func(t *testing.T, dir string) {
			remove(t, segment(dir, 2))
		}, 200, "wal/00000002 is missing"},
		"the first segment is missing": {func(t *testing.T, dir string) {
			remove(t, segment(dir, 0))
		}, 0, "wal/00000000 is missing"},
		"a byte is flipped": {func(t *testing.T, dir string) {
			damage(t, segment(dir, 3), flip(100))
		}, 300, "segment 00000003: corrupt after byte"},
		"garbage follows": {func(t *testing.T, dir string) {
			damage(t, segment(dir, 4), func(b []byte) []byte { return append(b, "garbage"...) })
		}, 500, "segment 00000004: corrupt after byte"},
		"zeros follow": {func(t *testing.T, dir string) {
			damage(t, segment(dir, 4), func(b []byte) []byte { return append(b, make([]byte, 5000)...) })
		}, 500, ""},
		"the tail is zeros": {func(t *testing.T, dir string) {
			damage(t, segment(dir, 4), func(b []byte) []byte { clear(b[200:]); return b })
		}, 400, "segment 00000004: corrupt after byte"},
		"the last segment is empty": {func(t *testing.T, dir string) {
			damage(t, segment(dir, 4), nothing)
		}, 400, ""},
		"the last segment is missing": {func(t *testing.T, dir string) {
			remove(t, segment(dir, 4))
		}, 400, ""},
		"one in the middle is empty": {func(t *testing.T, dir string) {
			damage(t, segment(dir, 2), nothing)
		}, 400, ""},
		"a write was torn": {func(t *testing.T, dir string) {
			damage(t, segment(dir, 4), func(b []byte) []byte { return b[:200] })
		}, 400, "segment 00000004: corrupt after byte"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := fiveSegments(t)
			tt.harm(t, dir)
			log, said := warnings()
			s := open(t, Options{Dir: dir, Log: log})
			got := count(t, s)[series(1)[0].String()]
			if got < tt.left || got > tt.left && tt.says != "" {
				t.Errorf("%d samples, want %d", got, tt.left)
			}
			if tt.says == "" { // nothing tells that there was more; some of it is in the packed chunks
				if len(s.Losses()) != 0 {
					t.Errorf("losses %+v", s.Losses())
				}
				mustClose(t, s)
				return
			}
			if len(s.Losses()) != 1 {
				t.Fatalf("losses %+v", s.Losses())
			}
			l := s.Losses()[0]
			if kept, err := numbered(l.Kept); err != nil || len(kept) == 0 {
				t.Errorf("%d segments kept in %q, error %v", len(kept), l.Kept, err)
			}
			if l.To.IsZero() || l.Bytes <= 0 {
				t.Errorf("loss %+v lacks time or size", l)
			}
			if got := said.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, tt.says) {
				t.Errorf("want one warning that says %q:\n%s", tt.says, got)
			}
			// Life goes on, and the next start finds nothing to complain of.
			mustPut(t, s, series(2), tt.left, 600)
			mustClose(t, s)
			s = open(t, Options{Dir: dir})
			defer mustClose(t, s)
			each(t, s, 2, 600)
			if len(s.Losses()) != 0 {
				t.Errorf("losses again: %+v", s.Losses())
			}
		})
	}
}

// The number of a series that is lost with a cut is given to another later; the
// chunks that were packed under it must not come back as that one's.
func TestACutNeverGivesSamplesToAnotherSeries(t *testing.T) {
	one := func(name string) []labels.Labels { return []labels.Labels{labels.FromStrings("__name__", name)} }
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	mustPut(t, s, one("old"), 0, 10)
	mustClose(t, s)
	s = open(t, Options{Dir: dir})
	mustPut(t, s, one("lost"), 0, 1000)
	s.life.db.ForceHeadMMap()
	mustClose(t, s)
	damage(t, filepath.Join(dir, walDir, segmentName(1)), flip(20))

	s = open(t, Options{Dir: dir})
	mustPut(t, s, one("new"), 2000, 2010)
	mustClose(t, s)
	s = open(t, Options{Dir: dir})
	defer mustClose(t, s)
	counts := count(t, s)
	if counts[one("old")[0].String()] != 10 || counts[one("new")[0].String()] != 10 || len(counts) != 2 {
		t.Errorf("counts %v, want 10 of old and 10 of new", counts)
	}
}

// checkpointed makes a log whose beginning has gone into blocks and a
// checkpoint.
func checkpointed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for hour := range 6 {
		s := open(t, Options{Dir: dir})
		for minute := range 60 {
			second := hour*3600 + minute*60
			mustPut(t, s, series(20), second, second+1)
		}
		mustClose(t, s)
	}
	s := open(t, Options{Dir: dir})
	defer mustClose(t, s)
	if err := s.life.db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAfterADamagedCheckpointNewSamplesStay(t *testing.T) {
	tests := map[string]func(t *testing.T, dir, checkpoint string, next int){
		"the checkpoint has a flipped byte": func(t *testing.T, _, checkpoint string, _ int) {
			damage(t, filepath.Join(checkpoint, segmentName(0)), flip(50))
		},
		"the segments behind it are missing": func(t *testing.T, dir, _ string, next int) {
			files, err := numbered(filepath.Join(dir, walDir))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				remove(t, filepath.Join(dir, walDir, f.name))
			}
		},
		"the first segment behind it is missing": func(t *testing.T, dir, _ string, next int) {
			remove(t, filepath.Join(dir, walDir, segmentName(next)))
		},
	}
	for name, harm := range tests {
		t.Run(name, func(t *testing.T) {
			dir := checkpointed(t)
			checkpoint, n, err := wlog.LastCheckpoint(filepath.Join(dir, walDir))
			if err != nil {
				t.Fatal(err)
			}
			harm(t, dir, checkpoint, n+1)
			s := open(t, Options{Dir: dir})
			if len(s.Losses()) == 0 {
				t.Error("nothing was said")
			}
			before := count(t, s)[series(1)[0].String()]
			if before < 4*60 { // the two blocks
				t.Errorf("%d samples left, want those of the blocks at least", before)
			}
			mustPut(t, s, series(20), 7*3600, 7*3600+100)
			mustClose(t, s)
			s = open(t, Options{Dir: dir})
			defer mustClose(t, s)
			each(t, s, 20, before+100)
		})
	}
}

func TestUnsequentialHeadChunksAreMadeAgain(t *testing.T) {
	dir := fiveSegments(t)
	s := open(t, Options{Dir: dir})
	s.life.db.ForceHeadMMap()
	mustClose(t, s)
	chunks := filepath.Join(dir, headChunksDir)
	files, err := numbered(chunks)
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, error %v", len(files), err)
	}
	if err := os.Rename(filepath.Join(chunks, files[len(files)-1].name), filepath.Join(chunks, "000009")); err != nil {
		t.Fatal(err)
	}
	damage(t, filepath.Join(chunks, "000009"), func(b []byte) []byte { return b })
	if err := os.WriteFile(filepath.Join(chunks, "000001"), []byte("no magic"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, Options{Dir: dir})
	defer mustClose(t, s)
	each(t, s, 2, 500)
}

// lateSamples makes logs of three segments each: 30 samples that came in order,
// and 10 late ones per segment.
func lateSamples(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for n := range 3 {
		s := open(t, Options{Dir: dir})
		mustPut(t, s, series(1), 1000+n*10, 1010+n*10)
		mustPut(t, s, series(1), n*10, n*10+10)
		mustClose(t, s)
	}
	return dir
}

func TestAHoleInTheLogOfLateSamplesCostsThoseBehindIt(t *testing.T) {
	dir := lateSamples(t)
	remove(t, filepath.Join(dir, wblDir, segmentName(1)))
	s := open(t, Options{Dir: dir})
	defer mustClose(t, s)
	each(t, s, 1, 30+10)
	if len(s.Losses()) != 1 || !strings.HasPrefix(s.Losses()[0].What, "wbl") {
		t.Errorf("losses %+v", s.Losses())
	}
}

func TestAfterARepairLateSamplesAreThereAtOnce(t *testing.T) {
	dir := lateSamples(t)
	damage(t, filepath.Join(dir, walDir, segmentName(2)), flip(30))
	s := open(t, Options{Dir: dir})
	defer mustClose(t, s)
	each(t, s, 1, 20+30)
}

// After a kill the log often ends within a record. A Sync had not covered it.
func TestTheEndOfALogThatAKillHasCutShortIsNoLoss(t *testing.T) {
	tests := map[string]struct {
		harm func([]byte) []byte
		cut  bool
	}{
		"it ends within a record":               {func(b []byte) []byte { return b[:len(b)-30] }, true},
		"a byte long before the end is flipped": {flip(100), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			live, dir := open(t, Options{Dir: t.TempDir()}), t.TempDir()
			mustPut(t, live, series(20), 0, 100)
			for n := 100; n < 200; n++ {
				mustPut(t, live, series(20), n, n+1)
			}
			if err := os.CopyFS(dir, os.DirFS(live.Dir())); err != nil {
				t.Fatal(err)
			}
			mustClose(t, live)
			damage(t, filepath.Join(dir, walDir, segmentName(0)), tt.harm)
			log, said := warnings()
			reg := prometheus.NewRegistry()
			s := open(t, Options{Dir: dir, Log: log, Registerer: reg})
			defer mustClose(t, s)
			if losses := s.Losses(); len(losses) != 1 || losses[0].CutShort != tt.cut {
				t.Fatalf("losses %+v", losses)
			}
			if n, _ := s.lost(); (n == 0) != tt.cut || (said.Len() == 0) != tt.cut || (len(warnedOf(t, s, 0, 1<<62)) == 0) != tt.cut {
				t.Errorf("%d losses, warnings of queries %v, the log says\n%s", n, warnedOf(t, s, 0, 1<<62), said)
			}
		})
	}
}

// warnedOf are the warnings of a query between two times.
func warnedOf(t *testing.T, s *Store, mint, maxt int64) []string {
	t.Helper()
	q, err := s.Querier(mint, maxt)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "m"))
	for set.Next() {
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
	_, fromLabels, err := q.LabelValues(t.Context(), "n", nil)
	if err != nil {
		t.Fatal(err)
	}
	warnings, infos := set.Warnings().AsStrings("", 0, 0)
	if len(infos) > 0 || len(fromLabels) != len(warnings) {
		t.Errorf("warnings %v, infos %v, of labels %v", warnings, infos, fromLabels)
	}
	return warnings
}

func TestAQueryOverWhatWasSetAsideIsWarned(t *testing.T) {
	dir, block := twoBlocks(t)
	damage(t, filepath.Join(dir, block, "index"), nothing)
	s := open(t, Options{Dir: dir})
	defer mustClose(t, s)
	at := func(d time.Duration) int64 { return noon.Add(d).UnixMilli() }
	for name, tt := range map[string]struct {
		mint, maxt int64
		warned     bool
	}{
		"before it":       {at(-time.Hour), at(-time.Minute), false},
		"around it":       {at(-time.Hour), at(9 * time.Hour), true},
		"within it":       {at(time.Hour), at(time.Hour + time.Second), true},
		"from its end":    {at(2*time.Hour - time.Second), at(9 * time.Hour), true},
		"after it":        {at(2*time.Hour + time.Second), at(9 * time.Hour), false},
		"up to its start": {at(-time.Hour), at(0), true},
	} {
		got := warnedOf(t, s, tt.mint, tt.maxt)
		if (len(got) == 1) != tt.warned {
			t.Errorf("%s: warnings %q", name, got)
		}
		if tt.warned && (!strings.Contains(got[0], block) || !strings.Contains(got[0], noon.UTC().Format(time.RFC3339))) {
			t.Errorf("%q names neither block nor time", got[0])
		}
	}
}

func TestADamagedChunkCostsOneQueryAndThenItsSamples(t *testing.T) {
	dir, block := twoBlocks(t)
	damage(t, filepath.Join(dir, block, "chunks", "000001"), flip(60))
	log, said := warnings()
	s := open(t, Options{Dir: dir, Log: log})
	defer mustClose(t, s)
	if len(s.Losses()) != 0 {
		t.Fatalf("losses %+v", s.Losses())
	}
	read := func() (int, error) {
		q, err := s.Querier(0, 1<<62)
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		n := 0
		set := q.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "m"))
		for set.Next() {
			it := set.At().Iterator(nil)
			for it.Next() != 0 {
				n++
			}
			if it.Err() != nil {
				return n, it.Err()
			}
		}
		return n, set.Err()
	}
	if _, err := read(); err == nil || !strings.Contains(err.Error(), block) {
		t.Errorf("error %v", err)
	}
	for range 2 {
		if n, err := read(); err != nil || n != 20*6*60-2*60 {
			t.Errorf("%d samples, error %v", n, err)
		}
	}
	if got := warnedOf(t, s, noon.UnixMilli(), noon.Add(time.Hour).UnixMilli()); len(got) != 1 || !strings.Contains(got[0], block) {
		t.Errorf("warnings %q", got)
	}
	if got := warnedOf(t, s, noon.Add(3*time.Hour).UnixMilli(), 1<<62); len(got) != 0 {
		t.Errorf("warnings %q", got)
	}
	if strings.Count(said.String(), "\n") != 1 {
		t.Errorf("the log says\n%s", said)
	}
}

func TestABlockOfLateSamplesIsCheckedAsAnyOther(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	mustPut(t, s, series(20), 8*3600, 8*3600+10)
	mustPut(t, s, series(20), 0, 100)
	if err := s.life.db.CompactOOOHead(t.Context()); err != nil {
		t.Fatal(err)
	}
	metas, err := s.BlockMetas()
	if err != nil || len(metas) != 1 || !metas[0].Compaction.FromOutOfOrder() {
		t.Fatalf("blocks %+v, error %v", metas, err)
	}
	mustClose(t, s)
	remove(t, filepath.Join(dir, wblDir)) // what there may be left of them elsewhere
	remove(t, filepath.Join(dir, headChunksDir))
	s = open(t, Options{Dir: dir})
	each(t, s, 20, 110)
	mustClose(t, s)
	damage(t, filepath.Join(dir, metas[0].ULID.String(), "index"), half)
	s = open(t, Options{Dir: dir})
	defer mustClose(t, s)
	each(t, s, 20, 10)
	if len(s.Losses()) != 1 || !s.Losses()[0].From.Equal(noon) {
		t.Errorf("losses %+v", s.Losses())
	}
}
