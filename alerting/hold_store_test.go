package alerting_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// asksForData tells a query of the holder from those of the rules of these tests.
func asksForData(query string) bool { return strings.HasPrefix(query, "count(") }

func TestNothingThatIsHeldEndsWhileTheStoreCannotBeAsked(t *testing.T) {
	inSlowWorld(t, memoryHigh, func(s *slow) {
		s.pass(calm, s.memory(95))
		s.lose()
		s.pass(time.Minute)
		s.find()
		s.fails(func(_ context.Context, query string) error {
			if asksForData(query) {
				return errors.New("query timed out")
			}
			return nil
		})
		s.throughout(10*time.Minute, "MemoryHigh", "while nobody knows if its data are back")
		s.fails(nil)
		s.pass(2 * second)
		s.mustFire("", "when they are known not to be")
	})
}

func TestAStoreThatAnswersLateLetsNothingExpireThatIsHeld(t *testing.T) {
	const rules = memoryHigh + `      - alert: AlsoHigh
        expr: container_memory_working_set_bytes > 90
`
	inSlowWorld(t, rules, func(s *slow) {
		s.pass(calm, s.memory(95))
		s.mustFire("AlsoHigh MemoryHigh", "above their limits")
		s.lose()
		s.pass(time.Minute)
		s.find()
		s.fails(func(ctx context.Context, query string) error {
			if !asksForData(query) {
				return nil
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(2 * time.Minute): // as long as queries may take
				return errors.New("query timed out")
			}
		})
		s.throughout(10*time.Minute, "AlsoHigh MemoryHigh", "while the store is slow")
		s.fails(nil)
		s.pass(3 * second)
		s.mustFire("", "when it has said that there are no data")
	})
}

func TestAnEvaluationThatTakesMinutesEndsNoAlert(t *testing.T) {
	inSlowWorld(t, memoryHigh, func(s *slow) {
		s.pass(calm, s.memory(95))
		s.mustFire("MemoryHigh", "above its limit")
		s.fails(func(ctx context.Context, query string) error {
			if asksForData(query) {
				return nil
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(150 * time.Second):
				return nil
			}
		})
		s.throughout(20*time.Minute, "MemoryHigh", "while its rule is slow", s.memory(95))
		s.pass(6*time.Minute, s.memory(50))
		s.mustFire("", "below its limit")
		s.fails(nil)
	})
}

// busy fires while each of the last twelve samples is there.
const busy = `groups:
  - name: test
    rules:
      - {alert: Busy, expr: 'sum_over_time(work[1m]) > 11'}
`

func TestAHoleThatARangeStillHasEndsNoAlert(t *testing.T) {
	inSlowWorld(t, busy, func(s *slow) {
		works := s.sample(1, "__name__", "work", "name", "web", "node", "n1")
		s.pass(calm, works)
		s.mustFire("Busy", "at work")
		s.find() // it was away for less than an evaluation takes to come
		s.throughout(second, "Busy", "without a sample")
		s.throughout(10*time.Minute, "Busy", "with its agent back", works)
		s.pass(3*time.Minute, s.sample(0, "__name__", "work", "name", "web", "node", "n1"))
		s.mustFire("", "when idle")
	})
}

func TestSamplesOfBeforeARestartDoNotTellThatAnAlertHasEnded(t *testing.T) {
	inSlowWorld(t, busy, func(s *slow) {
		works := s.sample(1, "__name__", "work", "name", "web", "node", "n1")
		s.pass(calm, works)
		s.end()
		<-time.After(2 * time.Minute) // past the range, but not past what a query looks back
		s.start()
		s.throughout(80*time.Second, "Busy", "before its agent is back")
		s.throughout(10*time.Minute, "Busy", "once it is", works)
	})
}

func TestAfterARestartOthersMaySeeTheEndThoughTheAgentIsAway(t *testing.T) {
	inSlowWorld(t, memoryHigh, func(s *slow) {
		s.pass(calm, s.memory(95))
		s.end()
		<-time.After(10 * time.Minute) // longer than a query looks back
		s.mu.Lock()
		s.away["n1"] = true
		s.mu.Unlock()
		s.start()
		s.throughout(10*time.Minute, "MemoryHigh", "while nobody sends data")
		s.pass(4*second, s.memory(50)) // as by remote write
		s.mustFire("", "when others do")
	})
}

func TestWhatOthersSeeOfALostNodeEndsItsAlerts(t *testing.T) {
	inSlowWorld(t, busy, func(s *slow) {
		s.pass(calm, s.sample(1, "__name__", "work", "name", "web", "node", "n1"))
		s.mustFire("Busy", "at work")
		s.mu.Lock()
		s.away["n1"] = true
		s.mu.Unlock()
		s.pass(time.Minute, s.sample(0, "__name__", "work", "name", "web", "node", "n1")) // as by remote write
		s.mustFire("", "when idle")
	})
}
