package alerting

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
)

// PairOptions tell an Alerting that there is another one, fed with the same
// samples: what fires is to be told once.
type PairOptions struct {
	// Name is this one's; the other has another.
	Name string
	// Leads tells whether this one is to tell what both could. If both say so, or
	// neither, the one whose name comes first does. Nil: it never says so.
	Leads func() bool
}

// Tube is a way to the other one. Each of its methods may be called by one
// goroutine at a time; both fail once it has ended.
type Tube interface {
	Send(payload []byte) error
	Recv() ([]byte, error)
}

const (
	// beat is how often each says that it is there,
	beat = 500 * time.Millisecond
	// silent is how long after that it counts as gone.
	silent = 3 * beat
	// settling is how long a new process waits for what the other knows before it
	// tells anything.
	settling = 3 * time.Second
	// backlog is how many changes may wait for the other. When there are more,
	// they are dropped, and it is sent all there is.
	backlog = 1024
	// frameBytes is about how much goes into a frame, and largestChange what a
	// change may have at all.
	frameBytes    = 256 << 10
	largestChange = 384 << 10
)

// frame is a payload of a tube.
type frame struct {
	Leads   bool     `json:"leads"`
	Changes []change `json:"changes,omitempty"`
	Whole   bool     `json:"whole,omitempty"` // all there was has been sent
}

// change is one of a state, in Alertmanager's own encoding.
type change struct {
	Kind kind   `json:"kind"`
	Data []byte `json:"data"`
}

// gossip shares silences and the notification log with another process, and
// waits for it where it is the other's turn to tell.
//
//	silences, nflog ─ changed ─▶ link.queue ─ Tube ─▶ the other's merge
//
// It fails open: what cannot be heard of is not waited for, so two that do not
// hear each other both tell.
type gossip struct {
	opts    PairOptions
	am      *alertmanager
	log     *slog.Logger
	metrics *gossipMetrics
	own     *ownGroups
	told    told
	started time.Time
	held    func(model.Fingerprint) bool // whether an alert is held; nil: none is

	mu      sync.Mutex
	links   map[*link]struct{}
	open    chan struct{} // closed once there is something to share
	settled chan struct{} // closed once the other's state is here, or was waited for
	settle  sync.Once

	taking  sync.Mutex // one merge at a time
	stopped bool
}

var errEnded = errors.New("alerting has ended")

// link is a tube that is in use.
type link struct {
	peer   string
	queue  chan change
	behind chan struct{} // to be sent all there is

	// gossip.mu guards these.
	leads bool
	heard time.Time
}

func newGossip(opts PairOptions, am *alertmanager, log *slog.Logger, instance string, reg prometheus.Registerer) (*gossip, error) {
	if opts.Name == "" {
		return nil, errors.New("a pair needs a name for each of its collectors")
	}
	g := &gossip{
		opts: opts, am: am, log: log.With("component", "gossip"), own: newOwnGroups(instance),
		links: map[*link]struct{}{}, open: make(chan struct{}), settled: make(chan struct{}),
	}
	var err error
	if g.metrics, err = newGossipMetrics(reg, g); err != nil {
		return nil, err
	}
	for _, k := range []kind{kindSilences, kindSent} {
		am.onChange(k, func(data []byte) { g.changed(k, data) })
	}
	return g, nil
}

// start lets tubes in.
func (g *gossip) start() {
	g.started = time.Now()
	close(g.open)
	time.AfterFunc(settling, g.settleNow)
}

// settleNow lets notifications go. What may have been sent before the start is
// settled only now, when it is known what the other has told since.
func (g *gossip) settleNow() {
	g.settle.Do(func() {
		g.taking.Lock()
		defer g.taking.Unlock()
		if !g.stopped {
			g.am.kept[kindSent].settle(g.am.journals.unknown)
		}
		close(g.settled)
	})
}

// stop lets nothing in any more. What ends a tube is its owner's.
func (g *gossip) stop() {
	g.taking.Lock()
	defer g.taking.Unlock()
	g.stopped = true
}

// WaitReady implements notify.Peer: a process that was just started hears first
// what was told while it was away.
func (g *gossip) WaitReady(ctx context.Context) error {
	select {
	case <-g.settled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// waits tells whether it is the other's turn to tell.
func (g *gossip) waits() bool {
	leads := g.leads()
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	for l := range g.links {
		if now.Sub(l.heard) <= silent && first(l.peer, l.leads, g.opts.Name, leads) {
			return true
		}
	}
	return false
}

// first tells whether one comes before the other.
func first(one string, oneLeads bool, other string, otherLeads bool) bool {
	if oneLeads != otherLeads {
		return oneLeads
	}
	return one < other
}

func (g *gossip) leads() bool { return g.opts.Leads != nil && g.opts.Leads() }

// connected is how many tubes the other has been heard on lately.
func (g *gossip) connected() float64 {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0.0
	for l := range g.links {
		if now.Sub(l.heard) <= silent {
			n++
		}
	}
	return n
}

// changed takes a change of what is shared. The state's lock is held.
func (g *gossip) changed(k kind, data []byte) {
	if k == kindSent && g.own.is(groupOf(data)) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for l := range g.links {
		if len(data) <= largestChange {
			select {
			case l.queue <- change{k, data}:
				continue
			default:
			}
			poke(l.behind)
		}
		g.metrics.dropped.Inc()
	}
}

// talk shares what there is by a tube, until that ends or ctx does.
func (g *gossip) talk(ctx context.Context, peer string, tube Tube) error {
	select {
	case <-g.open:
	case <-ctx.Done():
		return ctx.Err()
	}
	l := &link{peer: peer, queue: make(chan change, backlog), behind: make(chan struct{}, 1)}
	g.mu.Lock()
	g.links[l] = struct{}{}
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		delete(g.links, l)
		g.mu.Unlock()
	}()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { cancel(g.hear(l, tube)) }() // until its owner ends the tube
	err := g.tell(ctx, l, tube)
	return cmp.Or(context.Cause(ctx), err)
}

// tell sends all there is, and then what changes.
func (g *gossip) tell(ctx context.Context, l *link, tube Tube) error {
	poke(l.behind)
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.behind:
			err = g.tellAll(tube)
		case <-tick.C:
			err = g.send(tube, frame{})
		case c := <-l.queue:
			err = g.send(tube, frame{Changes: l.more(c)})
		}
		if err != nil {
			return err
		}
	}
}

// more are the changes that wait, beginning with c.
func (l *link) more(c change) []change {
	list, size := []change{c}, len(c.Data)
	for size < frameBytes {
		select {
		case c := <-l.queue:
			list, size = append(list, c), size+len(c.Data)
		default:
			return list
		}
	}
	return list
}

func (g *gossip) tellAll(tube Tube) error {
	g.metrics.wholes.Inc()
	var list []change
	size := 0
	for _, k := range []kind{kindSilences, kindSent} {
		all, err := g.am.shared(k).MarshalBinary()
		if err != nil {
			return fmt.Errorf("share %s: %w", k, err)
		}
		for _, data := range g.am.kept[k].split(all) {
			if k == kindSent && g.own.is(groupOf(data)) {
				continue
			}
			if len(data) > largestChange {
				g.metrics.dropped.Inc()
				continue
			}
			list, size = append(list, change{k, data}), size+len(data)
			if size < frameBytes {
				continue
			}
			if err := g.send(tube, frame{Changes: list}); err != nil {
				return err
			}
			list, size = nil, 0
		}
	}
	return g.send(tube, frame{Changes: list, Whole: true})
}

func (g *gossip) send(tube Tube, f frame) error {
	f.Leads = g.leads()
	payload, err := json.Marshal(f)
	if err != nil {
		return err
	}
	if err := tube.Send(payload); err != nil {
		return err
	}
	g.metrics.sent.Add(float64(len(f.Changes)))
	return nil
}

// hear takes in what the other sends.
func (g *gossip) hear(l *link, tube Tube) error {
	for {
		payload, err := tube.Recv()
		if err != nil {
			return err
		}
		f, err := parseFrame(payload)
		if err != nil {
			return fmt.Errorf("the other collector said what makes no sense: %w", err)
		}
		g.mu.Lock()
		l.leads, l.heard = f.Leads, time.Now()
		g.mu.Unlock()
		if err := g.take(f.Changes); err != nil {
			return err
		}
		if f.Whole {
			g.settleNow()
		}
	}
}

// take merges changes, unless stop was called.
func (g *gossip) take(changes []change) error {
	g.taking.Lock()
	defer g.taking.Unlock()
	if g.stopped {
		return errEnded
	}
	for _, c := range changes {
		if c.Kind == kindSent {
			group := groupOf(c.Data)
			if g.own.is(group) {
				continue
			}
			g.told.note(group)
		}
		if err := g.am.merge(c.Kind, c.Data); err != nil {
			g.metrics.strange.Inc()
			g.log.Warn("a change of the other collector is left out", "kind", string(c.Kind), "err", err)
			continue
		}
		g.metrics.received.Inc()
		if c.Kind == kindSilences {
			g.am.touch()
		}
	}
	return nil
}

// parseFrame reads a payload, such as {"leads":true,"changes":[{"kind":"nflog","data":"…"}]}.
func parseFrame(payload []byte) (frame, error) {
	var f frame
	if err := json.Unmarshal(payload, &f); err != nil {
		return frame{}, err
	}
	for _, c := range f.Changes {
		if c.Kind != kindSilences && c.Kind != kindSent {
			return frame{}, fmt.Errorf("unknown kind %q", c.Kind)
		}
	}
	return f, nil
}

// peer is what a pipeline waits for before it tells anything.
func (am *alertmanager) peer() notify.Peer {
	if am.gossip == nil {
		return nil
	}
	return am.gossip
}

// Talk shares silences and the notification log with the other collector of the
// pair, by that name, until the tube ends or ctx does. It waits for Run.
func (a *Alerting) Talk(ctx context.Context, peer string, tube Tube) error {
	if a.am.gossip == nil {
		return errors.New("this collector is not one of a pair")
	}
	return a.am.gossip.talk(ctx, peer, tube)
}
