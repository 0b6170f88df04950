package alerting

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/cluster"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/nflog/nflogpb"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func fires(name string, from, said, ends time.Time) *alert.Alert {
	return &alert.Alert{
		Alert: model.Alert{
			Labels: model.LabelSet{"alertname": model.LabelValue(name)}, Annotations: model.LabelSet{"summary": "it\nis"},
			StartsAt: from, EndsAt: ends, GeneratorURL: "http://x/graph",
		},
		UpdatedAt: said,
	}
}

// reread is a roll made of the changes of another.
func reread(t *testing.T, changes []byte) *roll {
	t.Helper()
	r := newRoll(prometheus.NewCounter(prometheus.CounterOpts{}))
	if err := r.Merge(changes); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheRollTellsEachChangeThatARestartNeedsAndNoOther(t *testing.T) {
	r := newRoll(prometheus.NewCounter(prometheus.CounterOpts{}))
	var journal []byte
	changes := 0
	r.SetBroadcast(func(b []byte) { journal = append(journal, b...); changes++ })
	now := time.Now()
	from := now.Add(-time.Hour)
	expect := func(what string, wantChanges, wantAlerts int) {
		t.Helper()
		if changes != wantChanges {
			t.Errorf("%s: %d changes told, want %d", what, changes, wantChanges)
		}
		if got := len(reread(t, journal).alerts); got != wantAlerts || got != len(r.alerts) {
			t.Errorf("%s: %d alerts in the journal and %d in memory, want %d", what, got, len(r.alerts), wantAlerts)
		}
	}
	r.stored(fires("Over", from, now, now.Add(-time.Minute)))
	expect("an end that nobody knows the beginning of", 0, 0)
	r.stored(fires("A", from, now, now.Add(time.Hour)))
	expect("a beginning", 1, 1)
	r.stored(fires("A", from, now.Add(30*time.Second), now.Add(time.Hour)))
	expect("that it still is", 1, 1)
	end := fires("A", from, now.Add(time.Minute), now.Add(-time.Second))
	r.stored(end)
	expect("its end", 2, 1)
	r.told(end, "route 1", 2)
	expect("one of two routes has told it", 2, 1)
	r.told(end, "route 1", 2)
	expect("the same again", 2, 1)
	r.told(end, "route 2", 2)
	expect("both have", 3, 0)

	r.stored(fires("A", now, now.Add(2*time.Minute), now.Add(time.Hour)))
	r.told(end, "route 1", 1)
	expect("it fires again while its end is told", 4, 1)
}

func TestTheRollIsBounded(t *testing.T) {
	dropped := prometheus.NewCounter(prometheus.CounterOpts{})
	r := newRoll(dropped)
	now := time.Now()
	for n := range maxKept + 10 {
		r.stored(fires(fmt.Sprint("A", n), now, now, now.Add(time.Hour)))
	}
	if len(r.alerts) != maxKept {
		t.Errorf("%d alerts are kept, want %d", len(r.alerts), maxKept)
	}
	for _, e := range r.alerts {
		e.EndsAt = now.Add(-maxUntold - time.Second)
	}
	if n, err := r.GC(); n != maxKept || err != nil || len(r.alerts) != 0 {
		t.Errorf("%d forgotten, %d left, error %v; want all that ended a day ago forgotten", n, len(r.alerts), err)
	}
}

func TestAlertsAreRestoredForAsLongAsTheirSenderWantedToBeBelieved(t *testing.T) {
	started := noon.Add(10 * time.Minute)
	tests := map[string]struct {
		said, ends, want time.Time
		timeout          bool
	}{
		"a rule's, valid for two minutes":            {noon, noon.Add(2 * time.Minute), started.Add(2 * time.Minute), true},
		"one that somebody ends at a time, in hours": {noon, noon.Add(5 * time.Hour), noon.Add(5 * time.Hour), true},
		"valid for longer than the longest grace":    {noon.Add(-time.Hour), noon, started.Add(longestGrace), true},
		"one that has ended, untold":                 {noon, noon.Add(-time.Second), noon.Add(-time.Second), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRoll(prometheus.NewCounter(prometheus.CounterOpts{}))
			r.alerts[1] = &onRoll{Alert: fires("A", noon.Add(-2*time.Hour), tt.said, tt.ends)}
			var disk bytes.Buffer
			if _, err := r.Snapshot(&disk); err != nil {
				t.Fatal(err)
			}
			got := reread(t, disk.Bytes()).list(started)
			if len(got) != 1 {
				t.Fatalf("%d alerts, want 1", len(got))
			}
			a := got[0]
			if !a.EndsAt.Equal(tt.want) || a.Timeout != tt.timeout || !a.StartsAt.Equal(noon.Add(-2*time.Hour)) ||
				a.GeneratorURL != "http://x/graph" || a.Annotations["summary"] != "it\nis" {
				t.Errorf("restored %+v, want it to end at %v", a, tt.want)
			}
			if tt.timeout != a.UpdatedAt.Equal(started) {
				t.Errorf("updated at %v, started at %v", a.UpdatedAt, started)
			}
		})
	}
}

// What a rule says after the start must win over what was restored.
func TestWhatIsSaidAfterTheStartWinsOverWhatWasRestored(t *testing.T) {
	now := time.Now()
	r := newRoll(prometheus.NewCounter(prometheus.CounterOpts{}))
	r.alerts[1] = &onRoll{Alert: fires("A", now.Add(-time.Hour), now, now.Add(10*time.Minute))}
	restored := r.list(now)[0]
	again := fires("A", now.Add(time.Second), now.Add(time.Second), now.Add(2*time.Minute))
	if got := restored.Merge(again); !got.EndsAt.Equal(again.EndsAt) || !got.StartsAt.Equal(now.Add(-time.Hour)) {
		t.Errorf("it fires from %v to %v, want since before the start and until the rule's word is old", got.StartsAt, got.EndsAt)
	}
}

// The dispatcher may put the older of two things that were said last into a group.
func TestAGroupIsToldAboutByWhatWasSaidLast(t *testing.T) {
	store, err := mem.NewAlerts(t.Context(), time.Hour, 0, nil, slog.New(slog.DiscardHandler), unrecorded, prometheus.NewRegistry(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	now := time.Now()
	from, later := now.Add(-time.Hour), now.Add(time.Hour)
	flushed := func(a *alert.Alert) *alert.Alert { // as the dispatcher hands it on
		copied := *a
		if !copied.Resolved() {
			copied.EndsAt = time.Time{}
		}
		return &copied
	}
	ended, ending := fires("Ended", from, now, later), fires("Ended", from, now.Add(1), now.Add(-time.Second))
	back, again := fires("Back", from, now, now.Add(-time.Second)), fires("Back", now, now.Add(1), later)
	same := fires("Same", from, now, later)
	gone := fires("Gone", from, now, now.Add(-time.Second)) // and forgotten
	if err := store.Put(t.Context(), ending, again, same); err != nil {
		t.Fatal(err)
	}
	got := telling{alerts: store}.latest([]*alert.Alert{flushed(ended), flushed(back), flushed(same), flushed(gone)}, now)
	for i, want := range []bool{true, false, false, true} {
		if got[i].Resolved() != want || !want && !got[i].EndsAt.IsZero() {
			t.Errorf("%s is told to end at %v, resolved is to be %v", got[i].Name(), got[i].EndsAt, want)
		}
	}
}

// FuzzRoll feeds the roll any file: it must refuse or understand it, and what
// it understood it must write so that it reads the same.
func FuzzRoll(f *testing.F) {
	now := time.Now()
	a := onRoll{Alert: fires("A", now, now, now.Add(time.Hour))}
	f.Add(a.line().encode())
	f.Add([]byte(`{"gone":"00000000000000ff"}` + "\n"))
	f.Add([]byte(`{"labels":{"a":"b"},"startsAt":"2026-01-01T00:00:00Z"}{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newRoll(prometheus.NewCounter(prometheus.CounterOpts{}))
		_ = r.Merge(data)
		all, err := r.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if got := reread(t, all); len(got.alerts) != len(r.alerts) {
			t.Errorf("%d alerts were written and %d read", len(r.alerts), len(got.alerts))
		}
	})
}

// keptLog is a notification log that is kept in a directory, and what it tells.
func keptLog(t *testing.T, dir string) (*nflog.Log, *kept, *[][]byte) {
	t.Helper()
	reg := prometheus.NewRegistry()
	l, err := nflog.New(nflog.Options{Retention: retention, Metrics: reg})
	if err != nil {
		t.Fatal(err)
	}
	m, err := newJournalMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newKept(kindSent, l, delimited, dir, slog.New(slog.DiscardHandler), m)
	if err != nil {
		t.Fatal(err)
	}
	am := &alertmanager{kept: map[kind]*kept{kindSent: c}}
	var told [][]byte
	am.onChange(kindSent, func(b []byte) { told = append(told, b) })
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	// A start begins by shortening the journal, beside all else: what a test
	// looks at must not move meanwhile.
	late := time.After(time.Minute)
	for testutil.ToFloat64(c.metrics.snapshots) == 0 {
		select {
		case <-late:
			t.Fatal("no first snapshot")
		case <-time.After(time.Millisecond):
		}
	}
	return l, c, &told
}

func TestWhatAPeerTellsIsKeptAndToldOnOnce(t *testing.T) {
	a, _, told := keptLog(t, t.TempDir())
	dir := t.TempDir()
	b, peer, heard := keptLog(t, dir)
	small := &nflogpb.Receiver{GroupName: "small"}
	large := &nflogpb.Receiver{GroupName: "large"}
	many := make([]uint64, 500)
	for i := range many {
		many[i] = 1 << 60
	}
	for _, err := range []error{
		a.Log(small, "g", []uint64{1}, nil, nil, time.Hour),
		a.Log(large, "g", many, nil, nil, time.Hour),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(*told) != 2 || cluster.OversizedMessage((*told)[0]) || !cluster.OversizedMessage((*told)[1]) {
		t.Fatalf("%d changes told, want a small one and one that is too large for gossip", len(*told))
	}
	all, err := a.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // a peer sends all it has again and again
		if err := (peerState{peer}).Merge(all); err != nil {
			t.Fatal(err)
		}
	}
	if len(*heard) != 1 {
		t.Errorf("%d changes told on, want the small one, once", len(*heard))
	}
	size := peer.journal.Size()
	if want := int64(len(all)); size < want || size > want+100 {
		t.Errorf("the journal has %d bytes for %d, want each change once", size, want)
	}

	// The process is killed; the next one knows both.
	c, _, _ := keptLog(t, dir)
	for _, r := range []*nflogpb.Receiver{small, large} {
		for _, log := range []*nflog.Log{b, c} {
			if found, err := log.Query(nflog.QReceiver(r), nflog.QGroupKey("g")); err != nil || len(found) != 1 {
				t.Errorf("%s: %d entries, error %v", r.GroupName, len(found), err)
			}
		}
	}
	if err := (peerState{peer}).Merge([]byte("\xff\xffnonsense")); err == nil || !strings.Contains(err.Error(), "what a peer has of nflog") {
		t.Errorf("error %v of nonsense", err)
	}
}

func TestAJournalThatIsLongIsShortened(t *testing.T) {
	l, c, _ := keptLog(t, t.TempDir())
	c.maxBytes = 2000
	for n := range 200 {
		if err := l.Log(&nflogpb.Receiver{GroupName: "r"}, "g", []uint64{uint64(n)}, nil, nil, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	late := time.After(20 * time.Second)
	for c.journal.Size() > 2000 {
		select {
		case <-late:
			t.Fatalf("the journal still has %d bytes", c.journal.Size())
		case <-time.After(time.Millisecond):
		}
	}
}

// FuzzDelimited splits any bytes and must lose none.
func FuzzDelimited(f *testing.F) {
	f.Add([]byte("\x03abc\x01x"))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got := bytes.Join(delimited(data), nil); !bytes.Equal(got, data) {
			t.Errorf("%q was split into %q", data, got)
		}
		if got := bytes.Join(lines(data), nil); !bytes.Equal(got, data) {
			t.Errorf("%q was split into lines %q", data, got)
		}
	})
}

// BenchmarkKept is what it costs Alertmanager, under its lock, that a change is
// kept: that of an alert that begins to fire.
func BenchmarkKept(b *testing.B) {
	reg := prometheus.NewRegistry()
	m, err := newJournalMetrics(reg)
	if err != nil {
		b.Fatal(err)
	}
	r := newRoll(m.dropped)
	c, err := newKept(kindAlerts, r, lines, b.TempDir(), slog.New(slog.DiscardHandler), m)
	if err != nil {
		b.Fatal(err)
	}
	if err := c.start(); err != nil {
		b.Fatal(err)
	}
	defer c.close()
	now := time.Now()
	for n := 0; b.Loop(); n++ {
		r.stored(fires(fmt.Sprint("A", n%5000), now, now.Add(time.Duration(n)), now.Add(time.Duration(1-2*(n/5000%2))*time.Hour)))
	}
}
