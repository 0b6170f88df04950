package chatbot

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	commoncfg "github.com/prometheus/common/config"
)

// Options are what a Hub works with.
type Options struct {
	Registerer prometheus.Registerer        // nil: metrics go nowhere
	HTTP       []commoncfg.HTTPClientOption // of the clients
}

// Hub holds the bots, so that all who use one share its limits, also over a
// reload of the configuration.
type Hub struct {
	metrics *metrics
	http    []commoncfg.HTTPClientOption
	life    context.Context
	end     context.CancelFunc
	running sync.WaitGroup
	began   time.Time

	mu   sync.Mutex
	bots map[[sha256.Size]byte]*bot // by URL, which itself is a secret
}

// NewHub starts nothing: a bot works while something waits for it.
func NewHub(opts Options) (*Hub, error) {
	if opts.Registerer == nil {
		opts.Registerer = prometheus.NewRegistry()
	}
	m, err := newMetrics(opts.Registerer)
	if err != nil {
		return nil, err
	}
	h := &Hub{metrics: m, http: opts.HTTP, began: time.Now(), bots: map[[sha256.Size]byte]*bot{}}
	h.life, h.end = context.WithCancel(context.Background()) // until Close
	return h, nil
}

// Close breaks off what is being posted, and waits for that. What still waits
// was not told and fails.
func (h *Hub) Close() {
	h.mu.Lock()
	h.end() // no bot starts from here on
	h.mu.Unlock()
	h.running.Wait()
}

// tell puts an entry into the queue of its bot and waits until the bot has taken
// it, refuses it, or ctx ends.
func (h *Hub) tell(ctx context.Context, e *entry) (retry bool, err error) {
	b := h.enqueue(e)
	if b == nil {
		return false, context.Canceled
	}
	return b.wait(ctx, e)
}

// enqueue finds the bot and gives it the entry, or is nil after Close.
func (h *Hub) enqueue(e *entry) *bot {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.life.Err() != nil {
		return nil
	}
	for id, b := range h.bots {
		if b.idle() {
			delete(h.bots, id)
		}
	}
	id := sha256.Sum256([]byte(e.via.url.String()))
	b := h.bots[id]
	if b == nil {
		b = newBot(h.metrics, e.via.protocol.Limits())
		if time.Since(h.began) < time.Minute {
			b.caution()
		}
		h.bots[id] = b
	}
	if b.add(e) {
		h.running.Go(func() { b.run(h.life) })
	}
	return b
}
