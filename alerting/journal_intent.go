package alerting

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/nflog/nflogpb"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/client_golang/prometheus"
)

// intention is a notification that is about to be sent. Between the moment that
// a receiver has it and the moment that the notification log says so, a process
// can be killed; then the intention tells the next one that it may have been
// sent.
type intention struct {
	Group       string        `json:"group"`
	Receiver    string        `json:"receiver"`
	Integration string        `json:"integration"`
	Index       uint32        `json:"index"`
	Firing      bool          `json:"firing,omitempty"` // something in it fires
	Repeat      time.Duration `json:"repeat,omitempty"`
	At          time.Time     `json:"at"`
}

// to is where an intention goes. A later one to the same place replaces it.
type to struct {
	group, receiver, integration string
	index                        uint32
}

func (i intention) to() to { return to{i.Group, i.Receiver, i.Integration, i.Index} }

func (i intention) receiver() *nflogpb.Receiver {
	return &nflogpb.Receiver{GroupName: i.Receiver, Integration: i.Integration, Idx: i.Index}
}

// intentions are those whose outcome may be unknown.
type intentions struct {
	mu   sync.Mutex
	open map[to]intention
	sent *nflog.Log
}

func (s *intentions) replay(body []byte, begun bool) error {
	var i intention
	if err := json.Unmarshal(body, &i); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if begun {
		s.open[i.to()] = i
	} else {
		delete(s.open, i.to())
	}
	return nil
}

// logged is what the notification log has for the place that i goes to, and
// whether that is of i or later.
func (s *intentions) logged(i intention) (*nflogpb.Entry, bool) {
	entries, err := s.sent.Query(nflog.QGroupKey(i.Group), nflog.QReceiver(i.receiver()))
	if err != nil || len(entries) == 0 {
		return nil, false
	}
	return entries[0], !entries[0].Timestamp.AsTime().Before(i.At)
}

// carry begins a segment with what is open. Notifications wait for its lock, so
// it does nothing that a disk could hold up for long.
func (s *intentions) carry(begin func(head ...[]byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := time.Now().Add(-retention)
	var head [][]byte
	for key, i := range s.open {
		if _, known := s.logged(i); known || i.At.Before(oldest) {
			delete(s.open, key)
			continue
		}
		if body, err := json.Marshal(i); err == nil {
			head = append(head, append([]byte{tagIntent}, body...))
		}
	}
	begin(head...)
}

// settle decides what becomes of the notifications that may or may not have
// been sent when the process before this one ended: they are sent again, for a
// message that comes twice is better than one that never comes. Where nothing
// else is known of a group, the log is made to say that something was told, so
// that its end is told in any case, and something else than what fires, so that
// what fires is as well.
func (c *kept) settle(unknown prometheus.Counter) {
	s, log := c.intents, c.log
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, i := range s.open {
		delete(s.open, key)
		entry, known := s.logged(i)
		if known {
			continue
		}
		unknown.Inc()
		log.Warn("a notification may have been sent just before the process ended; if it is still true it is sent again",
			"receiver", i.Receiver, "integration", i.Integration, "group", i.Group)
		if i.Firing && (entry == nil || len(entry.FiringAlerts) == 0) {
			if err := s.sent.Log(i.receiver(), i.Group, []uint64{nothing}, nil, nil, 2*i.Repeat); err != nil {
				log.Error("cannot note that a group may have been told of", "group", i.Group, "err", err)
			}
		}
	}
}

// nothing is, in the notification log, the hash of an alert that there is not.
const nothing = 0

// noted are receivers whose intentions are in the journal before they send.
func (c *kept) noted(receivers map[string][]notify.Integration) map[string][]notify.Integration {
	wrapped := make(map[string][]notify.Integration, len(receivers))
	for name, list := range receivers {
		wrapped[name] = make([]notify.Integration, 0, len(list))
		for i := range list {
			n := notedNotifier{c, &list[i], name}
			wrapped[name] = append(wrapped[name], notify.NewIntegration(n, &list[i], list[i].Name(), list[i].Index(), name))
		}
	}
	return wrapped
}

type notedNotifier struct {
	kept     *kept
	inner    *notify.Integration
	receiver string
}

// Notify implements notify.Notifier.
func (n notedNotifier) Notify(ctx context.Context, alerts ...*alert.Alert) (bool, error) {
	i := intention{Receiver: n.receiver, Integration: n.inner.Name(), Index: uint32(n.inner.Index()), At: time.Now()}
	i.Group, _ = notify.GroupKey(ctx)
	i.Repeat, _ = notify.RepeatInterval(ctx)
	if firing, ok := notify.FiringAlerts(ctx); ok {
		i.Firing = len(firing) > 0
	}
	earlier := n.kept.begin(i)
	retry, err := n.inner.Notify(ctx, alerts...)
	if refused(err) {
		n.kept.withdraw(i, earlier)
	}
	return retry, err
}

// refused tells whether an error says that a notification did not arrive: the
// receiver said so or was not there. Any other may have come after it did: what
// says 5xx may be a proxy that has passed it on.
func refused(err error) bool {
	var answer *notify.ErrorWithReason
	if errors.As(err, &answer) {
		switch answer.Reason {
		case notify.ClientErrorReason, notify.AuthErrorReason, notify.RateLimitedReason:
			return true
		}
	}
	var dial *net.OpError
	return errors.As(err, &dial) && dial.Op == "dial"
}

// begin notes an intention. It returns an earlier one to the same place whose
// outcome is unknown, if there is one.
func (c *kept) begin(i intention) (earlier *intention) {
	c.intents.mu.Lock()
	defer c.intents.mu.Unlock()
	if e, ok := c.intents.open[i.to()]; ok {
		if _, known := c.intents.logged(e); !known {
			earlier = &e
		}
	}
	c.intents.open[i.to()] = i
	c.note(tagIntent, i)
	return earlier
}

// withdraw takes an intention back; an earlier one is as open as it was.
func (c *kept) withdraw(i intention, earlier *intention) {
	c.intents.mu.Lock()
	defer c.intents.mu.Unlock()
	delete(c.intents.open, i.to())
	c.note(tagWithdraw, i)
	if earlier != nil {
		c.intents.open[i.to()] = *earlier
		c.note(tagIntent, *earlier)
	}
}

func (c *kept) note(tag byte, i intention) {
	body, err := json.Marshal(i)
	if err != nil {
		c.failed(err)
		return
	}
	c.append(tag, body)
}
