package query_test

import (
	"context"
	"errors"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/collector/query"
)

func TestInstant(t *testing.T) {
	s := newStore(t, nil)
	engine := query.NewEngine(query.EngineOptions{Lookback: 10 * time.Second})
	now := start.Add(300 * time.Second)

	type labels = map[string]string
	tests := map[string]struct {
		promql string
		at     time.Time
		want   []query.Sample
	}{
		"one sample for each series":                 {`sum by (node) (load)`, now, []query.Sample{{labels{"node": "a"}, now, 300}, {labels{"node": "b"}, now, 3000}}},
		"a scalar has no labels":                     {`scalar(load{node="a"}) / 3`, now, []query.Sample{{labels{}, now, 100}}},
		"no data is not zero":                        {`nosuch`, now, nil},
		"what is older than the lookback is no data": {`load`, now.Add(11 * time.Second), nil},
		"what is younger is":                         {`load{node="a"}`, now.Add(9 * time.Second), []query.Sample{{labels{"__name__": "load", "node": "a"}, now.Add(9 * time.Second), 300}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := query.Instant(t.Context(), engine, s, tt.promql, tt.at, 0)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(tt.want) {
				t.Fatalf("got %+v", got)
			}
			for i, g := range got {
				w := tt.want[i]
				if !maps.Equal(g.Labels, w.Labels) || !g.At.Equal(w.At) || g.Value != w.Value {
					t.Errorf("got %+v, want %+v", g, w)
				}
			}
		})
	}

	t.Run("a lookback of the caller's own wins", func(t *testing.T) {
		later := now.Add(30 * time.Second)
		for lookback, want := range map[time.Duration]int{0: 0, time.Second: 0, time.Minute: 2} {
			got, err := query.Instant(t.Context(), engine, s, "load", later, lookback)
			if err != nil || len(got) != want {
				t.Errorf("%v: %d samples, error %v, want %d", lookback, len(got), err, want)
			}
		}
	})
	t.Run("NaN and infinity come as they are", func(t *testing.T) {
		got, err := query.Instant(t.Context(), engine, s, `vector(0)/0`, now, 0)
		if err != nil || len(got) != 1 || !math.IsNaN(got[0].Value) {
			t.Errorf("got %+v, error %v", got, err)
		}
	})
	for name, promql := range map[string]string{
		"a typo": `load{`, "a string": `"load"`, "a range vector": `load[1m]`, "an ambiguous join": `load + on() load`,
	} {
		t.Run(name+" is an error that quotes the query", func(t *testing.T) {
			_, err := query.Instant(t.Context(), engine, s, promql, now, 0)
			if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(promql, `"`, `\"`)) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// held is a store in which a query stays until told otherwise.
type held struct{ entered, leave chan struct{} }

func (h held) Querier(int64, int64) (storage.Querier, error) {
	h.entered <- struct{}{}
	<-h.leave
	return storage.NoopQuerier(), nil
}

func TestOnlySoManyQueriesAtATime(t *testing.T) {
	engine := query.NewEngine(query.EngineOptions{MaxConcurrent: 1})
	h := held{make(chan struct{}), make(chan struct{})}
	first := make(chan error)
	go func() {
		_, err := query.Instant(context.Background(), engine, h, "load", start, 0)
		first <- err
	}()
	<-h.entered
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := query.Instant(ctx, engine, storage.QueryableFunc(func(int64, int64) (storage.Querier, error) {
		t.Error("the second query ran beside the first")
		return storage.NoopQuerier(), nil
	}), "load", start, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second query ended with %v", err)
	}
	close(h.leave)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if _, err := query.Instant(t.Context(), engine, storage.QueryableFunc(func(int64, int64) (storage.Querier, error) {
		return storage.NoopQuerier(), nil
	}), "load", start, 0); err != nil {
		t.Errorf("after the first had ended: %v", err)
	}
}
