package main

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/plimsoll-io/plimsoll/internal/conf"
	"github.com/plimsoll-io/plimsoll/scaler/driver/swarm"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// labelsInterval is how often the labels of services are read.
const labelsInterval = 15 * time.Second

// labelled are the policies in the labels of a Swarm's services, beside those of
// the file.
type labelled struct {
	services func(context.Context) ([]swarm.Service, error)
	take     func([]policy.App) error // makes the scaler go by them
	options  policy.Options
	log      *slog.Logger

	policies *prometheus.GaugeVec
	failures prometheus.Counter

	mu      sync.Mutex
	file    []policy.App
	found   []policy.App  // in labels; what it was while services cannot be listed
	refused int           // workloads whose labels have mistakes
	wrong   conf.Problems // those, and warnings
	told    string        // what was last written to the log
	taken   []policy.App  // what the scaler goes by
}

func newLabelled(services func(context.Context) ([]swarm.Service, error), take func([]policy.App) error,
	options policy.Options, log *slog.Logger, reg prometheus.Registerer,
) *labelled {
	l := &labelled{
		services: services, take: take, options: options, log: log,
		policies: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "plimsoll_scaler_label_policies", Help: "Policies in the labels of services, by what became of them: taken, or refused.",
		}, []string{"outcome"}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "plimsoll_scaler_label_failures_total", Help: "Times that the labels of services could not be read; those read before stay in force.",
		}),
	}
	reg.MustRegister(l.policies, l.failures)
	return l
}

// first are the policies to start with, if the file has these.
func (l *labelled) first(file []policy.App) []policy.App {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file = file
	l.taken = l.merged()
	return l.taken
}

// reload has the scaler take another file. With an error, the one before stays.
func (l *labelled) reload(file []policy.App) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.file
	l.file = file
	apps := l.merged()
	if err := l.take(apps); err != nil {
		l.file = before
		return err
	}
	l.taken = apps
	return nil
}

// merged is called with mu held.
func (l *labelled) merged() []policy.App {
	apps, left := policy.Adopt(l.file, l.found)
	problems := slices.Concat(l.wrong, left)
	l.policies.WithLabelValues("taken").Set(float64(len(apps) - len(l.file)))
	l.policies.WithLabelValues("refused").Set(float64(l.refused + len(left)))
	if text := problems.Error(); text != l.told {
		for _, p := range problems {
			l.log.Warn("policy in labels", "err", p)
		}
		l.told = text
	}
	return apps
}

// look reads the labels once.
func (l *labelled) look(ctx context.Context) error {
	services, err := l.services(ctx)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.found, l.wrong, l.refused = nil, nil, 0
	slices.SortFunc(services, func(a, b swarm.Service) int { return strings.Compare(a.Name, b.Name) })
	for _, s := range services {
		got := policy.FromLabels(policy.Target{Driver: "swarm", Service: s.Name}, s.Labels, l.options)
		switch {
		case got == nil:
		case len(got.Problems) > 0:
			l.wrong, l.refused = append(l.wrong, got.Problems...), l.refused+1
		default:
			l.found, l.wrong = append(l.found, got.App), append(l.wrong, got.Warnings...)
		}
	}
	return nil
}

// run keeps the scaler's policies those of file and labels, until ctx ends.
func (l *labelled) run(ctx context.Context) error {
	tick := time.NewTicker(labelsInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		switch err := l.look(ctx); {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			l.failures.Inc()
			if !errors.Is(err, swarm.ErrNoManager) {
				l.log.Warn("labels of services not read, those before stay in force", "err", err)
			}
			continue
		}
		if err := l.give(); err != nil {
			l.log.Error("policies in labels not taken, those before stay in force", "err", err)
		}
	}
}

// give has the scaler take what has changed.
func (l *labelled) give() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	apps := l.merged()
	if reflect.DeepEqual(apps, l.taken) {
		return nil
	}
	if err := l.take(apps); err != nil {
		return err
	}
	l.taken = apps
	return nil
}
