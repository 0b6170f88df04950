package vote

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// asked is a voter in front of candidates that are written in few words.
type asked struct {
	t *testing.T
	*Voter
}

func (a asked) grants(candidate string, epoch uint64, ttl time.Duration) bool {
	a.t.Helper()
	answer, err := a.Answer(&plimsollv1.VoteResponse{Round: 7, Candidate: candidate, Epoch: epoch, TtlMs: uint32(ttl.Milliseconds())})
	if err != nil {
		a.t.Fatal(err)
	}
	if answer.GetRound() != 7 {
		a.t.Errorf("an answer to round %d, asked was 7", answer.GetRound())
	}
	return answer.GetGranted()
}

func settled(t *testing.T) asked {
	v := asked{t, NewVoter("n", slog.New(slog.DiscardHandler))}
	<-time.After(MaxTTL)
	return v
}

func TestAVoterIsLentToOneCandidateAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := settled(t)
		if !v.grants("a", 5, 4*time.Second) {
			t.Fatal("the first candidate is refused")
		}
		if v.grants("b", 6, 4*time.Second) {
			t.Error("a second candidate is granted what the first has")
		}
		<-time.After(3 * time.Second)
		if !v.grants("a", 5, 4*time.Second) {
			t.Error("who has the lease cannot renew it")
		}
		<-time.After(3 * time.Second)
		if v.grants("b", 6, 4*time.Second) {
			t.Error("a renewed lease is not respected to its end")
		}
		<-time.After(time.Second)
		if !v.grants("b", 6, 4*time.Second) {
			t.Error("a lease that has run out is still respected")
		}
	})
}

func TestAnEpochIsGrantedToNobodyElseAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := settled(t)
		v.grants("a", 5, time.Second)
		<-time.After(2 * time.Second)
		if v.grants("b", 5, time.Second) {
			t.Error("two candidates were granted epoch 5")
		}
		if v.grants("a", 4, time.Second) {
			t.Error("an epoch below the last is granted")
		}
		if !v.grants("a", 5, time.Second) {
			t.Error("the candidate that was away for a moment cannot go on, though nobody came between")
		}
	})
}

func TestALeaseThatIsGivenBackIsFreeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := settled(t)
		v.grants("a", 5, MaxTTL)
		v.grants("b", 5, 0)
		if v.grants("b", 6, time.Second) {
			t.Error("one gives back what another has")
		}
		v.grants("a", 5, 0)
		if !v.grants("b", 6, time.Second) {
			t.Error("what was given back is not granted")
		}
	})
}

func TestAVoterThatJustBeganGrantsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := asked{t, NewVoter("n", slog.New(slog.DiscardHandler))}
		<-time.After(MaxTTL - time.Millisecond)
		if v.grants("a", 5, time.Second) {
			t.Error("it may have been lent to another before its restart")
		}
		<-time.After(time.Millisecond)
		if !v.grants("a", 5, time.Second) {
			t.Error("it grants nothing after its time of silence")
		}
	})
}

func TestAQuestionTellsWhoLeadsAndChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := settled(t)
		v.grants("a", 5, 4*time.Second)
		<-time.After(time.Second)
		answer, err := v.Answer(&plimsollv1.VoteResponse{Candidate: "b"})
		if err != nil {
			t.Fatal(err)
		}
		if answer.GetGranted() || answer.GetHolder() != "a" || answer.GetEpoch() != 5 || answer.GetRemainingMs() != 3000 {
			t.Errorf("answered %v", answer)
		}
	})
}

func TestWhatNoCandidateAsksIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := settled(t)
		for what, ask := range map[string]*plimsollv1.VoteResponse{
			"no name":                           {Epoch: 1, TtlMs: 1000},
			"a name without end":                {Candidate: strings.Repeat("x", 129), Epoch: 1, TtlMs: 1000},
			"a lease without end":               {Candidate: "a", Epoch: 1, TtlMs: 10_001},
			"an epoch above which there's none": {Candidate: "a", Epoch: 1 << 63, TtlMs: 1000},
		} {
			if answer, err := v.Answer(ask); err == nil {
				t.Errorf("%s: answered %v", what, answer)
			}
		}
		if !v.grants("b", 1, time.Second) {
			t.Error("a candidate is refused for what another asked")
		}
	})
}
