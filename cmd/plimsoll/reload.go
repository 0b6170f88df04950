package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/plimsoll-io/plimsoll/internal/watch"
)

// reloadable is a part whose files can change while the collector runs.
type reloadable struct {
	name  string
	load  func() error
	files func() []string
}

func (p *collectorParts) reloadables() []reloadable {
	one := func(file string) func() []string {
		return func() []string {
			if file == "" {
				return nil
			}
			return []string{file}
		}
	}
	return []reloadable{
		{"alerting", func() error { return p.alerting.Reload() }, p.alertingFiles},
		{"scaler", p.reloadPolicies, one(p.flags.policies)},
		{"forward", p.reloadForward, one(p.flags.forward)},
	}
}

// reload reads the files again of all parts. What has a mistake stays as it was;
// the rest is taken.
func (p *collectorParts) reload() error {
	var errs []error
	for _, part := range p.reloadables() {
		errs = append(errs, p.reloadPart(part))
	}
	return errors.Join(errs...)
}

func (p *collectorParts) reloadPart(part reloadable) error {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	err := part.load()
	took := 1.0
	if err != nil {
		took = 0
		p.log.Error("reload failed, the files before stay in force", "component", part.name, "err", err)
		err = fmt.Errorf("%s: the files before stay in force:\n%w", part.name, err)
	}
	p.reloaded.WithLabelValues(part.name).Set(took)
	return err
}

// alertingFiles are those that rules and routes are read from. Before they are
// read, nobody knows what templates they name.
func (p *collectorParts) alertingFiles() []string {
	if p.alerting != nil {
		return p.alerting.Files()
	}
	files := slices.Clone(p.flags.rules)
	if p.flags.alertmanager != "" {
		files = append(files, p.flags.alertmanager)
	}
	return files
}

// makeWatchers makes what reloads each part when its files have changed, once for
// each change: a file with a mistake is complained of once. It comes before the
// files are read, so that what changes during a long start is seen.
func (p *collectorParts) makeWatchers() error {
	if !p.flags.watch {
		return nil
	}
	for _, part := range p.reloadables() {
		w, err := watch.New(watch.Options{Patterns: part.files, Changed: func() {
			_ = p.reloadPart(part) // logged, and shown by the metric
		}})
		if err != nil {
			return err
		}
		p.add("watch "+part.name, w.Run)
	}
	return nil
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
