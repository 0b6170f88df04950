package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

// AppenderV2 starts a transaction, which must end with Commit or Rollback: the
// store is not opened anew before. At most one goroutine may append to a series:
// of two samples at a time, Commit drops one without a word.
//
// A reference is good until the store is opened anew. One of an earlier life is
// harmless: it counts as none, and the labels decide.
func (s *Store) AppenderV2(ctx context.Context) storage.AppenderV2 {
	t, err := s.begin()
	if err != nil {
		return refusingV2{refusal{err}}
	}
	return &appenderV2{t, t.life.db.AppenderV2(ctx)}
}

// Appender is AppenderV2 for those who still speak the first version of the
// interface, as the rule manager does.
func (s *Store) Appender(ctx context.Context) storage.Appender {
	t, err := s.begin()
	if err != nil {
		return refusing{refusal{err}}
	}
	return &appender{t.life.db.Appender(ctx), t}
}

// begin starts a transaction unless nothing may be written.
func (s *Store) begin() (*transaction, error) {
	l, err := s.writable()
	if err != nil {
		return nil, err
	}
	return &transaction{store: s, life: l}, nil
}

// transaction is what an appender of either version needs besides the one of the
// TSDB.
type transaction struct {
	store *Store
	life  *life
	ended bool
}

// The references that callers see carry in their uppermost 16 bits which life
// they are of. The TSDB packs its own into 40 bits.
const lifeShift = 48

func (t *transaction) inward(ref storage.SeriesRef) storage.SeriesRef {
	if uint64(ref)>>lifeShift != t.life.number%(1<<(64-lifeShift)) {
		return 0
	}
	return ref & (1<<lifeShift - 1)
}

func (t *transaction) outward(ref storage.SeriesRef) storage.SeriesRef {
	if ref == 0 {
		return 0
	}
	return ref | storage.SeriesRef(t.life.number<<lifeShift)
}

// commit ends the transaction. It refuses at the last moment if the disk has
// become full meanwhile; and a panic, or an error, is the end of this life: what
// was written after it could be lost when the log is next read.
func (t *transaction) commit(a storage.AppenderTransaction) (err error) {
	if t.ended {
		return tsdb.ErrAppenderClosed
	}
	if err := t.store.guard.stop(); err != nil {
		return errors.Join(fmt.Errorf("commit: %w", err), t.rollback(a))
	}
	t.ended = true
	defer t.life.leave()
	defer func() {
		if p := recover(); p != nil {
			t.life.wedged.Store(true)
			err = fmt.Errorf("commit: panic: %v", p)
			t.life.fail(err)
		}
	}()
	if err := a.Commit(); err != nil {
		t.life.fail(err)
		return err
	}
	return nil
}

func (t *transaction) rollback(a storage.AppenderTransaction) error {
	if t.ended {
		return tsdb.ErrAppenderClosed
	}
	t.ended = true
	defer t.life.leave()
	err := a.Rollback() // it writes as well: the series that are new
	if err != nil {
		t.life.fail(err)
	}
	return err
}

type appenderV2 struct {
	*transaction
	under storage.AppenderV2
}

func (a *appenderV2) Append(ref storage.SeriesRef, l labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	ref, err := a.under.Append(a.inward(ref), l, st, t, v, h, fh, opts)
	return a.outward(ref), err
}

// GetRef implements storage.GetRef: the reference of a series in memory, 0 if
// there is none.
func (a *appenderV2) GetRef(l labels.Labels, hash uint64) (storage.SeriesRef, labels.Labels) {
	known, ok := a.under.(storage.GetRef)
	if !ok {
		return 0, labels.EmptyLabels()
	}
	ref, l := known.GetRef(l, hash)
	return a.outward(ref), l
}

func (a *appenderV2) Commit() error   { return a.commit(a.under) }
func (a *appenderV2) Rollback() error { return a.rollback(a.under) }

type appender struct {
	storage.Appender
	*transaction
}

func (a *appender) Append(ref storage.SeriesRef, l labels.Labels, t int64, v float64) (storage.SeriesRef, error) {
	ref, err := a.Appender.Append(a.inward(ref), l, t, v)
	return a.outward(ref), err
}

func (a *appender) AppendExemplar(ref storage.SeriesRef, l labels.Labels, e exemplar.Exemplar) (storage.SeriesRef, error) {
	ref, err := a.Appender.AppendExemplar(a.inward(ref), l, e)
	return a.outward(ref), err
}

func (a *appender) AppendHistogram(ref storage.SeriesRef, l labels.Labels, t int64, h *histogram.Histogram, fh *histogram.FloatHistogram) (storage.SeriesRef, error) {
	ref, err := a.Appender.AppendHistogram(a.inward(ref), l, t, h, fh)
	return a.outward(ref), err
}

func (a *appender) AppendHistogramSTZeroSample(ref storage.SeriesRef, l labels.Labels, t, st int64, h *histogram.Histogram, fh *histogram.FloatHistogram) (storage.SeriesRef, error) {
	ref, err := a.Appender.AppendHistogramSTZeroSample(a.inward(ref), l, t, st, h, fh)
	return a.outward(ref), err
}

func (a *appender) AppendSTZeroSample(ref storage.SeriesRef, l labels.Labels, t, st int64) (storage.SeriesRef, error) {
	ref, err := a.Appender.AppendSTZeroSample(a.inward(ref), l, t, st)
	return a.outward(ref), err
}

func (a *appender) UpdateMetadata(ref storage.SeriesRef, l labels.Labels, m metadata.Metadata) (storage.SeriesRef, error) {
	ref, err := a.Appender.UpdateMetadata(a.inward(ref), l, m)
	return a.outward(ref), err
}

func (a *appender) Commit() error   { return a.commit(a.Appender) }
func (a *appender) Rollback() error { return a.rollback(a.Appender) }

// refusal is an appender that takes nothing, and says why.
type refusal struct{ why error }

func (r refusal) Commit() error { return r.why }
func (refusal) Rollback() error { return nil }

type refusingV2 struct{ refusal }

func (r refusingV2) Append(storage.SeriesRef, labels.Labels, int64, int64, float64, *histogram.Histogram, *histogram.FloatHistogram, storage.AOptions) (storage.SeriesRef, error) {
	return 0, r.why
}

type refusing struct{ refusal }

func (r refusing) Append(storage.SeriesRef, labels.Labels, int64, float64) (storage.SeriesRef, error) {
	return 0, r.why
}

func (r refusing) AppendExemplar(storage.SeriesRef, labels.Labels, exemplar.Exemplar) (storage.SeriesRef, error) {
	return 0, r.why
}

func (r refusing) AppendHistogram(storage.SeriesRef, labels.Labels, int64, *histogram.Histogram, *histogram.FloatHistogram) (storage.SeriesRef, error) {
	return 0, r.why
}

func (r refusing) AppendHistogramSTZeroSample(storage.SeriesRef, labels.Labels, int64, int64, *histogram.Histogram, *histogram.FloatHistogram) (storage.SeriesRef, error) {
	return 0, r.why
}

func (r refusing) AppendSTZeroSample(storage.SeriesRef, labels.Labels, int64, int64) (storage.SeriesRef, error) {
	return 0, r.why
}

func (r refusing) UpdateMetadata(storage.SeriesRef, labels.Labels, metadata.Metadata) (storage.SeriesRef, error) {
	return 0, r.why
}

func (refusing) SetOptions(*storage.AppendOptions) {}

var (
	_ storage.AppenderV2 = (*appenderV2)(nil)
	_ storage.GetRef     = (*appenderV2)(nil)
	_ storage.Appender   = (*appender)(nil)
	_ storage.AppenderV2 = refusingV2{}
	_ storage.Appender   = refusing{}
)
