package alerting

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/nflog/nflogpb"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestWhatIsNoSureRefusalLeavesTheOutcomeUnknown(t *testing.T) {
	answered := func(code int) error {
		return fmt.Errorf("people: %w", notify.NewErrorWithReason(notify.GetFailureReasonFromStatusCode(code), errors.New("no")))
	}
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"sent":                     {nil, false},
		"refused":                  {answered(400), true},
		"not allowed":              {answered(401), true},
		"too many":                 {answered(429), true},
		"a proxy that waited":      {answered(504), false},
		"a receiver that broke":    {answered(500), false},
		"nobody there":             {&net.OpError{Op: "dial", Err: errors.New("refused")}, true},
		"gone before it answered":  {&net.OpError{Op: "read", Err: errors.New("reset")}, false},
		"nobody knows what it was": {errors.New("x"), false},
	} {
		if got := refused(tt.err); got != tt.want {
			t.Errorf("%s: refused is %v", name, got)
		}
	}
}

// opened is what the next process would find open, if this one were killed now.
func opened(t *testing.T, c *kept) map[to]intention {
	t.Helper()
	c.saving.Lock() // no segment goes while it is read
	defer c.saving.Unlock()
	l, err := nflog.New(nflog.Options{Retention: retention, Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	m, err := newJournalMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	next, err := newKept(kindSent, l, delimited, filepath.Dir(c.path), slog.New(slog.DiscardHandler), m)
	if err != nil {
		t.Fatal(err)
	}
	return next.intents.open
}

func TestARefusalLeavesAnEarlierIntentionOpen(t *testing.T) {
	_, c, _ := keptLog(t, t.TempDir())
	first := intention{Group: "g", Receiver: "people", Integration: "test", Firing: true, At: time.Now().Round(0)}
	second := first
	second.At = first.At.Add(time.Second)
	if earlier := c.begin(first); earlier != nil {
		t.Fatalf("there is an earlier one: %+v", earlier)
	}
	c.withdraw(second, c.begin(second))
	if got := opened(t, c)[first.to()]; !got.At.Equal(first.At) {
		t.Errorf("the next process knows of %+v", got)
	}
	c.withdraw(first, nil)
	if got := opened(t, c); len(got) != 0 {
		t.Errorf("the next process knows of %+v", got)
	}
}

func TestANewSegmentHasWhatIsOpenAndNotOldAndHoldsNothingUp(t *testing.T) {
	_, c, _ := keptLog(t, t.TempDir())
	fresh := intention{Group: "fresh", Receiver: "people", At: time.Now()}
	late := intention{Group: "late", Receiver: "people", At: time.Now()}
	c.begin(intention{Group: "old", Receiver: "people", At: time.Now().Add(-retention - time.Minute)})
	c.begin(fresh)
	c.saving.Lock() // as a snapshot does
	drop, err := c.journal.RotateWith(func(begin func(...[]byte)) {
		c.intents.carry(begin)
		c.begin(late) // before the flush, which may take long
	})
	if err == nil {
		err = drop()
	}
	c.saving.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if len(c.intents.open) != 2 {
		t.Errorf("open: %v", c.intents.open)
	}
	left := opened(t, c)
	_, isFresh := left[fresh.to()]
	_, isLate := left[late.to()]
	if len(left) != 2 || !isFresh || !isLate {
		t.Errorf("the next process knows of %v", left)
	}
}

func TestWhatTheOtherHasToldSinceIsNotOfUnknownOutcome(t *testing.T) {
	for name, theOtherTold := range map[string]bool{"it was told": true, "it was not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c, _ := keptLog(t, t.TempDir())
				i := intention{Group: "g", Receiver: "people", Integration: "test", Firing: true, Repeat: time.Hour, At: time.Now()}
				c.begin(i)
				m, err := newJournalMetrics(prometheus.NewRegistry())
				if err != nil {
					t.Fatal(err)
				}
				am := &alertmanager{kept: map[kind]*kept{kindSent: c}, journals: m}
				g := &gossip{am: am, open: make(chan struct{}), settled: make(chan struct{})}
				g.start()
				if theOtherTold {
					if err := c.mergeOne(&nflogpb.MeshEntry{
						Entry: &nflogpb.Entry{
							Receiver: i.receiver(), GroupKey: []byte(i.Group), ResolvedAlerts: []uint64{1}, Timestamp: timestamppb.New(time.Now().Add(time.Second)),
						},
						ExpiresAt: timestamppb.New(time.Now().Add(time.Hour)),
					}); err != nil {
						t.Fatal(err)
					}
				}
				if err := g.WaitReady(t.Context()); err != nil {
					t.Fatal(err)
				}
				want := 1.0
				if theOtherTold {
					want = 0
				}
				if n := testutil.ToFloat64(am.journals.unknown); n != want {
					t.Errorf("%v are of unknown outcome, want %v", n, want)
				}
				entry, _ := c.intents.logged(i)
				if entry == nil || theOtherTold != (len(entry.FiringAlerts) == 0) {
					t.Errorf("the log has %v", entry)
				}
			})
		})
	}
}
