package alerting

import (
	"log/slog"
	"time"

	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/client_golang/prometheus"
)

// Remains are what a process that was killed has left on disk.
type Remains struct {
	Unknown  map[string]time.Time // keys of groups that may have been told of, and since when
	Silences *silence.Silences
}

// ReadRemains reads them as the next process would, and changes nothing.
func ReadRemains(dir string) (Remains, error) {
	reg := prometheus.NewRegistry()
	r := Remains{Unknown: map[string]time.Time{}}
	sent, err := nflog.New(nflog.Options{Retention: retention, Metrics: reg})
	if err != nil {
		return r, err
	}
	if r.Silences, err = silence.New(silence.Options{Retention: retention, Metrics: reg}); err != nil {
		return r, err
	}
	m, err := newJournalMetrics(reg)
	if err != nil {
		return r, err
	}
	log := slog.New(slog.DiscardHandler)
	if _, err = newKept(kindSilences, r.Silences, delimited, dir, log, m); err != nil {
		return r, err
	}
	c, err := newKept(kindSent, sent, delimited, dir, log, m)
	if err != nil {
		return r, err
	}
	for _, i := range c.intents.open {
		if _, known := c.intents.logged(i); !known {
			r.Unknown[i.Group] = i.At
		}
	}
	return r, nil
}
