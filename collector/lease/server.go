package lease

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// Bounds of what a voter may say and how long it may say nothing, and how many
// there may be.
const (
	maxNameBytes = 253
	helloTimeout = 10 * time.Second
	maxVoters    = 10_000
)

// Vote asks one agent until it or this collector ends.
func (l *Lease) Vote(stream grpc.BidiStreamingServer[plimsollv1.VoteRequest, plimsollv1.VoteResponse]) error {
	first, err := l.first(stream)
	if err != nil {
		return err
	}
	node := first.GetNode()
	if l.opts.Identify != nil {
		named, err := l.opts.Identify(stream.Context())
		if err != nil {
			return err
		}
		if named != "" && named != node {
			return status.Errorf(codes.PermissionDenied, "the certificate is for node %q and not for %q", named, node)
		}
	}
	if node == "" || len(node) > maxNameBytes {
		return status.Errorf(codes.InvalidArgument, "a node's name of %d bytes, want 1 to %d", len(node), maxNameBytes)
	}
	ask, err := l.enter(node)
	if err != nil {
		return err
	}
	v := ask.voter
	defer l.leave(ask)

	failed := make(chan error, 1)
	go func() { // ends with the stream
		for {
			answer, err := stream.Recv()
			if err == nil && len(answer.GetHolder()) > maxNameBytes {
				err = status.Error(codes.InvalidArgument, "the name of who the voter is lent to is too long")
			}
			if err != nil {
				failed <- err
				return
			}
			l.answered(v, answer)
		}
	}()
	for {
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case err := <-failed:
			return err
		case <-l.done:
			select {
			case last := <-ask.questions:
				if err := stream.Send(last); err != nil {
					return err
				}
			default:
			}
			return ending()
		case question, ok := <-ask.questions:
			if !ok {
				return status.Errorf(codes.AlreadyExists, "node %q has opened another stream", node)
			}
			if err := stream.Send(question); err != nil {
				return err
			}
		}
	}
}

// first is what an agent says first: who it is.
func (l *Lease) first(stream grpc.BidiStreamingServer[plimsollv1.VoteRequest, plimsollv1.VoteResponse]) (*plimsollv1.VoteRequest, error) {
	said, failed := make(chan *plimsollv1.VoteRequest, 1), make(chan error, 1)
	go func() { // ends with the stream
		first, err := stream.Recv()
		if err != nil {
			failed <- err
			return
		}
		said <- first
	}()
	select {
	case first := <-said:
		return first, nil
	case err := <-failed:
		return nil, err
	case <-time.After(helloTimeout):
		return nil, status.Errorf(codes.DeadlineExceeded, "the agent has not said who it is within %v", helloTimeout)
	case <-l.done:
		return nil, ending()
	}
}

func ending() error { return status.Error(codes.Unavailable, "this collector ends") }

// seat is a stream's place among the voters.
type seat struct {
	node      string
	voter     *voter
	questions chan *plimsollv1.VoteResponse
}

// enter makes a stream its node's voice. What an earlier stream of the node
// holds goes on: it is the same voter.
func (l *Lease) enter(node string) (*seat, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v, known := l.voters[node]
	if !known {
		if len(l.voters) >= maxVoters {
			return nil, status.Errorf(codes.ResourceExhausted, "%d agents vote already", maxVoters)
		}
		v = &voter{}
		l.voters[node] = v
	}
	if v.ask != nil {
		close(v.ask)
	}
	v.ask = make(chan *plimsollv1.VoteResponse, 1)
	return &seat{node, v, v.ask}, nil
}

func (l *Lease) leave(s *seat) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.voter.ask == s.questions {
		s.voter.ask, s.voter.gone = nil, time.Now()
	}
}
