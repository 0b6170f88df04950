package alerting

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
)

const (
	// maxKept bounds the roll. It is more than the groups that may be.
	maxKept = 50_000
	// maxUntold is how long an alert that has ended is kept while nobody could be
	// told: its receiver does not answer, or there is none.
	maxUntold = 24 * time.Hour
	// longestGrace is the longest that an alert which fired when the process
	// ended fires on after the next start, unless someone says that it does.
	longestGrace = 15 * time.Minute
)

// roll is what must be known of alerts when the process starts again: those that
// fire, and those whose end has not been told. Alertmanager has them in memory
// alone, and relies on being sent them again; but who would, here, dies with it.
// Then nobody would be told that what ended meanwhile has ended.
type roll struct {
	dropped prometheus.Counter

	mu        sync.Mutex
	alerts    map[model.Fingerprint]*onRoll
	ended     map[model.Fingerprint]end // told to all
	broadcast func([]byte)
}

// end is that of an alert, of which a worker of the dispatcher may still have
// older word.
type end struct{ started, told time.Time }

type onRoll struct {
	*alert.Alert
	told map[string]bool // IDs of the routes that know its end
}

func newRoll(dropped prometheus.Counter) *roll {
	return &roll{dropped: dropped, alerts: map[model.Fingerprint]*onRoll{}, ended: map[model.Fingerprint]end{}, broadcast: func([]byte) {}}
}

// line is a change of the roll: an alert, or the fingerprint of one that is no
// longer needed. A snapshot has one line for each alert.
type line struct {
	*model.Alert
	UpdatedAt time.Time `json:"updatedAt,omitzero"`
	Timeout   bool      `json:"timeout,omitempty"`
	Gone      string    `json:"gone,omitempty"`
}

func (l line) encode() []byte {
	data, err := json.Marshal(l)
	if err != nil { // of strings and times, there is none
		return nil
	}
	return append(data, '\n')
}

func (e *onRoll) line() line {
	return line{Alert: &e.Alert.Alert, UpdatedAt: e.UpdatedAt, Timeout: e.Timeout}
}

// stored notes an alert. It is called before anybody else sees it, so that
// whoever is told of an alert is also told of its end.
func (r *roll) stored(a *alert.Alert) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fp := a.Fingerprint()
	old := r.alerts[fp]
	if !a.Resolved() {
		delete(r.ended, fp) // who sends it may say that it has fired all the time
	}
	switch {
	case old == nil && a.Resolved():
		return // nobody knows of it
	case old == nil && len(r.alerts) >= maxKept:
		r.dropped.Inc()
		return
	}
	next := &onRoll{Alert: a}
	r.alerts[fp] = next
	// A rule says every half a minute that it still fires. What is on disk will do.
	if old == nil || old.Resolved() || a.Resolved() || !old.StartsAt.Equal(a.StartsAt) {
		r.broadcast(next.line().encode())
	}
}

// told notes that a route has told the end of an alert, of as many routes as
// that takes. When all have, it is forgotten, unless it fires again.
func (r *roll) told(a *alert.Alert, route string, of int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fp := a.Fingerprint()
	e := r.alerts[fp]
	if e == nil || e.UpdatedAt.After(a.UpdatedAt) {
		return
	}
	if e.told == nil {
		e.told = map[string]bool{}
	}
	e.told[route] = true
	if len(e.told) >= of {
		delete(r.alerts, fp)
		if len(r.ended) < maxKept {
			r.ended[fp] = end{a.StartsAt, time.Now()}
		}
		r.broadcast(line{Gone: fp.String()}.encode())
	}
}

// knows tells whether a route has told the end of an alert, of which this is word.
func (r *roll) knows(a *alert.Alert, route string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	fp := a.Fingerprint()
	if e := r.alerts[fp]; e != nil {
		return e.told[route] && e.Resolved() && e.StartsAt.Equal(a.StartsAt)
	}
	last, known := r.ended[fp]
	return known && last.started.Equal(a.StartsAt)
}

// list are all alerts as they are to be after a restart: those that fired go on
// for as long as who sent them wanted to be believed, from now on. By then rules
// have spoken, or the holder has. What had ended has.
func (r *roll) list(now time.Time) []*alert.Alert {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*alert.Alert, 0, len(r.alerts))
	for _, e := range r.alerts {
		a := *e.Alert
		if valid := a.EndsAt.Sub(a.UpdatedAt); valid > 0 {
			if ends := now.Add(min(valid, longestGrace)); ends.After(a.EndsAt) {
				a.EndsAt = ends
			}
			// So that what is said next counts, though it may end earlier.
			a.UpdatedAt, a.Timeout = now, true
		}
		all = append(all, &a)
	}
	return all
}

// Merge takes in changes.
func (r *roll) Merge(data []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for in := json.NewDecoder(bytes.NewReader(data)); ; {
		var l line
		if err := in.Decode(&l); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if l.Gone != "" {
			fp, err := model.ParseFingerprint(l.Gone)
			if err != nil {
				return err
			}
			delete(r.alerts, fp)
			continue
		}
		if l.Alert == nil {
			return errors.New("neither an alert nor the end of one")
		}
		a := &alert.Alert{Alert: *l.Alert, UpdatedAt: l.UpdatedAt, Timeout: l.Timeout}
		if err := a.Validate(); err != nil {
			return err
		}
		r.alerts[a.Fingerprint()] = &onRoll{Alert: a}
	}
}

// MarshalBinary is all alerts, as Merge takes them.
func (r *roll) MarshalBinary() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []byte
	for _, e := range r.alerts {
		all = append(all, e.line().encode()...)
	}
	return all, nil
}

// Snapshot writes all alerts.
func (r *roll) Snapshot(w io.Writer) (int64, error) {
	all, err := r.MarshalBinary()
	if err != nil {
		return 0, err
	}
	n, err := w.Write(all)
	return int64(n), err
}

// SetBroadcast sets who hears of changes. It is called under the roll's lock.
func (r *roll) SetBroadcast(f func([]byte)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broadcast = f
}

// GC forgets alerts whose end could not be told for long.
func (r *roll) GC() (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	limit, n := time.Now().Add(-maxUntold), 0
	for fp, e := range r.alerts {
		if e.EndsAt.Before(limit) {
			delete(r.alerts, fp)
			n++
		}
	}
	stale := time.Now().Add(-longestGrace)
	maps.DeleteFunc(r.ended, func(_ model.Fingerprint, e end) bool { return e.told.Before(stale) })
	return n, nil
}

// enrolling stands where alerts are stored.
type enrolling struct {
	storeCallback
	roll *roll
}

// PostStore implements mem.AlertStoreCallback.
func (s enrolling) PostStore(a *alert.Alert, existing bool) {
	s.roll.stored(a)
	s.storeCallback.PostStore(a, existing)
}

// telling stands around the stages that mute and send. In front of them it sees
// to it that they get what was said of alerts last; behind them it is known
// whether all of a receiver's integrations were told.
type telling struct {
	notify.Stage
	roll   *roll
	alerts *mem.Alerts
	routes *dispatch.Route
}

// Exec implements notify.Stage. An end is told once, also when older word of the
// alert comes into a group that has dropped it.
func (s telling) Exec(ctx context.Context, log *slog.Logger, alerts ...*alert.Alert) (context.Context, []*alert.Alert, error) {
	defer s.spare(alerts)
	route, _ := notify.RouteID(ctx)
	latest := slices.DeleteFunc(s.latest(alerts, time.Now()), func(a *alert.Alert) bool { return s.roll.knows(a, route) })
	if len(latest) == 0 {
		return ctx, nil, nil
	}
	next, rest, err := s.Stage.Exec(ctx, log, latest...)
	if err == nil {
		for _, a := range latest {
			if a.Resolved() {
				s.roll.told(a, route, len(s.routes.Match(a.Labels)))
			}
		}
	}
	return next, rest, err
}

// spare keeps in their group the alerts of which something newer was said than
// the group has: it drops what it has flushed as ended unless that was updated
// since, and the news may be on their way, or have come before. Without one that
// fires, what is told of the others next would leave it out, and the notification
// log forget that it was told.
func (s telling) spare(flushed []*alert.Alert) {
	for _, a := range flushed {
		if stored, err := s.alerts.Get(a.Fingerprint()); err == nil && stored.UpdatedAt.After(a.UpdatedAt) {
			a.UpdatedAt = time.Time{} // in the dispatcher's copy: like nothing that a group has
		}
	}
}

// latest replaces what a group has of alerts where the store has news. The
// dispatcher sorts alerts into groups in several goroutines, and of two things
// said of an alert within moments the first may come last: then a group would
// have an alert fire that has ended, or the other way round, until its rule
// speaks again, half a minute later.
func (s telling) latest(alerts []*alert.Alert, now time.Time) []*alert.Alert {
	list := make([]*alert.Alert, len(alerts))
	for i, a := range alerts {
		news := *a
		list[i] = &news
		stored, err := s.alerts.Get(a.Fingerprint())
		if err != nil || !stored.UpdatedAt.After(a.UpdatedAt) {
			continue // it is forgotten once it has ended
		}
		news = *stored
		if !news.ResolvedAt(now) {
			news.EndsAt = time.Time{} // as the dispatcher does, so that it cannot end on its way
		}
	}
	return list
}

// untold are the alerts whose end has not been told to all.
func (r *roll) untold() (list []*alert.Alert) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.alerts {
		if e.Resolved() {
			list = append(list, e.Alert)
		}
	}
	return list
}

// remind puts back the alerts whose end could not be told and that the store has
// forgotten meanwhile: only the groups of the old dispatcher knew them.
func (am *alertmanager) remind() {
	for _, a := range am.roll.untold() {
		if _, err := am.alerts.Get(a.Fingerprint()); err == nil {
			continue
		}
		if err := am.alerts.Put(am.life, a); err != nil {
			am.log.Error("the end of an alert will not be told", "alert", a.Name(), "err", err)
		}
	}
}

// restore puts what the process before this one has left where it was.
func (am *alertmanager) restore(ctx context.Context) error {
	all := am.roll.list(time.Now())
	if len(all) == 0 {
		return nil
	}
	am.log.Info("alerts of before the start are in force until their rules have spoken", "count", len(all))
	return am.alerts.Put(ctx, all...)
}
