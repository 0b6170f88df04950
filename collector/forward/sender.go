package forward

import (
	"context"
	"fmt"
	"time"
)

// A batch that the target refuses for one bad sample is divided until that is
// found, but no more after so many requests in all, or in a row without anything
// being accepted.
const (
	maxAsked   = 64
	maxRefused = 12
)

// sender brings the batches of one shard to the target, one after the other.
// ctx ends the waiting for a target that is away, hard all of it.
type sender struct {
	*endpoint
	encoder   *encoder
	ctx, hard context.Context
}

// deliver returns once the target has decided on every sample of the batch, or
// false if ctx ended before.
func (s *sender) deliver(whole batch) bool {
	queue := []batch{whole}
	asked, refused, accepted := 0, 0, false
	var loss refusal
	for len(queue) > 0 {
		b := queue[0]
		queue = queue[1:]
		a, b, ok := s.insist(b)
		if !ok {
			return false
		}
		if b.samples == 0 {
			continue // all too old
		}
		asked++
		if a.err == nil {
			refused, accepted = 0, true
			s.settle(a, b)
			continue
		}
		refused++
		if b.samples > 1 && a.divisible() && s.dividing.Load() && asked < maxAsked && refused < maxRefused {
			if halves := b.halves(); len(b.parts) == 1 { // no sample of a series may overtake another
				queue = append(halves, queue...)
			} else {
				queue = append(queue, halves...)
			}
			continue
		}
		loss.add(s.refuse(a, b), a, b)
	}
	if asked > 0 { // where the target takes nothing, the next batch is not worth as much
		s.dividing.Store(accepted)
	}
	s.complain(loss)
	return true
}

// settle counts a batch that was accepted. A target of version 2 says how much
// it has written.
func (s *sender) settle(a answer, b batch) {
	written := b.samples
	if s.encoder.version2 {
		written = min(a.stats.Samples, b.samples)
	}
	s.ledger.with(func(l *ledger) { l.sent += uint64(written) })
	switch left := b.samples - written; {
	case left == 0:
	case !a.stats.Confirmed:
		s.ledger.drop(reasonUnconfirmed, left)
		s.log.Error("target accepts version 2 of remote write and does not confirm it; it may know version 1 only: "+
			"set protobuf_message to prometheus.WriteRequest", "samples", left)
	default:
		s.ledger.drop(reasonPartial, left)
		s.log.Warn("target has written a part of what it accepted", "samples", left)
	}
}

// refuse counts a batch that was not accepted and must not be sent again, and
// returns how many samples it has cost.
func (s *sender) refuse(a answer, b batch) int {
	written := 0
	if a.stats.Confirmed {
		written = min(a.stats.Samples, b.samples)
	}
	s.ledger.with(func(l *ledger) { l.sent += uint64(written) })
	s.ledger.drop("http_"+a.code(), b.samples-written)
	return b.samples - written
}

// refusal is what a batch has lost, with an example.
type refusal struct {
	samples int
	example string
	err     error
}

func (r *refusal) add(samples int, a answer, b batch) {
	r.samples += samples
	r.example, r.err = b.parts[0].labels.String(), a.err
}

// complain logs what was refused, and not again within ten seconds: the counters
// tell the rest.
func (s *sender) complain(r refusal) {
	now, last := time.Now().UnixMilli(), s.complaint.Load()
	if r.samples > 0 && now-last > 10_000 && s.complaint.CompareAndSwap(last, now) {
		s.log.Warn("target refuses samples; they are dropped", "samples", r.samples, "example", r.example, "err", r.err)
	}
}

// insist sends a batch until the target decides on it, less what grows too old
// meanwhile; it returns what was sent last. It returns false when ctx ends.
func (s *sender) insist(b batch) (answer, batch, bool) {
	for try := 0; ; try++ {
		if !s.pacer.wait(s.ctx) {
			return answer{}, b, false
		}
		if b = s.young(b); b.samples == 0 {
			return answer{}, b, true
		}
		body, err := s.encoder.encode(b)
		if err != nil { // too large for the compression: smaller ones are not
			return answer{status: 413, err: fmt.Errorf("encode request: %w", err)}, b, true
		}
		a := s.client.send(s.hard, body, try)
		if a.err != nil && s.hard.Err() != nil {
			return a, b, false
		}
		turned := s.ledger.asked(a, len(body), time.Now())
		if a.err == nil || !a.held() {
			s.pacer.succeeded() // it answers
			if turned && a.err == nil {
				s.log.Info("target accepts samples again", "url", shownURL(s.config))
			}
			return a, b, true
		}
		s.pacer.failed(a.retryAfter)
		s.troubled.Store(true)
		s.ledger.with(func(l *ledger) { l.retries++ })
		if turned {
			s.log.Warn("target does not take samples; they wait in the spool", "url", shownURL(s.config), "err", a.err)
		}
	}
}

// young drops what may not be sent any more.
func (s *sender) young(b batch) batch {
	now := time.Now()
	if now.Sub(time.UnixMilli(b.arrived)) > s.maxAge {
		s.ledger.drop(reasonExpired, b.samples)
		return batch{}
	}
	if limit := time.Duration(s.config.QueueConfig.SampleAgeLimit); limit > 0 {
		younger, old := b.without(now.Add(-limit).UnixMilli())
		s.ledger.drop(reasonAge, old)
		return younger
	}
	return b
}
