package alerting

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/nflog/nflogpb"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/silence/silencepb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A clock that was set back and one of another collector that is ahead look the
// same: what there is is of a later time than now.
func TestWhatIsToldWhileTheLogIsAheadOfTheClockIsLogged(t *testing.T) {
	l, c, changes := keptLog(t, t.TempDir())
	r := &nflogpb.Receiver{GroupName: "people", Integration: "test"}
	ahead := time.Now().Add(time.Hour)
	if err := c.mergeOne(&nflogpb.MeshEntry{
		Entry:     &nflogpb.Entry{Receiver: r, GroupKey: []byte("g"), FiringAlerts: []uint64{1}, Timestamp: timestamppb.New(ahead)},
		ExpiresAt: timestamppb.New(ahead.Add(retention)),
	}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		store := nflog.NewStore(nil)
		store.SetStr("thread", "7")
		if err := (timely{l, c}).Log(r, "g", nil, []uint64{1}, store, 2*time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	got, err := timely{l, c}.Query(nflog.QGroupKey("g"), nflog.QReceiver(r))
	if err != nil || len(got) != 1 {
		t.Fatalf("%d entries, error %v", len(got), err)
	}
	if e := got[0]; len(e.FiringAlerts) != 0 || len(e.ResolvedAlerts) != 1 || len(e.ReceiverData) != 1 || e.Timestamp.AsTime().Sub(ahead) > time.Microsecond {
		t.Errorf("the log has %v", e)
	}
	if len(*changes) != 3 {
		t.Errorf("%d changes are kept and shared, want 3", len(*changes))
	}
}

func TestASilenceThatIsAheadOfTheClockEndsWhenItIsTold(t *testing.T) {
	during(t, "", func(o *office) {
		now := time.Now()
		s := &silencepb.Silence{
			MatcherSets: []*silencepb.MatcherSet{{Matchers: []*silencepb.Matcher{{Name: "node", Pattern: "n1"}}}},
			StartsAt:    timestamppb.New(now), EndsAt: timestamppb.New(now.Add(3 * time.Hour)),
		}
		if err := o.am.silences.Set(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		ahead := proto.CloneOf(s)
		ahead.UpdatedAt = timestamppb.New(now.Add(time.Hour))
		if err := o.am.kept[kindSilences].mergeOne(&silencepb.MeshSilence{Silence: ahead, ExpiresAt: timestamppb.New(now.Add(retention))}); err != nil {
			t.Fatal(err)
		}
		answer := httptest.NewRecorder()
		o.am.ServeHTTP(answer, httptest.NewRequest(http.MethodDelete, "/api/v2/silence/"+s.Id, nil))
		if answer.Code != http.StatusOK {
			t.Fatalf("answer %d: %s", answer.Code, answer.Body)
		}
		synctest.Wait()
		left, err := o.am.silences.QueryOne(t.Context(), silence.QIDs(s.Id))
		if err != nil || left.EndsAt.AsTime().After(now) {
			t.Errorf("after 200 it ends at %v, now is %v; error %v", left.GetEndsAt().AsTime(), now, err)
		}
	})
}
