package alerting

import (
	"errors"
	"slices"
)

// Reload reads all files again and brings them into force. If anything in them
// is wrong, all of what was in force stays so, and the error names each mistake
// with file, line and column. Alerts, silences and the notification log live on,
// so nothing that was told is told again; what has not changed is not touched, so
// groups keep the times at which they are due. Before Run, it replaces what Run
// will start with.
func (a *Alerting) Reload() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.reload()
	a.metrics.reloaded(err)
	if err != nil {
		return err
	}
	a.log.Info("alerting reloaded", "rule_files", len(a.settings.rules.Files()))
	return nil
}

func (a *Alerting) reload() error {
	if a.state == ended {
		return errors.New("it has ended")
	}
	next, err := load(a.opts, a.bots)
	if err != nil {
		return err
	}
	if a.state == running {
		if err := a.apply(next); err != nil {
			a.loader.Use(a.settings.rules)
			return err
		}
	}
	a.settings = next
	return nil
}

// Files are the names, or patterns for the names, of all files that Reload reads.
func (a *Alerting) Files() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	files := slices.Concat(a.settings.conf.Templates, a.opts.RuleFiles)
	for _, file := range []string{a.opts.ConfigFile, a.opts.RuleOverrides} {
		if file != "" {
			files = append(files, file)
		}
	}
	return files
}
