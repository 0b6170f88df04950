package alerting

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/nflog/nflogpb"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/silence/silencepb"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Of two states of a thing Alertmanager believes the one with the later time. If
// the clock was set back, or that of another collector is ahead, what is done now
// would be forgotten without a word until the clock has caught up. Here it is
// given a time just after the one before.

// timely is a notification log that also takes what is earlier than what it has.
type timely struct {
	sent *nflog.Log
	kept *kept
}

// Log implements notify.NotificationLog.
func (l timely) Log(r *nflogpb.Receiver, group string, firing, resolved []uint64, store *nflog.Store, expiry time.Duration) error {
	key := []nflog.QueryParam{nflog.QGroupKey(group), nflog.QReceiver(r)}
	before, err := l.sent.Query(key...)
	if err != nil || len(before) == 0 || !before[0].Timestamp.AsTime().After(time.Now()) {
		return l.sent.Log(r, group, firing, resolved, store, expiry)
	}
	// Only a log can look into store.
	scratch, err := nflog.New(nflog.Options{Retention: retention, Metrics: prometheus.NewRegistry()})
	if err != nil {
		return err
	}
	if err := scratch.Log(r, group, firing, resolved, store, expiry); err != nil {
		return err
	}
	entries, err := scratch.Query(key...)
	if err != nil {
		return err
	}
	at := before[0].Timestamp.AsTime().Add(time.Nanosecond)
	kept := retention
	if expiry > 0 {
		kept = min(kept, expiry)
	}
	entries[0].Timestamp = timestamppb.New(at)
	return l.kept.mergeOne(&nflogpb.MeshEntry{Entry: entries[0], ExpiresAt: timestamppb.New(at.Add(kept))})
}

// Query implements notify.NotificationLog.
func (l timely) Query(params ...nflog.QueryParam) ([]*nflogpb.Entry, error) {
	return l.sent.Query(params...)
}

// expire ends a silence that Alertmanager says it has ended, if it has not.
func (am *alertmanager) expire(ctx context.Context, id string) error {
	sil, err := am.silences.QueryOne(ctx, silence.QIDs(id))
	if errors.Is(err, silence.ErrNotFound) {
		return nil
	}
	now := time.Now()
	if err != nil || !sil.EndsAt.AsTime().After(now) {
		return err
	}
	ended := proto.CloneOf(sil)
	ended.EndsAt = timestamppb.New(now)
	if sil.StartsAt.AsTime().After(now) {
		ended.StartsAt = ended.EndsAt
	}
	ended.UpdatedAt = timestamppb.New(sil.UpdatedAt.AsTime().Add(time.Nanosecond))
	return am.kept[kindSilences].mergeOne(&silencepb.MeshSilence{Silence: ended, ExpiresAt: timestamppb.New(now.Add(retention))})
}

// mergeOne takes in a change made here.
func (c *kept) mergeOne(change proto.Message) error {
	var b bytes.Buffer
	if _, err := protodelim.MarshalTo(&b, change); err != nil {
		return err
	}
	return c.merge(b.Bytes())
}
