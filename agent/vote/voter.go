// Package vote lends an agent's word to one of several collectors, so that only
// one of them acts. The rules are those of proto/plimsoll/v1/lease.proto.
package vote

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// Bounds of what a candidate may ask for.
const (
	// MaxTTL is the longest that a voter may be lent for, and how long it is
	// silent after its start.
	MaxTTL = 10 * time.Second
	// maxAhead is how far an epoch may be above the Unix time in seconds. A
	// candidate that asked for the highest there is would end all elections.
	maxAhead      = 10 * 365 * 24 * 60 * 60
	maxNameLength = 128
)

// errQuestion marks what is wrong with a question.
var errQuestion = errors.New("refused")

// Voter remembers who it is lent to. One voter answers all collectors of its
// agent; its methods may be called concurrently.
type Voter struct {
	node  string
	log   *slog.Logger
	begun time.Time

	mu     sync.Mutex
	epoch  uint64 // the highest granted
	last   string // who was granted it
	lentTo string // empty if given back
	until  time.Time
}

// NewVoter returns a voter for a node that is silent for MaxTTL.
func NewVoter(node string, log *slog.Logger) *Voter {
	return &Voter{node: node, log: log, begun: time.Now()}
}

// Answer is the voter's answer to what a candidate asks. The error says what is
// wrong with a question that no candidate should ask.
func (v *Voter) Answer(ask *plimsollv1.VoteResponse) (*plimsollv1.VoteRequest, error) {
	candidate, ttl := ask.GetCandidate(), time.Duration(ask.GetTtlMs())*time.Millisecond
	now := time.Now()
	switch {
	case candidate == "" || len(candidate) > maxNameLength:
		return nil, fmt.Errorf("%w: a candidate's name of %d bytes, want 1 to %d", errQuestion, len(candidate), maxNameLength)
	case ttl > MaxTTL:
		return nil, fmt.Errorf("%w: a lease of %v, want %v at most", errQuestion, ttl, MaxTTL)
	case ask.GetEpoch() > uint64(max(0, now.Unix()))+maxAhead:
		return nil, fmt.Errorf("%w: epoch %d is years ahead of this node's clock, %v; set it", errQuestion, ask.GetEpoch(), now.UTC().Format(time.DateTime))
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if !now.Before(v.until) {
		v.lentTo = ""
	}
	answer := &plimsollv1.VoteRequest{Round: ask.GetRound()}
	switch epoch := ask.GetEpoch(); {
	case epoch == 0:
	case ttl == 0:
		if v.lentTo == candidate && v.epoch == epoch {
			v.lentTo = ""
		}
	case v.grants(candidate, epoch, now):
		v.epoch, v.last, v.lentTo, v.until = epoch, candidate, candidate, now.Add(ttl)
		answer.Granted = true
	}
	answer.Epoch = v.epoch
	if v.lentTo != "" {
		answer.Holder, answer.RemainingMs = v.lentTo, uint32(v.until.Sub(now).Milliseconds())
	}
	return answer, nil
}

func (v *Voter) grants(candidate string, epoch uint64, now time.Time) bool {
	switch {
	case now.Sub(v.begun) < MaxTTL:
		return false
	case candidate == v.last:
		return epoch >= v.epoch
	}
	return v.lentTo == "" && epoch > v.epoch
}
