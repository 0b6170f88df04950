package journal

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/linelog"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// Query selects entries. The zero value selects the last 100.
type Query struct {
	Policy string // all if empty
	// Workload is a policy, or else what one scales: "swarm/shop_web" or
	// "shop_web"; all if empty.
	Workload string
	// From and To select entries that stand for any time in between. Zero is
	// no limit.
	From, To time.Time
	Limit    int // default 100
	// Inputs asks for the policy and the past of each entry.
	Inputs bool
}

func (q Query) matches(e Entry) bool {
	return (q.Policy == "" || e.Policy == q.Policy) &&
		(q.Workload == "" || e.Policy == q.Workload || scales(e.Target, q.Workload)) &&
		(q.From.IsZero() || !e.At().Before(q.From)) &&
		(q.To.IsZero() || !e.Since.After(q.To))
}

// Named asks for the policy that a query's workload means, of those in force.
func (q Query) Named(apps []policy.App) Query {
	if q.Workload == "" {
		return q
	}
	i := slices.IndexFunc(apps, func(app policy.App) bool { return app.Name == q.Workload })
	if i < 0 {
		i = slices.IndexFunc(apps, func(app policy.App) bool { return scales(app.Target.String(), q.Workload) })
	}
	if i >= 0 {
		q.Policy, q.Workload = apps[i].Name, ""
	}
	return q
}

// scales tells whether a target is what a workload's name means.
func scales(target, workload string) bool {
	return target == workload || strings.HasSuffix(target, "/"+workload)
}

// Pick returns those entries that q selects, as q asks for them, in the slice that
// it is given.
func (q Query) Pick(entries []Entry) []Entry {
	found := slices.DeleteFunc(entries, func(e Entry) bool { return !q.matches(e) })
	slices.SortStableFunc(found, func(a, b Entry) int {
		if !q.To.IsZero() { // of those that take turns, the one that began last
			return cmp.Or(b.Since.Compare(a.Since), b.At().Compare(a.At()))
		}
		return b.At().Compare(a.At())
	})
	found = found[:min(cmp.Or(q.Limit, 100), len(found))]
	for i := range found {
		if !q.Inputs {
			found[i].App, found[i].State = nil, nil
		}
	}
	return found
}

// Archive is what of a journal is on disk, as it was when it was listed. Its
// methods may be called concurrently.
type Archive struct {
	segments []linelog.Segment
	apps     map[string]*policy.App // by fingerprint: those that need not be looked for
	log      *slog.Logger
}

// OpenArchive lists the journal in a directory, to read it beside or without the
// process that writes it.
func OpenArchive(dir string) (*Archive, error) {
	segments, err := linelog.List(dir)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	if len(segments) == 0 {
		return nil, fmt.Errorf("read journal: there is none in %s; it is in scaler/journal of a collector's data", dir)
	}
	return &Archive{segments: segments, log: slog.New(slog.DiscardHandler)}, nil
}

func (j *Journal) archive() *Archive {
	j.mu.Lock()
	defer j.mu.Unlock()
	return &Archive{j.disk.Segments(), maps.Clone(j.apps), j.log}
}

// Read returns the entries that q selects, the newest first, also those that are
// not written yet.
func (j *Journal) Read(q Query) ([]Entry, error) {
	j.reading.Lock()
	defer j.reading.Unlock()
	// Listed first: a run that is written in between is found in both, and an
	// entry of the disk is the better one.
	running := j.running()
	a := j.archive()
	q = a.meant(q)
	found, err := a.Read(q)
	if err != nil {
		return nil, err
	}
	for _, e := range running {
		if !slices.ContainsFunc(found, func(o Entry) bool { return o.ID == e.ID }) {
			found = append(found, e)
		}
	}
	return q.Pick(found), nil
}

// running are the entries that are not written yet.
func (j *Journal) running() (entries []Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, t := range j.turns {
		for _, r := range t {
			if r.empty {
				continue
			}
			e := r.entry
			if e.Queries == nil && e.App != nil {
				e.Queries = Queries(*e.App)
			}
			entries = append(entries, e)
		}
	}
	return entries
}

// Read returns the entries that q selects, the newest first.
func (a *Archive) Read(q Query) ([]Entry, error) {
	q = a.meant(q)
	l := look{q: q, limit: cmp.Or(q.Limit, 100), log: a.log}
	var next segmentMark // of the segment after this one
	for _, seg := range slices.Backward(a.segments) {
		began := next.From
		next = beginning(seg)
		if !q.To.IsZero() && began.After(q.To) {
			continue
		}
		from := len(l.found)
		err := l.segment(seg)
		if err := errors.Join(err, a.complete(seg, l.found[from:], q)); err != nil { // one that is damaged hides no other
			a.log.Warn("journal damaged", "err", err)
		}
		if l.done {
			break
		}
	}
	return q.Pick(l.found), nil
}

// beginning is the mark of a segment, by which most need not be read; empty if it
// has none.
func beginning(seg linelog.Segment) segmentMark {
	for line, err := range seg.Forward() {
		var m mark
		if err == nil && bytes.HasPrefix(line.Text, []byte(beginsSegment)) && json.Unmarshal(line.Text, &m) == nil && m.Segment != nil {
			return *m.Segment
		}
		break
	}
	return segmentMark{}
}

// meant is a query for the policy that its workload names: one of that name, or
// else the one that scaled it last. If the last file has neither, all are searched.
func (a *Archive) meant(q Query) Query {
	if q.Workload == "" || len(a.segments) == 0 {
		return q
	}
	last := ""
	for line, err := range a.segments[len(a.segments)-1].Backward() {
		if err != nil {
			a.log.Warn("journal damaged", "err", err)
			break
		}
		var e struct{ Policy, Target string }
		if line.Torn || !ofPolicy(line.Text, "") || !bytes.Contains(head(line.Text), []byte(q.Workload)) || json.Unmarshal(line.Text, &e) != nil {
			continue
		}
		if e.Policy == q.Workload {
			last = e.Policy
			break
		}
		if last == "" && scales(e.Target, q.Workload) {
			last = e.Policy
		}
	}
	if last != "" {
		q.Policy, q.Workload = last, ""
	}
	return q
}

// look is a search under way, from the newest segment on.
type look struct {
	q      Query
	limit  int
	log    *slog.Logger
	found  []Entry
	oldest time.Time // there are enough of what is younger
	done   bool      // nothing older is needed
}

func (l *look) segment(seg linelog.Segment) error {
	for line, err := range seg.Backward() {
		if err != nil {
			return err
		}
		if line.Torn || !ofPolicy(line.Text, l.q.Policy) || !bytes.Contains(head(line.Text), []byte(l.q.Workload)) {
			continue
		}
		var e Entry
		if err := json.Unmarshal(line.Text, &e); err != nil {
			l.log.Warn("journal line skipped", "file", seg.Name(), "err", err)
			continue
		}
		if l.done = e.At().Before(l.oldest) || !l.q.From.IsZero() && e.At().Before(l.q.From.Add(-longestInterval)); l.done {
			return nil
		}
		if l.q.matches(e) {
			l.found = append(l.found, e)
		}
		if len(l.found) == l.limit && l.oldest.IsZero() {
			// Runs that take turns are written in another order than they are read.
			first := slices.MinFunc(l.found, func(a, b Entry) int { return a.Since.Compare(b.Since) })
			l.oldest = first.Since.Add(-longestRun)
		}
	}
	return nil
}

// complete puts back what an entry leaves out because its policy says it.
func (a *Archive) complete(seg linelog.Segment, entries []Entry, q Query) error {
	missing := make(map[string]bool)
	for _, e := range entries {
		if _, ok := a.apps[e.Basis]; !ok && e.Basis != "" {
			missing[e.Basis] = true
		}
	}
	var apps map[string]*policy.App
	var err error
	if len(missing) > 0 {
		apps, err = policies(seg, missing)
	}
	for i := range entries {
		e := &entries[i]
		app, ok := a.apps[e.Basis]
		if !ok {
			app, ok = apps[e.Basis]
		}
		if !ok {
			continue
		}
		e.Queries = Queries(*app)
		if q.Inputs {
			e.App = app
		}
	}
	return err
}

// policies finds policies in a segment by their fingerprints.
func policies(seg linelog.Segment, wanted map[string]bool) (map[string]*policy.App, error) {
	apps := make(map[string]*policy.App, len(wanted))
	for line, err := range seg.Forward() {
		if err != nil {
			return apps, err
		}
		basis, ok := after(line.Text, beginsBasis)
		if !ok || line.Torn || !wanted[basis] {
			continue
		}
		var told basisLine
		if json.Unmarshal(line.Text, &told) == nil && told.App != nil {
			apps[basis] = told.App
		}
		if len(apps) == len(wanted) {
			break
		}
	}
	return apps, nil
}
