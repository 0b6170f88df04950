package vote

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// A stream that breaks is opened again after retryDelay; a collector that has no
// partner, which is the usual case, is asked again after aloneDelay.
const (
	retryDelay = time.Second
	aloneDelay = time.Minute
)

// Run answers one collector's questions until ctx ends. It never fails: a
// collector that does not ask is none of a pair, or away.
func (v *Voter) Run(ctx context.Context, collector grpc.ClientConnInterface) error {
	client := plimsollv1.NewLeaseServiceClient(collector)
	told := false
	for {
		err := v.attend(ctx, client)
		delay := retryDelay
		switch {
		case status.Code(err) == codes.Unimplemented:
			delay = aloneDelay
		case errors.Is(err, errQuestion) && !told:
			told = true // once: it will ask again
			v.log.Warn("a collector of a pair asks what no collector should, and is not answered", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(delay/2 + rand.N(delay/2)):
		}
	}
}

func (v *Voter) attend(ctx context.Context, client plimsollv1.LeaseServiceClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Vote(ctx)
	if err != nil {
		return err
	}
	// A send that fails does so because the stream has ended. Recv has the reason,
	// and before it what the collector said last: that it gives back its lease.
	_ = stream.Send(&plimsollv1.VoteRequest{Node: v.node})
	for {
		ask, err := stream.Recv()
		if err != nil {
			return err
		}
		answer, err := v.Answer(ask)
		if err != nil {
			return err
		}
		_ = stream.Send(answer)
	}
}
