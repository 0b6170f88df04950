package store

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"
)

const (
	defaultRetention = 15 * 24 * time.Hour
	// outOfOrder is how far behind the newest sample of its series a sample may
	// come: what an agent had to keep during an outage.
	outOfOrder       = 24 * time.Hour
	retentionPercent = 80
	// Once this share of the series in memory has ended, they are written out
	// early; otherwise containers that are long gone would fill the memory for
	// up to three hours.
	staleShare = 0.3
	// headSpan is how long the head gets, in ms, before its older two thirds
	// become a block.
	headSpan = tsdb.DefaultBlockDuration / 2 * 3
)

// tsdbOptions spells out what differs from the library's defaults, which suit
// its tests better than a server.
func tsdbOptions(opts Options) *tsdb.Options {
	o := tsdb.DefaultOptions()
	retention := retentionOf(opts)
	o.RetentionDuration = time.Duration(retention.Time).Milliseconds()
	o.MaxBytes, o.MaxPercentage = int64(retention.Size), retention.Percentage
	// A tenth of the retention per block, as Prometheus does: large enough for
	// queries, small enough that deleting the oldest does not come in jumps.
	o.MaxBlockDuration = max(o.MinBlockDuration, min(time.Duration(retention.Time)/10, 31*24*time.Hour).Milliseconds())
	o.OutOfOrderTimeWindow = outOfOrder.Milliseconds()
	o.WALCompression = compression.Snappy
	o.BlockReloadInterval = never // see keepUp
	o.BlockCompactionExcludeFunc = opts.HoldBack
	return o
}

// BlockDurations are how long a block spans at least and, after merging, at
// most. What comes late may make shorter ones.
func (s *Store) BlockDurations() (shortest, longest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := tsdbOptions(s.opts)
	return time.Duration(o.MinBlockDuration) * time.Millisecond, time.Duration(o.MaxBlockDuration) * time.Millisecond
}

// retentionOf is what options say of retention, in the words of Prometheus.
func retentionOf(opts Options) *config.TSDBRetentionConfig {
	r := &config.TSDBRetentionConfig{Time: model.Duration(defaultRetention), Percentage: retentionPercent}
	if opts.RetentionTime > 0 {
		r.Time = model.Duration(opts.RetentionTime)
	}
	if opts.RetentionBytes > 0 {
		r.Percentage = 0
		set(&r.Size, opts.RetentionBytes)
	}
	return r
}

// set spares the import of a package for the name of a type.
func set[T ~int64](to *T, n int64) { *to = T(n) }

// SetRetention changes how long samples are kept, and in how much space, as
// Options do; what is beyond that goes within a minute or so. How long a block
// spans stays as it was until the store is opened anew.
func (s *Store) SetRetention(age time.Duration, bytes int64) error {
	s.mu.Lock()
	s.opts.RetentionTime, s.opts.RetentionBytes = age, bytes
	opts, l := s.opts, s.life
	s.mu.Unlock()
	if l == nil || l.shadow {
		return nil // for the next life
	}
	err := l.db.ApplyConfig(&config.Config{StorageConfig: config.StorageConfig{TSDBConfig: &config.TSDBConfig{
		OutOfOrderTimeWindow: outOfOrder.Milliseconds(),
		Retention:            retentionOf(opts),
	}}})
	if err != nil {
		return fmt.Errorf("set retention: %w", err)
	}
	return nil
}
