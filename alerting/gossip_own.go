package alerting

import (
	"bufio"
	"bytes"
	"sync"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/nflog/nflogpb"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/encoding/protodelim"
)

// mostOwn bounds the groups that are remembered as this collector's own.
const mostOwn = 10_000

// ownGroups are groups of alerts with one about this very collector, as by its
// label instance. The other does not have such an alert, though it may have a
// group of the same labels: what either has told of it must not count for the
// other, or each would tell its own again whenever the other has.
type ownGroups struct {
	instance model.LabelValue

	mu   sync.Mutex
	keys map[string]struct{}
}

func newOwnGroups(instance string) *ownGroups {
	return &ownGroups{instance: model.LabelValue(instance), keys: map[string]struct{}{}}
}

// note looks at what is about to be told of a group.
func (o *ownGroups) note(key string, alerts []*alert.Alert) (own bool) {
	for _, a := range alerts {
		own = own || a.Labels[model.InstanceLabel] == o.instance
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if own {
		if len(o.keys) >= mostOwn {
			clear(o.keys) // those that matter come again with their next flush
		}
		o.keys[key] = struct{}{}
		return true
	}
	_, own = o.keys[key]
	return own
}

// told notes what was told of a group: once all that is this one's own has
// ended, the group is like any other.
func (o *ownGroups) told(key string, alerts []*alert.Alert) {
	for _, a := range alerts {
		if a.Labels[model.InstanceLabel] == o.instance && !a.Resolved() {
			return
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.keys, key)
}

func (o *ownGroups) is(key string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, own := o.keys[key]
	return own
}

// groupOf is the group that a change of the notification log is about, empty if
// it makes no sense: merge says what is wrong.
func groupOf(change []byte) string {
	var e nflogpb.MeshEntry
	if err := protodelim.UnmarshalFrom(bufio.NewReader(bytes.NewReader(change)), &e); err != nil {
		return ""
	}
	return string(e.GetEntry().GetGroupKey())
}
