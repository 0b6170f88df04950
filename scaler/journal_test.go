package scaler

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

	"github.com/plimsoll-io/plimsoll/scaler/decide"
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
		Decision: decide.Decision{Action: decide.Hold, From: 2, To: 2, Why: "steady"},
	}
}

// scaled is a tick at which the platform took a request.
func scaled(name string, seconds int) Entry {
	e := hold(name, seconds)
	e.Decision = decide.Decision{Action: decide.Grow, From: 2, To: 3, Apply: true, Why: "above"}
	e.Result = resultAccepted
	e.State = &decide.State{Version: decide.StateVersion}
	return e
}

func open(t *testing.T, opts JournalOptions) *Journal {
	t.Helper()
	j, err := OpenJournal(opts)
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

func read(t *testing.T, j *Journal, q JournalQuery) []Entry {
	t.Helper()
	entries, err := j.Read(q)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// lines are all lines in the segments of dir, oldest first.
func lines(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	var all []string
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = slices.AppendSeq(all, strings.Lines(string(data)))
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

func TestEqualHoldsAreOneLineAMinute(t *testing.T) {
	dir := t.TempDir()
	j := open(t, JournalOptions{Dir: dir})
	for s := 0; s < 300; s += 2 {
		record(t, j, hold("web", s))
	}
	if n := len(lines(t, dir)); n != 5 {
		t.Errorf("%d lines for five minutes of the same, want the first and one for each full minute", n)
	}
	ticks := 0
	for _, e := range read(t, j, JournalQuery{}) {
		ticks += e.Ticks
	}
	if ticks != 150 {
		t.Errorf("the entries stand for %d ticks, want all 150", ticks)
	}
}

func TestAChangeEndsARunAndIsWrittenAtOnce(t *testing.T) {
	dir := t.TempDir()
	j := open(t, JournalOptions{Dir: dir})
	record(t, j, hold("web", 0), hold("web", 2), hold("web", 4), scaled("web", 6))
	if got := lines(t, dir); len(got) != 3 {
		t.Errorf("on disk before anything was closed:\n%s\nwant first hold, run, change", strings.Join(got, ""))
	}
	want := []string{"web out 6s..6s ×1", "web hold 2s..4s ×2", "web hold 0s..0s ×1"}
	if diff := cmp.Diff(want, brief(read(t, j, JournalQuery{}))); diff != "" {
		t.Error(diff)
	}
}

func TestEveryAcceptedWriteIsItsOwnEntry(t *testing.T) {
	j := open(t, JournalOptions{Dir: t.TempDir()})
	record(t, j, scaled("web", 0), scaled("web", 2))
	entries := read(t, j, JournalQuery{})
	if len(entries) != 2 || entries[0].State == nil || entries[1].State == nil {
		t.Errorf("entries %v, want two, each with what it was based on", brief(entries))
	}
}

func TestWhatRepeatsDoesNotRepeatItsPast(t *testing.T) {
	j := open(t, JournalOptions{Dir: t.TempDir()})
	failed := func(s int) Entry {
		e := scaled("web", s)
		e.Result, e.Err = resultUnknown, "EOF"
		return e
	}
	record(t, j, failed(0), failed(2), failed(4))
	entries := read(t, j, JournalQuery{})
	if len(entries) != 2 || entries[1].State == nil || entries[0].State != nil || entries[0].Ticks != 2 {
		t.Errorf("entries %v, want the first with its past and a run of two without", brief(entries))
	}
}

func TestADifferentReasonIsADifferentVerdict(t *testing.T) {
	j := open(t, JournalOptions{Dir: t.TempDir()})
	gated := hold("web", 2)
	gated.Decision.Gates = []decide.Gate{{Name: decide.GateInvalid, Signal: "cpu", Why: "no data for 7 s"}}
	longer := hold("web", 4)
	longer.Decision.Gates = []decide.Gate{{Name: decide.GateInvalid, Signal: "cpu", Why: "no data for 9 s"}}
	record(t, j, hold("web", 0), gated, longer, hold("web", 6))
	want := []string{"web hold 6s..6s ×1", "web hold 4s..4s ×1", "web hold 2s..2s ×1", "web hold 0s..0s ×1"}
	if diff := cmp.Diff(want, brief(read(t, j, JournalQuery{}))); diff != "" {
		t.Error(diff)
	}
}

func TestTheRunningRunCanBeAskedFor(t *testing.T) {
	j := open(t, JournalOptions{Dir: t.TempDir()})
	record(t, j, hold("web", 0), hold("web", 2), hold("web", 4))
	got := brief(read(t, j, JournalQuery{Policy: "web", Limit: 1}))
	if diff := cmp.Diff([]string{"web hold 2s..4s ×2"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestEntriesAreSelected(t *testing.T) {
	j := open(t, JournalOptions{Dir: t.TempDir()})
	record(t, j, hold("web", 0), hold("api", 1), hold("web", 2), hold("web", 58), scaled("web", 60), scaled("api", 61), scaled("webshop", 62))
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	tests := map[string]struct {
		q    JournalQuery
		want []string
	}{
		"by policy, not by the beginning of its name": {
			JournalQuery{Policy: "web"}, []string{"web out 1m0s..1m0s ×1", "web hold 2s..58s ×2", "web hold 0s..0s ×1"},
		},
		"what was in force between two ticks": {
			JournalQuery{Policy: "web", To: at(30), Limit: 1}, []string{"web hold 2s..58s ×2"},
		},
		"from a time on": {
			JournalQuery{From: at(61)}, []string{"webshop out 1m2s..1m2s ×1", "api out 1m1s..1m1s ×1"},
		},
		"a range inside one run": {
			JournalQuery{From: at(10), To: at(20)}, []string{"web hold 2s..58s ×2"},
		},
		"the last of all": {
			JournalQuery{Limit: 1}, []string{"webshop out 1m2s..1m2s ×1"},
		},
		"nobody": {JournalQuery{Policy: "nobody"}, nil},
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
	j := open(t, JournalOptions{Dir: dir})
	e := scaled("web", 0)
	e.Observation.Signals[0].Samples = []decide.Sample{{At: noon, Value: math.NaN()}, {At: noon, Value: math.Inf(1)}}
	record(t, j, e)
	got := read(t, open(t, JournalOptions{Dir: dir}), JournalQuery{})
	e.Since, e.Ticks = noon, 1
	if diff := cmp.Diff([]Entry{e}, got, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestATornLineCostsOnlyItself(t *testing.T) {
	dir := t.TempDir()
	j := open(t, JournalOptions{Dir: dir})
	record(t, j, scaled("web", 0), scaled("web", 2))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "00000001.jsonl")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data[:len(data)-20], 0o600); err != nil {
		t.Fatal(err)
	}

	again := open(t, JournalOptions{Dir: dir})
	record(t, again, scaled("web", 4))
	want := []string{"web out 4s..4s ×1", "web out 0s..0s ×1"}
	if diff := cmp.Diff(want, brief(read(t, again, JournalQuery{}))); diff != "" {
		t.Error(diff)
	}
}

func TestTheJournalStaysWithinItsBytes(t *testing.T) {
	dir := t.TempDir()
	const limit = 32 << 10
	j := open(t, JournalOptions{Dir: dir, MaxBytes: limit})
	for s := range 500 {
		record(t, j, scaled("web", s))
	}
	size := 0
	for _, line := range lines(t, dir) {
		size += len(line)
	}
	if size > limit || size < limit*3/4 {
		t.Errorf("%d bytes on disk, want at most %d and not much less", size, limit)
	}
	if newest := read(t, j, JournalQuery{Limit: 1}); newest[0].At() != noon.Add(499*time.Second) {
		t.Errorf("the newest entry is of %v", newest[0].At())
	}
}

func TestAFullDiskCostsOnlyWhatDoesNotFit(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no right to mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	j, err := OpenJournal(JournalOptions{Dir: dir})
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
	if got := len(read(t, j, JournalQuery{Limit: 1000})); got != kept {
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
	if _, err := OpenJournal(JournalOptions{Dir: file}); err == nil {
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
		j := open(t, JournalOptions{Dir: dir})
		record(t, j, scaled("sound", 0))
		if got := read(t, j, JournalQuery{Policy: "sound"}); len(got) < 1 {
			t.Error("the sound entry is not found")
		}
	})
}
