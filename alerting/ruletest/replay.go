package ruletest

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	promrules "github.com/prometheus/prometheus/rules"

	"github.com/plimsoll-io/plimsoll/alerting/rules"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

const (
	// stepsPerQuery is how many evaluations one question is about. Prometheus
	// refuses more than 11,000.
	stepsPerQuery = 1000
	// maxSeries bounds the alerts that one rule may have over all of the time.
	maxSeries = 10_000
	// maxEpisodes is how many times of firing are told one by one.
	maxEpisodes = 100
)

// ReplayOptions say what is replayed. All but Progress are needed.
type ReplayOptions struct {
	Files    []string      // rule files, and "bundled" for the pack
	From, To time.Time     // To is when the last evaluation may be
	Interval time.Duration // of groups that name none
	History  *History
	// Progress is told the share that is done, from 0 to 1, and what comes next.
	Progress func(done float64, next string)
}

// Replayed is how an alert would have fired.
type Replayed struct {
	Alert    string `json:"alert"`
	Severity string `json:"severity,omitempty"`
	Group    string `json:"group"`
	File     string `json:"file"`
	// Fired is how many times it would have begun to fire, for each of its
	// label sets; Averted how many times it was pending and ended before that.
	Fired   int `json:"fired"`
	Averted int `json:"averted"`
	Series  int `json:"series"` // label sets that have fired
	// Firing is the time for which it would have fired, summed over its label
	// sets; Longest the longest time of one.
	Firing  time.Duration `json:"-"`
	Longest time.Duration `json:"-"`
	First   *time.Time    `json:"first,omitempty"` // when it first began
	Last    *time.Time    `json:"last,omitempty"`  // when it last ended, or the end of the replay
	Still   int           `json:"still_firing"`    // label sets that fire at the end
	// Episodes are the latest times of firing, the newest first.
	Episodes []Episode `json:"episodes,omitempty"`
	Trouble  string    `json:"trouble,omitempty"` // why it could not be replayed, or not to the end
	// FiringSeconds and LongestSeconds are Firing and Longest for JSON.
	FiringSeconds  float64 `json:"firing_seconds"`
	LongestSeconds float64 `json:"longest_seconds"`
}

// Episode is a time of firing. It begins as the rule does, after its `for`.
type Episode struct {
	Labels map[string]string `json:"labels"`
	Begin  time.Time         `json:"begin"`
	End    *time.Time        `json:"end,omitempty"` // nil if it fires at the end
}

// Replay evaluates the alerts of rule files at each interval of a time past: the
// queries are answered by a collector for many times at once, and Prometheus'
// own rule goes through the answers one by one, so that for and keep_firing_for
// mean what they always mean. Recorded names are replaced by what records them,
// where that is the same. The noisiest alert comes first.
func Replay(ctx context.Context, o ReplayOptions) ([]Replayed, conf.Problems, error) {
	l, problems := readForReplay(o.Files)
	if len(problems) > 0 {
		return nil, problems, nil
	}
	stored, err := o.History.Names(ctx)
	if err != nil {
		return nil, nil, err
	}
	in := newInliner(l, stored, o.Interval)
	type job struct {
		file  string
		group rulefmt.RuleGroup
		rule  rulefmt.Rule
	}
	var jobs []job
	for _, file := range l.names {
		for _, g := range l.groups[file].Groups {
			for _, r := range g.Rules {
				if r.Alert != "" {
					jobs = append(jobs, job{file, g, r})
				}
			}
		}
	}
	var all []Replayed
	for i, j := range jobs {
		p := &player{opts: o, group: j.group, rule: j.rule}
		p.progress = func(share float64) {
			if o.Progress != nil {
				o.Progress((float64(i)+share)/float64(len(jobs)), j.rule.Alert)
			}
		}
		p.progress(0)
		r := Replayed{Alert: j.rule.Alert, Severity: j.rule.Labels["severity"], Group: j.group.Name, File: j.file}
		if expr, err := in.inline(j.rule.Expr); err != nil {
			r.Trouble = err.Error()
		} else if err := p.play(ctx, expr); err != nil {
			if ctx.Err() != nil {
				return nil, nil, ctx.Err()
			}
			r.Trouble = err.Error()
		}
		p.sum(&r)
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b Replayed) int {
		if a.Fired != b.Fired {
			return b.Fired - a.Fired
		}
		return int(b.Firing/time.Second) - int(a.Firing/time.Second)
	})
	return all, nil, nil
}

// readForReplay reads rule files; all that is wrong with them is told.
func readForReplay(files []string) (loaded, conf.Problems) {
	patterns := slices.DeleteFunc(slices.Clone(files), func(name string) bool { return name == pack })
	set, problems := rules.Read(patterns, len(patterns) < len(files))
	l := loaded{groups: map[string]*rulefmt.RuleGroups{}, parser: parser.NewParser(parser.Options{})}
	for _, name := range set.Files() {
		l.names = append(l.names, name)
		l.groups[name] = set.Groups(name)
	}
	return l, problems
}

// player replays one alert.
type player struct {
	opts     ReplayOptions
	group    rulefmt.RuleGroup
	rule     rulefmt.Rule
	progress func(float64)

	alert    *promrules.AlertingRule
	vector   promql.Vector // what the query gives now
	open     map[uint64]*Episode
	pending  map[uint64]bool
	fired    map[uint64]bool
	episodes []Episode
	averted  int
	count    int
	firing   time.Duration
	longest  time.Duration
	first    time.Time
	last     time.Time
}

func (p *player) interval() time.Duration {
	if p.group.Interval != 0 {
		return time.Duration(p.group.Interval)
	}
	return p.opts.Interval
}

func (p *player) play(ctx context.Context, expr parser.Expr) error {
	var offset time.Duration
	if p.group.QueryOffset != nil {
		offset = time.Duration(*p.group.QueryOffset)
	}
	// Annotations are left out: nobody reads them, and they cost the most.
	p.alert = promrules.NewAlertingRule(p.rule.Alert, expr, time.Duration(p.rule.For), time.Duration(p.rule.KeepFiringFor),
		promrules.FromMaps(p.group.Labels, p.rule.Labels), labels.EmptyLabels(), labels.EmptyLabels(), "", true, slog.New(slog.DiscardHandler))
	p.open, p.pending, p.fired = map[uint64]*Episode{}, map[uint64]bool{}, map[uint64]bool{}

	// What is pending or kept firing at the beginning began before it.
	step := p.interval()
	begin := p.opts.From.Add(-time.Duration(p.rule.For) - time.Duration(p.rule.KeepFiringFor)).Truncate(step)
	for steps := stepsPerQuery; begin.Before(p.opts.To); {
		end := begin.Add(time.Duration(steps-1) * step)
		if end.After(p.opts.To) {
			end = p.opts.To
		}
		series, err := p.opts.History.Range(ctx, expr.String(), begin.Add(-offset), end.Add(-offset), step)
		if tooMuch(err) && steps > 1 {
			steps = max(1, steps/4)
			continue
		}
		if err != nil {
			return err
		}
		for at := begin; !at.After(end); at = at.Add(step) {
			if err := p.evaluate(ctx, series, at, offset); err != nil {
				return err
			}
		}
		begin = begin.Add(time.Duration(steps) * step)
		left := p.opts.To.Sub(begin).Seconds() / p.opts.To.Sub(p.opts.From).Seconds()
		p.progress(1 - min(1, max(0, left)))
	}
	return nil
}

// evaluate goes through one time.
func (p *player) evaluate(ctx context.Context, series []Points, at time.Time, offset time.Duration) error {
	p.vector = p.vector[:0]
	asked := at.Add(-offset).UnixMilli()
	for i := range series {
		if s, ok := series[i].at(asked); ok {
			p.vector = append(p.vector, s)
		}
	}
	if len(p.vector) == 0 && len(p.pending) == 0 && len(p.open) == 0 {
		return nil
	}
	ask := func(ctx context.Context, query string, when time.Time) (promql.Vector, error) {
		if query == p.alert.Query().String() {
			return slices.Clone(p.vector), nil
		}
		return p.opts.History.Instant(ctx, query, when) // of a template
	}
	if _, err := p.alert.Eval(ctx, offset, at, ask, &url.URL{}, p.group.Limit); err != nil {
		return fmt.Errorf("at %s: %w", at.UTC().Format(time.RFC3339), err)
	}
	return p.follow(at)
}

// follow notes what has begun and what has ended.
func (p *player) follow(at time.Time) error {
	pending, firing := map[uint64]bool{}, map[uint64]bool{}
	for _, a := range p.alert.ActiveAlerts() {
		id := a.Labels.Hash()
		switch a.State {
		case promrules.StatePending:
			pending[id] = true
		case promrules.StateFiring:
			firing[id] = true
			if p.open[id] == nil {
				p.open[id] = &Episode{Labels: a.Labels.Map(), Begin: at}
			}
		}
	}
	for id := range p.pending {
		if !pending[id] && !firing[id] && !at.Before(p.opts.From) {
			p.averted++
		}
	}
	p.pending = pending
	for id, e := range p.open {
		if !firing[id] {
			e.End = &at
			p.end(id, e, at)
			delete(p.open, id)
		}
	}
	if len(p.fired)+len(p.open)+len(p.pending) > maxSeries {
		return fmt.Errorf("it has more than %d label sets; let its query aggregate", maxSeries)
	}
	return nil
}

// end adds a time of firing to the sums, unless it was over before the beginning.
func (p *player) end(id uint64, e *Episode, at time.Time) {
	if !at.After(p.opts.From) {
		return
	}
	p.count++
	p.fired[id] = true
	begin := e.Begin
	if begin.Before(p.opts.From) {
		begin = p.opts.From
	}
	p.firing += at.Sub(begin)
	p.longest = max(p.longest, at.Sub(begin))
	if p.first.IsZero() || e.Begin.Before(p.first) {
		p.first = e.Begin
	}
	if at.After(p.last) {
		p.last = at
	}
	own := *e
	p.episodes = append(p.episodes, own)
	if len(p.episodes) > 2*maxEpisodes {
		p.newest()
	}
}

// newest forgets all but the latest episodes.
func (p *player) newest() {
	slices.SortStableFunc(p.episodes, func(a, b Episode) int { return b.Begin.Compare(a.Begin) })
	p.episodes = p.episodes[:min(len(p.episodes), maxEpisodes)]
}

// sum ends what fires at the end and fills in the result.
func (p *player) sum(r *Replayed) {
	r.Still = len(p.open)
	for _, id := range slices.Sorted(maps.Keys(p.open)) {
		p.end(id, p.open[id], p.opts.To)
	}
	p.newest()
	r.Fired, r.Averted, r.Series = p.count, p.averted, len(p.fired)
	r.Firing, r.Longest = p.firing, p.longest
	r.FiringSeconds, r.LongestSeconds = p.firing.Seconds(), p.longest.Seconds()
	r.Episodes = p.episodes
	if p.count > 0 {
		r.First, r.Last = &p.first, &p.last
	}
}
