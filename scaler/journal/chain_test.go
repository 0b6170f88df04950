package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/internal/chain"
)

// verify looks at the journal in a directory, without its writer.
func verify(t *testing.T, dir string, witness ...chain.Link) Verification {
	t.Helper()
	a, err := OpenArchive(dir)
	if err != nil {
		t.Fatal(err)
	}
	return a.Verify(append(witness, chain.Link{})[0])
}

// sound fails the test if a chain is not.
func sound(t *testing.T, what string, v Verification) {
	t.Helper()
	if len(v.Breaks) > 0 {
		t.Fatalf("%s: %+v", what, v.Breaks)
	}
}

// tells fails the test if no break says what it should.
func tells(t *testing.T, what string, v Verification, want string) {
	t.Helper()
	if !slices.ContainsFunc(v.Breaks, func(b Break) bool { return strings.Contains(b.What, want) }) {
		t.Errorf("%s: breaks %+v, want one that says %q", what, v.Breaks, want)
	}
}

// kept is a closed journal of n entries in a directory.
func kept(t *testing.T, n int, opts Options) string {
	t.Helper()
	opts.Dir = t.TempDir()
	j, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	for s := range n {
		if opts.MaxBytes > 0 {
			record(t, j, hold(fmt.Sprint("web-", s), s)) // which nobody waits for
		} else {
			record(t, j, scaled("web", s))
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return opts.Dir
}

// rewrite changes a file of a journal.
func rewrite(t *testing.T, file string, change func(lines []string) []string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := change(slices.Collect(strings.Lines(string(data))))
	if err := os.WriteFile(file, []byte(strings.Join(changed, "")), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestASoundJournalSaysWhatItHas(t *testing.T) {
	dir := kept(t, 5, Options{})
	v := verify(t, dir)
	sound(t, "as it was written", v)
	want := Verification{
		Segments: 1, Lines: 8, Entries: 5, From: noon, To: noon.Add(4 * time.Second),
		Starts: 1, Head: v.Head, Breaks: []Break{},
	}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Error(diff)
	}
	if v.Head.Seq != 8 {
		t.Errorf("the last line is %d, want 8: segment, start, five entries, stop", v.Head.Seq)
	}
}

func TestAnyByteThatIsAlteredShows(t *testing.T) {
	dir := kept(t, 1, Options{})
	file := filepath.Join(dir, "00000001.jsonl")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for at := range data {
		other := bytes.Clone(data)
		other[at] ^= 0x04
		if err := os.WriteFile(file, other, 0o600); err != nil {
			t.Fatal(err)
		}
		v := verify(t, dir)
		if len(v.Breaks) == 0 && (v.Torn == 0 || at != len(data)-1) {
			t.Fatalf("nothing shows of byte %d, %q", at, data[max(0, at-10):min(len(data), at+10)])
		}
		if len(v.Breaks) > 0 && at < len(data)-1 {
			line := 1 + bytes.Count(data[:at], []byte("\n"))
			if v.Breaks[0].Line != line {
				t.Fatalf("byte %d in line %d shows as %+v", at, line, v.Breaks[0])
			}
		}
	}
}

func TestWhatIsRemovedMovedOrAddedShows(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(lines []string) []string
		want   string
	}{
		"a line is removed":    {func(l []string) []string { return slices.Delete(l, 4, 5) }, "line 5 is missing"},
		"three are":            {func(l []string) []string { return slices.Delete(l, 4, 7) }, "lines 5 to 7 are missing"},
		"the first is":         {func(l []string) []string { return l[1:] }, "begins with line 2"},
		"two change places":    {func(l []string) []string { l[3], l[4] = l[4], l[3]; return l }, "line 4 comes after line 5"},
		"one is there twice":   {func(l []string) []string { return slices.Insert(l, 4, l[3]) }, "line 4 comes after line 4"},
		"one is altered":       {func(l []string) []string { l[4] = strings.Replace(l[4], `"to":3`, `"to":2`, 1); return l }, "does not match its own hash"},
		"one without a seal":   {func(l []string) []string { return slices.Insert(l, 4, "{}\n") }, "no seal"},
		"one is sealed anew":   {forge, "was made behind another line 5"},
		"the end is cut off":   {func(l []string) []string { return l[:6] }, "line 11 is missing, which was noted: the last is 6"},
		"all is written anew":  {func(l []string) []string { return written(t, "api", len(l)-3) }, "line 11 is not the one that was noted"},
		"a new chain is added": {func(l []string) []string { return append(l, written(t, "api", 3)...) }, "a new chain begins after line 11: nothing says why"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := kept(t, 8, Options{})
			end := verify(t, dir).Head
			if end.Seq != 11 {
				t.Fatalf("%d lines", end.Seq)
			}
			sound(t, "before", verify(t, dir, end))
			rewrite(t, filepath.Join(dir, "00000001.jsonl"), tt.change)
			tells(t, name, verify(t, dir, end), tt.want)
		})
	}
}

// forge alters a line and seals it anew, as one does who knows how.
func forge(lines []string) []string {
	line := []byte(strings.TrimSuffix(lines[4], "\n"))
	seal, err := chain.Read(line)
	if err != nil {
		return nil
	}
	body, _, _ := bytes.Cut(line, []byte(`,"seq":`))
	body = append(bytes.Replace(body, []byte(`"to":3`), []byte(`"to":2`), 1), '}')
	again, _, err := chain.Link{Seq: seal.Seq - 1, Hash: seal.Prev}.Seal(body)
	if err != nil {
		return nil
	}
	lines[4] = string(again) + "\n"
	return lines
}

// written are the lines of another journal.
func written(t *testing.T, name string, n int) []string {
	t.Helper()
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	for s := range n {
		record(t, j, scaled(name, s))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return lines(t, dir)
}

// A process may die at any byte of what it writes. The next one goes on, loses no
// more than the line that was torn, and says so.
func TestACrashAtAnyByteHealsIntoAChainThatSaysSo(t *testing.T) {
	whole := strings.Join(lines(t, kept(t, 1, Options{})), "")
	whole = whole[:strings.LastIndex(whole, beginsStop)] // it never came to that
	last := strings.LastIndex(whole[:len(whole)-1], "\n")
	for cut := 0; cut <= len(whole); cut++ {
		if cut < last-5 && cut%23 != 0 && whole[max(cut, 1)-1] != '\n' {
			continue // it is the same in each line
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "00000001.jsonl"), []byte(whole[:cut]), 0o600); err != nil {
			t.Fatal(err)
		}
		end := verify(t, dir)
		sound(t, fmt.Sprintf("cut after %d bytes", cut), end)
		j, err := Open(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		record(t, j, hold("after", 9))
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		complete := strings.LastIndex(whole[:cut], "\n") + 1
		v := verify(t, dir, end.Head)
		sound(t, fmt.Sprintf("after a crash at %d bytes", cut), v)
		if v.Torn != int64(cut-complete) {
			t.Fatalf("crash at %d bytes: %d are said to be torn, want %d", cut, v.Torn, cut-complete)
		}
		if started := strings.Contains(whole[:complete], beginsStart); v.Crashes == 1 != started {
			t.Fatalf("crash at %d bytes: %d crashes are told", cut, v.Crashes)
		}
		if want := int64(strings.Count(whole[:complete], beginsEntry) + 1); v.Entries != want {
			t.Fatalf("crash at %d bytes: %d entries, want %d", cut, v.Entries, want)
		}
	}
}

func TestWhatRetentionDropsIsNoBreakAndWhatAnybodyElseDoesIs(t *testing.T) {
	opts := Options{MaxBytes: 40 << 10}
	dir := kept(t, 150, opts)
	v := verify(t, dir)
	sound(t, "after retention", v)
	if v.Dropped < 2 || v.Segments < 6 {
		t.Fatalf("%d segments, %d dropped: retention had nothing to do", v.Segments, v.Dropped)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	for name, tt := range map[string]struct {
		remove []string
		want   string
	}{
		"the oldest":       {files[:1], "are missing before it, and the journal has not dropped them"},
		"the oldest two":   {files[:2], "are missing before it, and the journal has not dropped them"},
		"one between":      {files[3:4], "are missing"},
		"all but the last": {files[:len(files)-1], "are missing before it"},
	} {
		t.Run(name, func(t *testing.T) {
			broken := t.TempDir()
			if err := os.CopyFS(broken, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			for _, f := range tt.remove {
				if err := os.Remove(filepath.Join(broken, filepath.Base(f))); err != nil {
					t.Fatal(err)
				}
			}
			tells(t, name, verify(t, broken), tt.want)
			// A restart does not wash it away.
			j := open(t, Options{Dir: broken, MaxBytes: opts.MaxBytes})
			record(t, j, scaled("web", 1000))
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			if v := verify(t, broken); len(v.Breaks) == 0 {
				t.Error("after a restart nothing shows any more")
			}
		})
	}
}

// Most segments need not be read to find an entry, and those that must be are.
func TestWhatIsKeptIsFoundWhereverItIs(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, MaxBytes: 180 << 10})
	for s := 0; s < 3*86400; s += 300 { // a hold, now and then another one
		e := hold("web", s)
		if s%3600 == 0 {
			e.Observation.Err = "no answer"
		}
		record(t, j, e)
	}
	all := read(t, j, Query{Limit: 1000})
	if n := len(j.disk.Segments()); n < 6 || len(all) < 200 {
		t.Fatalf("%d entries in %d segments", len(all), n)
	}
	for i, e := range all {
		if i%9 > 0 && i < len(all)-3 {
			continue
		}
		if r, err := j.Find(e.ID); err != nil || !strings.Contains(string(r.Entry), e.ID) {
			t.Errorf("%s: %v", e.ID, err)
		}
		var want Entry
		for _, other := range all { // the one that began last
			if !other.Since.After(e.Since) && other.Since.After(want.Since) {
				want = other
			}
		}
		got := read(t, j, Query{To: e.Since, Limit: 1})
		if len(got) != 1 || !got[0].Since.Equal(want.Since) {
			t.Errorf("at %v there is %v, want %s", e.Since, brief(got), want.ID)
		}
	}
}

// A crash may come between the mark that says what is dropped and the dropping.
func TestACrashBeforeRetentionDropsIsNoBreak(t *testing.T) {
	dir := kept(t, 150, Options{MaxBytes: 40 << 10})
	more := t.TempDir()
	if err := os.CopyFS(more, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, list[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	j := open(t, Options{Dir: dir, MaxBytes: 40 << 10})
	for s := 150; ; s++ {
		record(t, j, hold(fmt.Sprint("web-", s), s))
		if _, err := os.Stat(filepath.Join(dir, list[0].Name())); os.IsNotExist(err) {
			break
		}
	}
	if err := os.WriteFile(filepath.Join(dir, list[0].Name()), before, 0o600); err != nil {
		t.Fatal(err)
	}
	sound(t, "with a segment that was to go", verify(t, dir))
}

func TestAJournalFromBeforeThereWereSealsIsReadAndGoneOnWith(t *testing.T) {
	dir := t.TempDir()
	old := `{"policy":"web","target":"swarm/web","mode":"active","since":"2026-11-21T12:00:00Z","ticks":1,` +
		`"observation":{"now":"2026-11-21T12:00:00Z","desired":2,"ready":2,"signals":[]},"decision":{"action":"hold","from":2,"to":2,"apply":false,"stages":[],"why":"steady"}}` + "\n"
	if err := os.WriteFile(filepath.Join(dir, "00000001.jsonl"), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	j := open(t, Options{Dir: dir})
	record(t, j, scaled("web", 2))
	want := []string{"web out 2s..2s ×1", "web hold 0s..0s ×1"}
	if diff := cmp.Diff(want, brief(read(t, j, Query{Policy: "web"}))); diff != "" {
		t.Error(diff)
	}
	tells(t, "lines from before", verify(t, dir), "no seal")
}

// A journal whose last line cannot be trusted goes on, and says what it found.
func TestAChainThatBeginsAnewSaysWhy(t *testing.T) {
	for _, opts := range []Options{{}, {MaxBytes: 9 << 10}} { // in the same file, or in a new one
		dir := kept(t, 3, Options{})
		rewrite(t, filepath.Join(dir, "00000001.jsonl"), func(l []string) []string {
			l[len(l)-1] = strings.Replace(l[len(l)-1], "at", "AT", 1)
			return l
		})
		opts.Dir = dir
		j := open(t, opts)
		record(t, j, scaled("web", 9))
		v := verify(t, dir)
		tells(t, "altered before a start", v, "a new chain begins after line 6: the last line of 00000001.jsonl: the line does not match its own hash")
		if len(v.Breaks) != 2 {
			t.Errorf("%+v", v.Breaks)
		}
	}
}

// What a policy did that is no more does not wait in memory for the end.
func TestTheEndOfAPolicyIsWritten(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	record(t, j, hold("web", 0), hold("web", 2), hold("api", 2))
	if err := j.End("web"); err != nil {
		t.Fatal(err)
	}
	if n := len(entryLines(t, dir)); n != 3 || len(j.turns) != 1 {
		t.Errorf("%d lines, %d policies in memory", n, len(j.turns))
	}
}

func TestIDsAreUniqueAndSortAsEntriesBegan(t *testing.T) {
	dir := t.TempDir()
	var ids []string
	for range 3 { // starts
		j := open(t, Options{Dir: dir})
		for range 50 {
			record(t, j, scaled("web", 1), scaled("api", 0)) // the clock goes to and fro
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range entryLines(t, dir) {
		id, _ := after([]byte(line), beginsEntry)
		ids = append(ids, id)
		if !ValidID(id) {
			t.Fatalf("%q", id)
		}
	}
	if len(ids) != 300 || !slices.IsSorted(ids) || len(slices.Compact(ids)) != 300 {
		t.Errorf("%d IDs, sorted %v, want 300 that are", len(ids), slices.IsSorted(ids))
	}
	if ms, _ := idMillis(ids[0]); ms != noon.Add(time.Second).UnixMilli() {
		t.Errorf("the first ID is of %v", time.UnixMilli(ms).UTC())
	}
}

// Readers and checks see a sound chain while it is written to and dropped from.
func TestReadingAndVerifyingGoOnDuringRetention(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir(), MaxBytes: 40 << 10})
	record(t, j, scaled("web", 0))
	ended := make(chan struct{})
	var others sync.WaitGroup
	var looks []chan struct{}
	look := func(f func() error) {
		looked := make(chan struct{}, 1)
		looks = append(looks, looked)
		others.Go(func() {
			defer close(looked)
			for {
				if err := f(); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-ended:
					return
				case looked <- struct{}{}:
				default:
				}
			}
		})
	}
	look(func() error {
		v, err := j.Verify(chain.Link{})
		if err == nil && len(v.Breaks) > 0 {
			err = fmt.Errorf("breaks %+v", v.Breaks)
		}
		return err
	})
	look(func() error {
		entries, err := j.Read(Query{Limit: 30, Inputs: true})
		if err == nil && len(entries) == 0 {
			err = fs.ErrNotExist
		}
		return err
	})
	for s := 1; s < 200; s++ {
		record(t, j, hold(fmt.Sprint("web-", s), s))
		if s%16 > 0 {
			continue
		}
		for _, looked := range looks { // or all that one has listed might be gone before it reads that
			<-looked
		}
	}
	close(ended)
	others.Wait()
	if j.disk.Dropped() == 0 {
		t.Error("nothing was dropped meanwhile")
	}
}

// FuzzVerify: whatever is in a segment, looking at it ends, and a line that is
// none of ours never passes for one.
func FuzzVerify(f *testing.F) {
	sealed, _, _ := chain.Link{}.Seal([]byte(`{"segment":{"number":1,"oldest":1}}`))
	f.Add(append(sealed, '\n'))
	f.Add([]byte("{\"start\":null,\"seq\":1}\n"))
	f.Add([]byte("\n\n\x00{}\n"))
	f.Fuzz(func(t *testing.T, junk []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "00000001.jsonl"), junk, 0o600); err != nil {
			t.Fatal(err)
		}
		before := verify(t, dir)
		if int64(len(before.Breaks)+before.More) > 2*before.Lines+1 {
			t.Errorf("%d breaks in %d lines", len(before.Breaks)+before.More, before.Lines)
		}
		j := open(t, Options{Dir: dir})
		record(t, j, scaled("sound", 0))
		after := verify(t, dir)
		if after.Lines < before.Lines+2 || len(before.Breaks) > 0 && len(after.Breaks) == 0 {
			t.Errorf("%+v after %+v", after, before)
		}
	})
}

// A clock that was once a year ahead hides nothing of what came after, or before.
func TestAClockThatWasAheadHidesNothing(t *testing.T) {
	dir := t.TempDir()
	const year = 365 * 86400
	j := open(t, Options{Dir: dir, MaxBytes: 180 << 10})
	var last int
	for s := 0; len(j.disk.Segments()) < 6; s += 60 {
		e := hold("web", s)
		if s%120 == 0 {
			e.Observation.Err = "no answer"
		}
		record(t, j, scaled("api", s), e)
		if s == 1200 {
			record(t, j, scaled("ahead", year))
		}
		if s%3000 == 0 { // a restart does not change it
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			j = open(t, Options{Dir: dir, MaxBytes: 180 << 10})
		}
		last = s
	}
	for s := 0; s <= last; s += 60 {
		at := noon.Add(time.Duration(s) * time.Second)
		got := read(t, j, Query{Policy: "api", To: at, Limit: 1})
		if len(got) != 1 || !got[0].Since.Equal(at) {
			t.Fatalf("at %v there is %v", at, brief(got))
		}
		if r, err := j.Find(got[0].ID); err != nil || !strings.Contains(string(r.Entry), got[0].ID) {
			t.Errorf("%s: %v", got[0].ID, err)
		}
	}
	v := verify(t, dir)
	sound(t, "all of it", v)
	if !v.From.Equal(noon) || !v.To.Equal(noon.Add(year*time.Second)) {
		t.Errorf("entries from %v to %v", v.From, v.To)
	}
}

func TestAJournalIsVerifiedOnceAtATime(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	j.checking.Lock()
	if _, err := j.Verify(chain.Link{}); !errors.Is(err, ErrVerifying) {
		t.Errorf("error %v", err)
	}
	j.checking.Unlock()
	if _, err := j.Verify(chain.Link{}); err != nil {
		t.Error(err)
	}
}
