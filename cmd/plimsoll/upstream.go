package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/prometheus/promql"
	promrules "github.com/prometheus/prometheus/rules"

	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/collector/upstream"
	"github.com/plimsoll-io/plimsoll/scaler"
)

// upstreamPath is where people read through to the upstream. It lies beside the
// API and never in its place: a Thanos sidecar asks that one for what the
// upstream is made of.
const upstreamPath = "/upstream"

// makeUpstream makes what asks another engine, if there is one to ask.
func (p *collectorParts) makeUpstream() (err error) {
	if p.flags.upstream == nil && p.flags.upstreamConfig != "" {
		return usage(errors.New("--query.client.config.file is about how --query.upstream is asked; give that as well, or neither"))
	}
	if p.flags.upstream == nil {
		return nil
	}
	p.upstream, err = upstream.New(upstream.Options{
		URL: p.flags.upstream, HTTPConfigFile: p.flags.upstreamConfig,
		Log: p.log.With("component", "upstream"), Registerer: p.registry,
	})
	if err != nil {
		return usage(fmt.Errorf("--query.upstream: %w", err))
	}
	p.opened = append(p.opened, p.upstream)
	return nil
}

// asker evaluates a query: upstream, if there is one.
type asker func(ctx context.Context, text string, at time.Time, lookback time.Duration) ([]query.Sample, error)

func (p *collectorParts) asks(engine *promql.Engine) asker {
	if p.upstream != nil {
		return p.upstream.Query
	}
	return func(ctx context.Context, text string, at time.Time, lookback time.Duration) ([]query.Sample, error) {
		return query.Instant(ctx, engine, p.store, text, at, lookback)
	}
}

// Query implements scaler.Querier.
func (ask asker) Query(ctx context.Context, text string, at time.Time, lookback time.Duration) ([]scaler.Sample, error) {
	vector, err := ask(ctx, text, at, lookback)
	if err != nil {
		return nil, err
	}
	samples := make([]scaler.Sample, len(vector))
	for i, s := range vector {
		samples[i] = scaler.Sample(s)
	}
	return samples, nil
}

// rulesAsk is how rules are evaluated; nil for by the engine.
func (p *collectorParts) rulesAsk() promrules.QueryFunc {
	if p.upstream == nil {
		return nil
	}
	return p.upstream.Rules
}

// beyond is what people see of the upstream.
func (p *collectorParts) beyond() http.Handler {
	if p.upstream == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "this collector has no upstream; give it one with --query.upstream", http.StatusNotFound)
		})
	}
	return p.upstream.Proxy(upstreamPath)
}
