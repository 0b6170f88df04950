package alerting

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/nflog/nflogpb"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestOnlyWhereTheLogKnowsMoreThanIsKnownHereAnAlertIsLeftOut(t *testing.T) {
	const (
		before = -time.Hour // of the start
		away   = -time.Minute
		after  = time.Second
	)
	x, y := loggedAs(model.LabelSet{"alertname": "X"}), loggedAs(model.LabelSet{"alertname": "Y"})
	type entry struct {
		at               time.Duration
		firing, resolved []uint64
	}
	ended := entry{away, nil, []uint64{x}}
	for name, tt := range map[string]struct {
		begins   time.Duration
		log      []entry // of an integration each
		age      time.Duration
		alone    bool
		held     bool
		resolved bool
		out      bool
	}{
		"the other told its end while this one was away":   {before, []entry{ended}, after, false, false, false, true},
		"the other told of the group without it":           {before, []entry{{away, []uint64{y}, nil}}, after, false, false, false, true},
		"it began since":                                   {after / 2, []entry{ended}, after, false, false, false, false},
		"nobody has told anything":                         {before, nil, after, false, false, false, false},
		"what was told is older":                           {away, []entry{{before, []uint64{y}, nil}}, after, false, false, false, false},
		"it is known to fire":                              {before, []entry{{away, []uint64{x}, nil}}, after, false, false, false, false},
		"one integration does not know of its end":         {before, []entry{ended, {before, []uint64{x}, nil}}, after, false, true, false, false},
		"by now what is seen here is of after the start":   {before, []entry{ended}, settle, false, false, false, false},
		"the other is not heard of":                        {before, []entry{ended}, after, true, false, false, false},
		"its data are lost here, and the other has them":   {before, []entry{ended}, settle, false, true, false, true},
		"its data are lost here, and nobody told its end":  {before, []entry{{away, []uint64{y}, nil}}, settle, false, true, false, false},
		"it has ended here as well, which is told as such": {before, []entry{ended}, after, false, false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, c, _ := keptLog(t, t.TempDir())
				started := time.Now()
				var integrations []notify.Integration
				for i, e := range tt.log {
					integrations = append(integrations, notify.NewIntegration(nil, always{}, "test", i, "people"))
					at := started.Add(e.at)
					if err := c.mergeOne(&nflogpb.MeshEntry{
						Entry: &nflogpb.Entry{
							Receiver: &nflogpb.Receiver{GroupName: "people", Integration: "test", Idx: uint32(i)}, GroupKey: []byte("g"),
							Timestamp: timestamppb.New(at), FiringAlerts: e.firing, ResolvedAlerts: e.resolved,
						},
						ExpiresAt: timestamppb.New(started.Add(time.Hour)),
					}); err != nil {
						t.Fatal(err)
					}
				}
				<-time.After(tt.age)
				now := time.Now()
				heard := now
				if tt.alone {
					heard = now.Add(-2 * silent)
				}
				g := &gossip{
					started: started, links: map[*link]struct{}{{heard: heard}: {}},
					held: func(model.Fingerprint) bool { return tt.held },
				}
				a := fires("X", started.Add(tt.begins), now, time.Time{})
				a.Annotations = nil
				if tt.resolved {
					a.EndsAt = now
				}
				s := inTurn{am: &alertmanager{gossip: g, sent: l}, receivers: map[string][]notify.Integration{"people": integrations}}
				left := s.unended(notify.WithReceiverName(t.Context(), "people"), "g", []*alert.Alert{a}, now)
				if out := len(left) == 0; out != tt.out {
					t.Errorf("left out: %v, want %v", out, tt.out)
				}
			})
		})
	}
}
