package lease

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// among is a lease with a seat for each node that votes.
func among(t *testing.T, ttl time.Duration, nodes ...string) (*Lease, []*seat) {
	t.Helper()
	l, err := New(Options{Name: "a", TTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	var seats []*seat
	for _, node := range nodes {
		s, err := l.enter(node)
		if err != nil {
			t.Fatal(err)
		}
		seats = append(seats, s)
	}
	return l, seats
}

// An answer may be on its way for longer than the attempt lasts that it belongs
// to: the voter has been given back since, and may be lent to another.
func TestAGrantOfAnAttemptThatWasGivenBackDoesNotCountForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, seats := among(t, time.Second, "n")
		seat := seats[0]
		l.turn([]string{"n"}, nil)
		first := <-seat.questions
		l.answered(seat.voter, &plimsollv1.VoteRequest{Holder: "b", RemainingMs: 1})
		l.turn([]string{"n"}, nil)
		if back := <-seat.questions; back.GetTtlMs() != 0 || back.GetEpoch() != first.GetEpoch() {
			t.Fatalf("asked %v, want what was lent to be given back", back)
		}
		<-time.After(time.Millisecond)
		second := first
		for range 2 * rounds {
			l.turn([]string{"n"}, nil)
			if second = <-seat.questions; second.GetEpoch() > 0 {
				break
			}
		}
		if second.GetEpoch() <= first.GetEpoch() {
			t.Errorf("epoch %d is asked for after %d", second.GetEpoch(), first.GetEpoch())
		}
		l.answered(seat.voter, &plimsollv1.VoteRequest{Round: first.GetRound(), Granted: true, Epoch: first.GetEpoch(), Holder: l.id, RemainingMs: 900})
		if _, held := l.Held(); held {
			t.Error("it leads by a word that it has given back")
		}
		l.answered(seat.voter, &plimsollv1.VoteRequest{Round: second.GetRound(), Granted: true, Epoch: second.GetEpoch(), Holder: l.id, RemainingMs: 900})
		if _, held := l.Held(); !held {
			t.Error("it does not lead by the word that it was given")
		}
	})
}

// Two halves would both lead.
func TestHalfOfTheNodesIsNoMajority(t *testing.T) {
	for what, known := range map[string][]string{
		"of those that were here before": {"n1", "n2", "n3", "n4"},
		"of those that are here":         nil,
	} {
		synctest.Test(t, func(t *testing.T) {
			l, seats := among(t, 0, "n1", "n2", "n3", "n4")
			l.turn(known, nil)
			for i, s := range seats {
				if _, held := l.Held(); held != (i > 2) {
					t.Errorf("%s: with %d of four it leads: %v", what, i, held)
				}
				asked := <-s.questions
				l.answered(s.voter, &plimsollv1.VoteRequest{Round: asked.GetRound(), Granted: true, Epoch: asked.GetEpoch()})
			}
		})
	}
}

func TestALeaseEndsATenthBeforeTheVoterSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, seats := among(t, 4*time.Second, "n")
		seat := seats[0]
		l.turn([]string{"n"}, nil)
		asked := <-seat.questions
		<-time.After(2 * time.Second) // for the answer
		l.answered(seat.voter, &plimsollv1.VoteRequest{Round: asked.GetRound(), Granted: true, Epoch: asked.GetEpoch(), Holder: l.id, RemainingMs: 4000})
		<-time.After(1600*time.Millisecond - 1)
		if _, held := l.Held(); !held {
			t.Error("it leads no longer before nine tenths of the time have passed since it asked")
		}
		<-time.After(1)
		if _, held := l.Held(); held {
			t.Error("it leads for longer than nine tenths of the time since it asked")
		}
	})
}

func TestNothingIsAskedForBeforeItIsKnownWhoCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, seats := among(t, 0, "n")
		unknown := errors.New("the store is being read")
		l.turn(nil, unknown)
		if asked := <-seats[0].questions; asked.GetEpoch() != 0 {
			t.Errorf("asked %v", asked)
		}
		l.turn([]string{"n", "m"}, nil)
		if asked := <-seats[0].questions; asked.GetEpoch() != 0 {
			t.Errorf("one of two is here, and asked is %v", asked)
		}
		l.turn([]string{"n"}, nil)
		l.turn(nil, unknown) // for a moment: those of before are as good
		if asked := <-seats[0].questions; asked.GetEpoch() == 0 {
			t.Errorf("asked %v", asked)
		}
	})
}

func TestAgentsHaveTimeToComeBeforeTheFirstRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, seats := among(t, 0, "n")
		ended := make(chan struct{})
		go func() { defer close(ended); _ = l.Run(t.Context()) }()
		t.Cleanup(func() { <-ended })
		began := time.Now()
		for asked := range seats[0].questions {
			switch at := time.Since(began); {
			case asked.GetEpoch() != 0 && at < maxTTL:
				t.Errorf("asked %v of the first that came, after %v", asked, at)
				return
			case asked.GetEpoch() == 0 && at >= maxTTL:
				t.Errorf("asked %v after %v", asked, at)
				return
			case at >= maxTTL:
				return
			}
		}
	})
}

func TestANodeThatWentIsMissedForTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, seats := among(t, 0, "n1", "n2")
		l.leave(seats[1])
		for _, want := range []int{2, 1} {
			l.turn(nil, nil)
			if s := l.State(); s.Known != want || s.Voters != 1 {
				t.Errorf("%+v, want %d nodes that count and one that can be asked", s, want)
			}
			<-time.After(Forget + 1)
		}
	})
}

func TestAnAgentThatCameBackIsAskedThoughItsOldStreamEndsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, seats := among(t, 0, "n")
		again, err := l.enter("n")
		if err != nil {
			t.Fatal(err)
		}
		if _, open := <-seats[0].questions; open {
			t.Error("the old stream is asked, and should end")
		}
		l.leave(seats[0])
		l.turn([]string{"n"}, nil)
		if asked := <-again.questions; asked.GetEpoch() == 0 {
			t.Errorf("asked %v", asked)
		}
	})
}

func TestWhatVotersSayIsBelievedWithinBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const year = 365 * 24 * 60 * 60
		now := uint64(time.Now().Unix())
		l, seats := among(t, 0, "n")
		for _, said := range []uint64{now + 5*year, now + 10*year, 1<<64 - 1} {
			l.answered(seats[0].voter, &plimsollv1.VoteRequest{Epoch: said, Holder: "nobody", RemainingMs: 1<<32 - 1})
		}
		l.turn([]string{"n"}, nil)
		if asked := <-seats[0].questions; asked.GetEpoch() != 0 {
			t.Errorf("asked %v of one that is lent to another", asked)
		}
		<-time.After(maxTTL)
		l.turn([]string{"n"}, nil)
		if asked := <-seats[0].questions; asked.GetEpoch() != now+5*year+1 {
			t.Errorf("asked %v, want epoch %d: voters grant none in ten years", asked, now+5*year+1)
		}
	})
}
