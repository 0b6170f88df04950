package journal

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/plimsoll-io/plimsoll/internal/chain"
	"github.com/plimsoll-io/plimsoll/internal/linelog"
	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// hold is a tick of a policy, seconds after noon, at which nothing was done.
func hold(name string, seconds int) Entry {
	return Entry{
		Policy: name,
		Observation: decide.Observation{
			Now: noon.Add(time.Duration(seconds) * time.Second), Desired: 2, Ready: 2,
			Signals: []decide.Reading{{Signal: "cpu", Samples: []decide.Sample{{At: noon, Value: float64(seconds)}}}},
		},
		Decision: decide.Decision{Action: decide.Hold, From: 2, To: 2}.Quote("steady"),
	}
}

// scaled is a tick at which the platform took a request.
func scaled(name string, seconds int) Entry {
	e := hold(name, seconds)
	e.Decision = decide.Decision{Action: decide.Grow, From: 2, To: 3, Apply: true}.Quote("above")
	e.Result = Accepted
	e.State = &decide.State{Version: decide.StateVersion}
	return e
}

func open(t *testing.T, opts Options) *Journal {
	t.Helper()
	j, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

func record(t *testing.T, j *Journal, entries ...Entry) {
	t.Helper()
	for _, e := range entries {
		if err := j.Record(e); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, j *Journal, q Query) []Entry {
	t.Helper()
	entries, err := j.Read(q)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// entryLines are the lines of entries in the segments of dir, oldest first.
func entryLines(t *testing.T, dir string) []string {
	t.Helper()
	return slices.DeleteFunc(lines(t, dir), func(line string) bool { return !strings.HasPrefix(line, beginsEntry) })
}

// lines are all lines in the segments of dir, oldest first.
func lines(t *testing.T, dir string) []string {
	t.Helper()
	list, err := linelog.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, seg := range list {
		for line, err := range seg.Forward() {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(line.Text)+"\n")
		}
	}
	return all
}

// brief is an entry without what these tests do not look at.
func brief(entries []Entry) []string {
	var s []string
	for _, e := range entries {
		s = append(s, fmt.Sprintf("%s %s %v..%v ×%d", e.Policy, e.Decision.Action, e.Since.Sub(noon), e.At().Sub(noon), e.Ticks))
	}
	return s
}

func TestEqualHoldsAreFewLinesAndTheFewerTheLongerTheyLast(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	const hours = 10
	for s := 0; s < hours*3600; s += 2 {
		record(t, j, hold("web", s))
		if s == 62 && len(entryLines(t, dir)) != 2 {
			t.Errorf("%d lines after a minute, want the first and one for the rest", len(entryLines(t, dir)))
		}
	}
	if n, want := len(entryLines(t, dir)), 5+hours*60/16; n < want-1 || n > want+1 {
		t.Errorf("%d lines for %d hours of the same, want about %d", n, hours, want)
	}
	ticks := 0
	for _, e := range read(t, j, Query{}) {
		ticks += e.Ticks
	}
	if ticks != hours*1800 {
		t.Errorf("the entries stand for %d ticks, want all %d", ticks, hours*1800)
	}
}

func TestAChangeEndsARunAndIsWrittenAtOnce(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	record(t, j, hold("web", 0), hold("web", 2), hold("web", 4), scaled("web", 6))
	if got := entryLines(t, dir); len(got) != 3 {
		t.Errorf("on disk before anything was closed:\n%s\nwant first hold, run, change", strings.Join(got, ""))
	}
	want := []string{"web out 6s..6s ×1", "web hold 2s..4s ×2", "web hold 0s..0s ×1"}
	if diff := cmp.Diff(want, brief(read(t, j, Query{}))); diff != "" {
		t.Error(diff)
	}
}

func TestEveryAcceptedWriteIsItsOwnEntry(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	record(t, j, scaled("web", 0), scaled("web", 2))
	entries := read(t, j, Query{Inputs: true})
	if len(entries) != 2 || entries[0].State == nil || entries[1].State == nil {
		t.Errorf("entries %v, want two, each with what it was based on", brief(entries))
	}
}

func TestInputsAreToldWhoAsksForThem(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	app := policy.App{Name: "web", Interval: time.Second, Signals: []policy.Signal{{Name: "rps", Source: policy.Query, Query: "sum(rps)"}}}
	based := func(e Entry) Entry {
		e.App, e.State = &app, &decide.State{Version: decide.StateVersion, Desired: 2}
		return e
	}
	record(t, j, based(hold("web", 0)), based(hold("web", 2)), based(hold("web", 4)))
	for _, e := range read(t, j, Query{}) {
		if e.App != nil || e.State != nil {
			t.Errorf("%s has what nobody asked for", e.ID)
		}
	}
	written := open(t, Options{Dir: dir})
	for _, entries := range [][]Entry{read(t, j, Query{Inputs: true}), read(t, written, Query{Inputs: true})} {
		for _, e := range entries {
			if e.App == nil || e.App.Name != "web" || e.State == nil || e.State.Desired != 2 {
				t.Errorf("%s has policy %v and past %v", e.ID, e.App, e.State)
			}
		}
	}
	for _, e := range read(t, written, Query{}) {
		if len(e.Queries) != 1 || e.Queries[0].Query != "sum(rps)" {
			t.Errorf("%s has queries %v, which the policy says", e.ID, e.Queries)
		}
	}
	if n := strings.Count(strings.Join(lines(t, dir), ""), "sum(rps)"); n != 1 {
		t.Errorf("the policy is there %d times, want once in the segment", n)
	}
}

func TestADifferentReasonIsADifferentVerdict(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	gated := hold("web", 2)
	gated.Decision.Gates = []decide.Gate{{Name: decide.GateInvalid, Signal: "cpu", Reason: decide.Quote("", "no data for 7 s")}}
	longer := hold("web", 4)
	longer.Decision.Gates = []decide.Gate{{Name: decide.GateInvalid, Signal: "cpu", Reason: decide.Quote("", "no data for 9 s")}}
	record(t, j, hold("web", 0), gated, longer, hold("web", 6))
	want := []string{"web hold 6s..6s ×1", "web hold 4s..4s ×1", "web hold 2s..2s ×1", "web hold 0s..0s ×1"}
	if diff := cmp.Diff(want, brief(read(t, j, Query{}))); diff != "" {
		t.Error(diff)
	}
}

func TestTheRunningRunCanBeAskedFor(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	record(t, j, hold("web", 0), hold("web", 2), hold("web", 4))
	got := brief(read(t, j, Query{Policy: "web", Limit: 1}))
	if diff := cmp.Diff([]string{"web hold 2s..4s ×2"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestEntriesAreSelected(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	record(t, j, hold("web", 0), hold("api", 1), hold("web", 2), hold("web", 58), scaled("web", 60), scaled("api", 61), scaled("webshop", 62))
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	tests := map[string]struct {
		q    Query
		want []string
	}{
		"by policy, not by the beginning of its name": {
			Query{Policy: "web"}, []string{"web out 1m0s..1m0s ×1", "web hold 2s..58s ×2", "web hold 0s..0s ×1"},
		},
		"what was in force between two ticks": {
			Query{Policy: "web", To: at(30), Limit: 1}, []string{"web hold 2s..58s ×2"},
		},
		"from a time on": {
			Query{From: at(61)}, []string{"webshop out 1m2s..1m2s ×1", "api out 1m1s..1m1s ×1"},
		},
		"a range inside one run": {
			Query{From: at(10), To: at(20)}, []string{"web hold 2s..58s ×2"},
		},
		"the last of all": {
			Query{Limit: 1}, []string{"webshop out 1m2s..1m2s ×1"},
		},
		"nobody": {Query{Policy: "nobody"}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, brief(read(t, j, tt.q))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAnEntrySurvivesTheDisk(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	e := scaled("web", 0)
	e.Observation.Signals[0].Samples = []decide.Sample{{At: noon, Value: math.NaN()}, {At: noon, Value: math.Inf(1)}}
	record(t, j, e)
	got := read(t, open(t, Options{Dir: dir}), Query{Inputs: true})
	e.Since, e.Ticks = noon, 1
	placed := cmpopts.IgnoreFields(Entry{}, "ID", "Seq", "Prev", "Hash")
	if diff := cmp.Diff([]Entry{e}, got, cmpopts.EquateNaNs(), cmpopts.EquateEmpty(), placed); diff != "" {
		t.Error(diff)
	}
}

func TestTheJournalStaysWithinItsBytes(t *testing.T) {
	dir := t.TempDir()
	const limit = 40 << 10
	j := open(t, Options{Dir: dir, MaxBytes: limit})
	for s := range 150 {
		record(t, j, hold(fmt.Sprint("web-", s), s)) // which nobody waits for
	}
	size := j.disk.Bytes()
	if size > limit || size < limit*5/8 || j.disk.Dropped() == 0 {
		t.Errorf("%d bytes on disk, want at most %d and not much less", size, limit)
	}
	if newest := read(t, j, Query{Limit: 1}); newest[0].At() != noon.Add(149*time.Second) {
		t.Errorf("the newest entry is of %v", newest[0].At())
	}
}

func TestAFullDiskCostsOnlyWhatDoesNotFit(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("no right to mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	j, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	kept, lost := 0, 0
	for s := range 400 {
		if j.Record(scaled("web", s)) == nil {
			kept++
		} else {
			lost++
		}
	}
	if kept == 0 || lost == 0 {
		t.Fatalf("%d entries kept and %d lost: the disk was never full", kept, lost)
	}
	if got := len(read(t, j, Query{Limit: 1000})); got != kept {
		t.Errorf("%d entries can be read, %d were recorded", got, kept)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

func TestAnUnwritableJournalIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: file}); err == nil {
		t.Error("no error for a directory that is a file")
	}
}

// FuzzJournalLines: whatever is in a segment, reading it ends, and what was
// recorded properly is still found.
func FuzzJournalLines(f *testing.F) {
	f.Add([]byte(`{"policy":"web","ticks":1,`))
	f.Add([]byte("\n\n\x00{}\n"))
	f.Add([]byte(`{"policy":"web","observation":{"now":"2026-11-21T12:00:00Z","signals":[{"samples":[{"value":"NaN"}]}]}}` + "\n"))
	f.Fuzz(func(t *testing.T, junk []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "00000001.jsonl"), junk, 0o600); err != nil {
			t.Fatal(err)
		}
		j := open(t, Options{Dir: dir})
		record(t, j, scaled("sound", 0))
		if got := read(t, j, Query{Policy: "sound"}); len(got) < 1 {
			t.Error("the sound entry is not found")
		}
	})
}

// A disk that hangs holds up the policies that have scaled, and no other.
func TestWhoHoldsDoesNotWaitForTheDisk(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	begun, hangs, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	sync := j.sync
	j.sync = func() error {
		close(begun)
		<-hangs
		return sync()
	}
	go func() { ended <- j.Record(scaled("web", 0)) }()
	<-begun
	record(t, j, hold("api", 1), hold("api", 3))
	if got := read(t, j, Query{}); len(got) != 3 {
		t.Errorf("%v", brief(got))
	}
	select {
	case err := <-ended:
		t.Errorf("a change that may not survive a power cut is said to be recorded, error %v", err)
	default:
	}
	close(hangs)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A line that is noted as a witness must not be gone after a power cut.
func TestWhatIsToldOfTheLastLineIsOnDisk(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	record(t, j, hold("web", 0))
	disk, synced := j.sync, 0
	j.sync = func() error { synced++; return disk() }
	if v, err := j.Verify(chain.Link{}); err != nil || v.Entries != 1 || synced != 1 {
		t.Errorf("%+v, error %v, synced %d times", v, err, synced)
	}
	j.sync = func() error { return syscall.EIO }
	if v, err := j.Verify(chain.Link{}); err == nil {
		t.Errorf("told %s, which the disk did not take", v.Head)
	}
	j.sync = disk
}
