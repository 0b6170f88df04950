package history_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/plimsoll-io/plimsoll/alerting/history"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, opts history.Options) *history.Log {
	t.Helper()
	l, err := history.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func put(t *testing.T, l *history.Log, events ...history.Event) {
	t.Helper()
	if err := l.Append(events...); err != nil {
		t.Fatal(err)
	}
}

// firing is an event of an alert of a node, so many seconds after noon.
func firing(second int, node string) history.Event {
	return history.Event{At: noon.Add(time.Duration(second) * time.Second), Kind: history.Created, Alerts: []history.Alert{{
		Fingerprint: fmt.Sprintf("%016x", second), Labels: map[string]string{"alertname": "Full", "node": node}, StartsAt: noon,
	}}}
}

func read(t *testing.T, l *history.Log, q history.Query) []history.Event {
	t.Helper()
	events, err := l.Read(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// seconds are when events were, after noon.
func seconds(events []history.Event) (list []int) {
	for _, e := range events {
		list = append(list, int(e.At.Sub(noon)/time.Second))
	}
	return list
}

func TestWhatWasWrittenIsReadTheNewestFirst(t *testing.T) {
	l := open(t, history.Options{Dir: t.TempDir()})
	silence := history.Event{At: noon.Add(3 * time.Second), Kind: history.SilenceCreated, Silence: &history.Silence{ID: "x", Matchers: `{node="n1"}`}}
	put(t, l, firing(1, "n1"), firing(2, "n2"))
	put(t, l, silence)
	notified := firing(4, "n1")
	notified.Kind, notified.Receiver = history.Notified, "ops"
	put(t, l, notified)

	odd := firing(5, "<n&3>\u2028\"")
	put(t, l, odd)
	is := func(op labels.MatchType, name, value string) labels.Matchers {
		t.Helper()
		m, err := labels.NewMatcher(op, name, value)
		if err != nil {
			t.Fatal(err)
		}
		return labels.Matchers{m}
	}
	for name, tt := range map[string]struct {
		query history.Query
		want  []int
	}{
		"all":                           {history.Query{}, []int{5, 4, 3, 2, 1}},
		"a limit takes the newest":      {history.Query{Limit: 2}, []int{5, 4}},
		"from and to are inside":        {history.Query{From: noon.Add(2 * time.Second), To: noon.Add(3 * time.Second)}, []int{3, 2}},
		"of a kind":                     {history.Query{Kinds: []history.Kind{history.Notified}}, []int{4}},
		"matchers look at labels":       {history.Query{Matchers: is(labels.MatchEqual, "node", "n1")}, []int{4, 1}},
		"a label that is not there":     {history.Query{Matchers: is(labels.MatchEqual, "pod", "")}, []int{5, 4, 2, 1}},
		"a matcher that excludes":       {history.Query{Matchers: is(labels.MatchNotEqual, "node", "n1")}, []int{5, 2}},
		"a pattern":                     {history.Query{Matchers: is(labels.MatchRegexp, "node", "n[12]")}, []int{4, 2, 1}},
		"what JSON escapes":             {history.Query{Matchers: is(labels.MatchEqual, "node", odd.Alerts[0].Labels["node"])}, []int{5}},
		"nothing is nothing":            {history.Query{From: noon.Add(time.Hour)}, nil},
		"a fraction of a second counts": {history.Query{From: noon.Add(3001 * time.Millisecond), To: noon.Add(4 * time.Second)}, []int{4}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := seconds(read(t, l, tt.query)); !slices.Equal(got, tt.want) {
				t.Errorf("seconds %v, want %v", got, tt.want)
			}
		})
	}
	if got := read(t, l, history.Query{Kinds: []history.Kind{history.SilenceCreated}}); *got[0].Silence != *silence.Silence {
		t.Errorf("%+v, want %+v", got[0].Silence, silence.Silence)
	}
}

func TestALineIsJSONWithItsTimeFirst(t *testing.T) {
	dir := t.TempDir()
	l := open(t, history.Options{Dir: dir})
	put(t, l, firing(1, "n1"))
	data, err := os.ReadFile(filepath.Join(dir, "00000001.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"at":"2026-11-21T12:00:01.000Z","event":"created","alerts":[{"fingerprint":"0000000000000001",` +
		`"labels":{"alertname":"Full","node":"n1"},"startsAt":"2026-11-21T12:00:00Z"}]}` + "\n"
	if string(data) != want {
		t.Errorf("got  %swant %s", data, want)
	}
}

func TestItNeverTakesMoreThanItMay(t *testing.T) {
	dir := t.TempDir()
	const most = 20_000
	l := open(t, history.Options{Dir: dir, MaxBytes: most})
	for i := range 500 {
		put(t, l, firing(i, "n1"))
		if l.Bytes() > most {
			t.Fatalf("%d bytes after %d events, may be %d", l.Bytes(), i+1, most)
		}
	}
	if on := size(t, dir); on != l.Bytes() {
		t.Errorf("%d bytes on disk, Bytes says %d", on, l.Bytes())
	}
	got := seconds(read(t, l, history.Query{Limit: 1000}))
	if len(got) < 80 || got[0] != 499 || got[len(got)-1] != 500-len(got) {
		t.Errorf("%d events are left, the newest %d: want the newest of all, without a gap, in most of the room", len(got), got[0])
	}
}

func size(t *testing.T, dir string) (sum int64) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	return sum
}

func TestAStartReadsTheLatestFilesOnly(t *testing.T) {
	l := open(t, history.Options{Dir: t.TempDir(), MaxBytes: 20_000})
	for i := range 500 {
		put(t, l, firing(i, "n1"))
	}
	var got []history.Event
	if err := l.Replay(func(e history.Event) { got = append(got, e) }); err != nil {
		t.Fatal(err)
	}
	all := len(read(t, l, history.Query{Limit: 1000}))
	if len(got) < all/8 || len(got) > all/3 || seconds(got)[len(got)-1] != 499 || !slices.IsSorted(seconds(got)) {
		t.Errorf("%d of %d events, the last %v; want about two eighths, up to the newest", len(got), all, seconds(got)[len(got)-1])
	}
}

func TestWhatIsTooOldGoes(t *testing.T) {
	dir := t.TempDir()
	l := open(t, history.Options{Dir: dir})
	put(t, l, firing(1, "n1"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "00000001.jsonl"), past, past); err != nil {
		t.Fatal(err)
	}
	if got := read(t, open(t, history.Options{Dir: dir, MaxAge: 3 * time.Hour}), history.Query{}); len(got) != 1 {
		t.Errorf("%d events, want the one that may stay", len(got))
	}
	l = open(t, history.Options{Dir: dir, MaxAge: time.Hour})
	if got := read(t, l, history.Query{}); len(got) != 0 || l.Bytes() != 0 {
		t.Errorf("%d events in %d bytes, want none", len(got), l.Bytes())
	}
}

// However a crash tears the last line, it costs that line only, and what comes
// after is whole.
func TestATornLineCostsItself(t *testing.T) {
	var whole bytes.Buffer
	for i := range 2 {
		line, err := json.Marshal(firing(i, "n1"))
		if err != nil {
			t.Fatal(err)
		}
		whole.Write(append(line, '\n'))
	}
	first := bytes.IndexByte(whole.Bytes(), '\n') + 1
	for cut := first; cut <= whole.Len(); cut++ {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "00000007.jsonl"), whole.Bytes()[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, history.Options{Dir: dir})
		put(t, l, firing(9, "n1"))
		want := []int{9, 0}
		if cut == whole.Len() {
			want = []int{9, 1, 0}
		}
		if got := seconds(read(t, l, history.Query{})); !slices.Equal(got, want) || l.Damaged() != 0 {
			t.Fatalf("cut after %d of %d bytes: %v and %d damaged lines, want %v and none", cut, whole.Len(), got, l.Damaged(), want)
		}
	}
}

func TestGarbageInTheMiddleIsLeftOutAndCounted(t *testing.T) {
	dir := t.TempDir()
	line, err := json.Marshal(firing(1, "n1"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(line) + "\n\x00\xff garbage\n{}\n\n" + string(line) + "\n"
	if err := os.WriteFile(filepath.Join(dir, "00000001.jsonl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, history.Options{Dir: dir})
	replayed := 0
	if err := l.Replay(func(history.Event) { replayed++ }); err != nil {
		t.Fatal(err)
	}
	if got := read(t, l, history.Query{}); len(got) != 2 || replayed != 2 || l.Damaged() != 6 {
		t.Errorf("%d read, %d replayed, %d damaged; want 2, 2 and 3 for each time", len(got), replayed, l.Damaged())
	}
}

func TestARestartGoesOnWhereItWas(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		l := open(t, history.Options{Dir: dir})
		put(t, l, firing(i, "n1"))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 {
		t.Errorf("%d files after three starts, want one", len(files))
	}
	if got := seconds(read(t, open(t, history.Options{Dir: dir}), history.Query{})); !slices.Equal(got, []int{2, 1, 0}) {
		t.Errorf("%v", got)
	}
}

func TestADirectoryThatIsNoneIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := history.Open(history.Options{Dir: file}); err == nil || !strings.Contains(err.Error(), "make "+file+" writable") {
		t.Errorf("error %v, want what to do", err)
	}
}

// FuzzRead reads whatever a disk may return: nothing breaks, and what was
// appended after it is there.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"at":"2026-11-21T12:00:01.000Z","event":"created"}` + "\n"))
	f.Add([]byte(`{"at":"2026-11-21T12:00:01Z","event":"notified","alerts":[{}]}` + "\n\n{"))
	f.Add([]byte("\x00\n\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "00000001.jsonl"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, history.Options{Dir: dir})
		read(t, l, history.Query{Limit: 1000, From: noon})
		at := time.Now().Truncate(time.Millisecond)
		put(t, l, history.Event{At: at, Kind: history.Tested})
		if got := read(t, l, history.Query{From: at, To: at, Kinds: []history.Kind{history.Tested}}); len(got) == 0 {
			t.Error("what was appended is not there")
		}
	})
}
