package history

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/backtest"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// History is what a policy would have met.
type History struct {
	// Lanes are the loads of its signals, but for those that are left out.
	Lanes []backtest.Lane
	// Left are the signals without a load, by name, and why.
	Left []Left
	// Desired and Ready are the replicas that there really were; without values where
	// that was not recorded.
	Desired, Ready backtest.Load
	// Notes are what was assumed, for people.
	Notes []string
}

// Left is a signal that is left out.
type Left struct{ Signal, Why string }

// Without is a policy without the signals that are left out.
func (h History) Without(app policy.App) policy.App {
	var kept []policy.Signal
	for _, s := range app.Signals {
		if h.lane(s.Name) != nil {
			kept = append(kept, s)
		}
	}
	app.Signals = kept
	return app
}

// lane is the one of a signal; nil if there is none.
func (h History) lane(signal string) *backtest.Lane {
	for i := range h.Lanes {
		if h.Lanes[i].Signal == signal {
			return &h.Lanes[i]
		}
	}
	return nil
}

// Begin is how many replicas were ready at a time; 0 if that is not known.
func (h History) Begin(at time.Time) int {
	i := int(at.Sub(h.Ready.Start) / max(h.Ready.Step, 1))
	for ; i >= 0 && i < len(h.Ready.Values); i++ {
		if v := h.Ready.Values[i]; v >= 1 {
			return int(v)
		}
	}
	return 0
}

// Ask is what is asked of a store.
type Ask struct {
	App  policy.App
	Span Span
	// Progress hears now and then how much is there, 0 to 1; it may be nil.
	Progress func(done float64)
}

// Fetch reads the history of a policy. A signal without one is left out; that none
// has any is an error.
func (s *Store) Fetch(ctx context.Context, ask Ask) (History, error) {
	f := fetcher{store: s, ask: ask, all: float64(ask.Span.Steps * (2 + 3*len(ask.App.Signals)))}
	if err := f.replicas(ctx); err != nil {
		return f.History, err
	}
	for _, signal := range ask.App.Signals {
		if err := f.signal(ctx, signal); err != nil {
			return f.History, fmt.Errorf("signal %s: %w", signal.Name, err)
		}
	}
	f.judge()
	if len(f.Lanes) == 0 {
		err := errors.New("nothing was recorded of any signal")
		for _, l := range f.Left {
			err = fmt.Errorf("%w; %s: %s", err, l.Signal, l.Why)
		}
		return f.History, err
	}
	return f.History, nil
}

// fetcher makes a history.
type fetcher struct {
	History
	store     *Store
	ask       Ask
	done, all float64 // steps
}

func (f *fetcher) told(steps int) {
	f.done += float64(steps)
	if f.ask.Progress != nil {
		f.ask.Progress(min(1, f.done/f.all))
	}
}

// get is a query's answer at each step.
func (f *fetcher) get(ctx context.Context, query string, lookback time.Duration) ([]float64, error) {
	return f.store.single(ctx, query, f.ask.Span, max(lookback, time.Minute), f.told)
}

func (f *fetcher) note(format string, args ...any) {
	f.Notes = append(f.Notes, fmt.Sprintf(format, args...))
}

func (f *fetcher) leave(s policy.Signal, format string, args ...any) {
	f.Left = append(f.Left, Left{s.Name, fmt.Sprintf(format, args...)})
}

// replicas reads how many there really were.
func (f *fetcher) replicas(ctx context.Context) error {
	of := fmt.Sprintf("{policy=%q}", f.ask.App.Name)
	for _, want := range []struct {
		name string
		into *backtest.Load
	}{{"plimsoll_scaler_replicas_desired", &f.Desired}, {"plimsoll_scaler_replicas_ready", &f.Ready}} {
		values, err := f.get(ctx, "max("+want.name+of+")", 0)
		if err != nil {
			return err
		}
		if some(values) {
			*want.into = f.ask.Span.load(values)
		}
	}
	return nil
}

func some(values []float64) bool {
	for _, v := range values {
		if fine(v) {
			return true
		}
	}
	return false
}

func fine(v float64) bool { return v >= 0 && !math.IsInf(v, 1) }
