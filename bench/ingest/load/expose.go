package main

import (
	"compress/gzip"
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// exposer is a target for each node, below its name, all on one port. Each
// scrape gets the node's next round. What does not change, names and labels, is
// rendered once.
type exposer struct {
	*fleet
	traffic
	server  *http.Server
	targets []*target
	served  chan struct{}
	ended   chan error
}

type target struct {
	*node
	lines []line // in the order of families, as the format wants it

	mu     sync.Mutex
	text   []byte
	zipper *gzip.Writer
	rounds int // served
}

// line is the constant part of a sample's line, behind the head of its family if
// it opens one.
type line struct {
	text  string
	value int // which of the round's
}

func newExposer(f *fleet, at string) (*exposer, error) {
	x := &exposer{fleet: f, served: make(chan struct{}, 1), ended: make(chan error, 1)}
	mux := http.NewServeMux()
	for _, n := range f.nodes {
		t := &target{node: n, lines: linesOf(n), zipper: gzip.NewWriter(nil)}
		x.targets = append(x.targets, t)
		mux.HandleFunc("GET /"+n.name, func(w http.ResponseWriter, _ *http.Request) { x.serve(w, t) })
	}
	var listen net.ListenConfig
	l, err := listen.Listen(context.Background(), "tcp", at)
	if err != nil {
		return nil, err
	}
	x.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { x.ended <- x.server.Serve(listener{l, &x.traffic}) }()
	return x, nil
}

func linesOf(n *node) []line {
	var names []string
	families := map[string][]line{}
	n.each(func(i int, g *sample.Group, s sample.Series) {
		ls := labels.NewBuilder(labelsOf(n, g, s)).Del(nameLabel, "node", "instance", "job").Labels()
		l := line{text: s.Metric.Name + ls.String() + " ", value: i}
		if families[s.Metric.Name] == nil {
			names = append(names, s.Metric.Name)
			l.text = "# HELP " + s.Metric.Name + " " + s.Metric.Help + "\n# TYPE " + s.Metric.Name + " " + s.Metric.Type.String() + "\n" + l.text
		}
		families[s.Metric.Name] = append(families[s.Metric.Name], l)
	})
	var lines []line
	for _, name := range names {
		lines = append(lines, families[name]...)
	}
	return slices.Clip(lines)
}

func (x *exposer) serve(w http.ResponseWriter, t *target) {
	t.mu.Lock()
	defer t.mu.Unlock()
	values := t.node.rounds[min(t.rounds, len(t.node.rounds)-1)]
	t.text = t.text[:0]
	for _, l := range t.lines {
		t.text = append(t.text, l.text...)
		t.text = strconv.AppendFloat(t.text, values[l.value], 'g', -1, 64)
		t.text = append(t.text, '\n')
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Set("Content-Encoding", "gzip")
	t.zipper.Reset(w)
	_, err := t.zipper.Write(t.text)
	if errors.Join(err, t.zipper.Close()) != nil {
		return // whoever asked has gone
	}
	t.rounds++
	select {
	case x.served <- struct{}{}:
	default:
	}
}

// send waits until each target has been scraped so often. Those that are ahead
// are counted as they stand.
func (x *exposer) send(ctx context.Context, until int) error {
	for x.least() < until {
		select {
		case <-x.served:
		case err := <-x.ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (x *exposer) least() int {
	least := x.fleet.rounds
	for _, t := range x.targets {
		t.mu.Lock()
		least = min(least, t.rounds)
		t.mu.Unlock()
	}
	return least
}

func (x *exposer) report() report {
	r := report{Sent: x.out.Load(), Answered: x.in.Load()}
	for _, t := range x.targets {
		t.mu.Lock()
		r.Samples += t.rounds * t.series()
		t.mu.Unlock()
	}
	return r
}

func (x *exposer) close() error { return x.server.Close() }
