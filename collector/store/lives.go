package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb"
)

// patience is how long a query waits for the store to be opened anew.
const patience = 30 * time.Second

var errRenewed = errors.New("the store is being opened")

// current is the life there is now, not to be read from: it may end.
func (s *Store) current() (*life, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == nil {
		return nil, s.why
	}
	return s.life, nil
}

// enter is current for those who read; they must leave it. It waits for a life
// that is about to begin.
func (s *Store) enter() (*life, error) {
	for deadline := time.After(patience); ; {
		s.mu.Lock()
		gate := s.gate
		if gate == nil {
			defer s.mu.Unlock()
			if s.life == nil {
				return nil, s.why
			}
			s.life.enter()
			return s.life, nil
		}
		s.mu.Unlock()
		select {
		case <-gate:
		case <-deadline:
			return nil, errRenewed
		}
	}
}

// writable is enter for those who write. It does not wait, and tells why nothing
// may be written.
func (s *Store) writable() (*life, error) {
	l, err := s.refusal()
	if err == nil {
		err = l.failure()
	}
	if err != nil {
		return nil, err
	}
	if err := s.guard.stop(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gate != nil || s.life != l {
		return nil, errRenewed
	}
	l.enter()
	return l, nil
}

// refusal is why this life cannot take anything, or the life.
func (s *Store) refusal() (*life, error) {
	s.mu.Lock()
	l, why, gate := s.life, s.why, s.gate
	s.mu.Unlock()
	switch {
	case gate != nil:
		return nil, errRenewed
	case l == nil:
		return nil, why
	case l.shadow:
		return nil, fmt.Errorf("%s cannot be written, queries are answered from memory: %w", s.dir, why)
	}
	return l, nil
}

func (s *Store) need() need {
	l, err := s.current()
	if err != nil {
		return need{chunks: needAtLeast}
	}
	return l.need()
}

// begins starts a life. Where there is no room for that it is the one of a
// shadow, or none if there is no place for a shadow either: that is no error.
func (s *Store) begins(ctx context.Context) error {
	l, err := s.open(ctx)
	if lacksRoom(err) {
		why := err
		if l, err = s.openShadow(ctx); err != nil {
			why = fmt.Errorf("%w; nor from memory: %w", why, err)
		}
		s.log.Error("the store has no room to open and takes nothing; once there is room it opens by itself", "err", why)
		s.install(l, why)
		return nil
	}
	if err != nil {
		return err
	}
	s.install(l, nil)
	return nil
}

func (s *Store) install(l *life, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life, s.why = l, why
	if l != nil && !l.shadow {
		s.losses = append(s.losses, l.losses...)
		s.last = byClose // unless it fails
	}
}

// open opens the data directory itself.
func (s *Store) open(ctx context.Context) (*life, error) {
	if err := s.roomToOpen(); err != nil {
		return nil, err
	}
	if err := s.owner.sign(); err != nil {
		return nil, err
	}
	return s.bear(ctx, s.dir, false)
}

// roomToOpen says what is lacking to open the data directory for writing.
func (s *Store) roomToOpen() error {
	if err := s.guard.has(toReplay(s.dir, false)); err != nil {
		return err
	}
	return probe(s.dir)
}

// bear checks a directory and opens it. Where its log is corrupt, the TSDB cuts
// it off there and then leaves the log of late samples unread until the next
// start; so it is opened once more.
func (s *Store) bear(ctx context.Context, dir string, shadow bool) (*life, error) {
	losses, err := check(ctx, dir, s.sound)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", dir, err)
	}
	for try := 1; ; try++ {
		if err := unpack(dir); err != nil {
			return nil, fmt.Errorf("late samples in %s: %w", dir, err)
		}
		before, err := remember(dir, s.last)
		if err != nil {
			return nil, err
		}
		l, err := s.openTSDB(dir, shadow)
		if err != nil {
			return nil, err
		}
		cut, err := before.compare()
		if err != nil {
			return nil, errors.Join(err, l.close())
		}
		losses = append(losses, cut...)
		if len(cut) == 0 || try == 3 {
			l.losses = losses
			s.tell(l)
			return l, nil
		}
		l.shadow = false // it is needed once more
		if err := errors.Join(l.close(), dropHeadChunks(dir)); err != nil {
			return nil, fmt.Errorf("close after repair: %w", err)
		}
	}
}

func (s *Store) openTSDB(dir string, shadow bool) (*life, error) {
	s.mu.Lock()
	opts := s.opts
	l := &life{
		number: s.lives, dir: dir, shadow: shadow, log: s.log, room: s.guard.has,
		own: prometheus.NewRegistry(), replay: tsdb.NewDBStats(),
	}
	s.lives++
	s.mu.Unlock()
	l.sync = newSyncer(dir, s.metrics.syncSeconds, l.lost, l.fail)
	o := tsdbOptions(opts)
	if shadow { // deleting from it would give back nothing
		o.MaxBytes, o.MaxPercentage = 0, 0
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.endUpkeep = cancel
	l.hook(ctx, o, s.damaged)
	log := newQuiet(s.log)
	var err error
	l.db, err = tsdb.Open(dir, slog.New(log), registrar{l.own, l}, o, l.replay)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("data directory %s: %w; "+
			"if another program such as Prometheus has it open, stop that one; otherwise move the part it names away and start again", dir, err)
	}
	log.opened()
	l.db.DisableCompactions() // they are ours to begin
	if !shadow {
		l.upkeep.Go(func() { l.keepUp(ctx) })
	}
	return l, nil
}

// tell logs each loss once.
func (s *Store) tell(l *life) {
	for i := range l.losses {
		loss := &l.losses[i]
		if l.shadow {
			loss.Kept = "" // what lies in quarantine there is a shadow of it
		}
		log := s.log
		if !loss.From.IsZero() {
			log = log.With("from", loss.From.UTC(), "to", loss.To.UTC())
		}
		level, text := slog.LevelWarn, "damaged data set aside, the rest is in use"
		if loss.CutShort {
			level, text = slog.LevelInfo, "the last write had not ended; nothing that was acknowledged is in it"
		}
		log.Log(context.Background(), level, text, "what", loss.What, "err", loss.Why, "bytes", loss.Bytes, "kept_in", loss.Kept)
	}
}
