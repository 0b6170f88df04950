package main

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// reload reads the files again that can change while the collector runs. What
// has a mistake stays as it was; the rest is taken.
func (p *collectorParts) reload() error {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	var errs []error
	for part, load := range map[string]func() error{
		"alerting": p.alerting.Reload,
		"scaler":   p.reloadPolicies,
		"forward":  p.reloadForward,
	} {
		err := load()
		took := 1.0
		if err != nil {
			took = 0
			errs = append(errs, fmt.Errorf("%s: the files before stay in force:\n%w", part, err))
			p.log.Error("reload failed, the files before stay in force", "component", part, "err", err)
		}
		p.reloaded.WithLabelValues(part).Set(took)
	}
	return errors.Join(errs...)
}

// reloadAt reloads at each hangup until ctx ends.
func (p *collectorParts) reloadAt(ctx context.Context, hangup <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			_ = p.reload() // logged, and shown by the metric
		}
	}
}
