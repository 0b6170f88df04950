package stream

import (
	"cmp"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// Bounds of what a collector may want, whatever the operator allows. They are
// the wire's; past them it is a mistake.
const (
	mostSlowdown   = 60
	leastResolve   = 10 * time.Millisecond
	mostResolve    = time.Second
	mostBursts     = 64
	mostBurstFor   = 24 * time.Hour
	mostBurstBytes = 4096 // of a container's name or path
)

// settingsLast is how long settings outlast their collector: one that is gone
// for good must not leave a node slow.
const settingsLast = 5 * time.Minute

// SettingsOptions are what the operator of the node allows.
type SettingsOptions struct {
	// MaxSlowdown is the most intervals from one tick to the next; 1 lets no
	// collector slow this node. 4 if 0: the slowest lane of 60 s is then read
	// within the 5 minutes that PromQL sees a sample for.
	MaxSlowdown uint64
	// MinResolution is the least time between readings of a container in burst;
	// what asks for less gets this. 100 ms if 0.
	MinResolution time.Duration
}

// Settings hold what collectors want of this agent, as far as it is in force.
// Where several want something, the slowest tick and the finest resolution win.
// The streams write them; anybody may read them at any time.
type Settings struct {
	opts    SettingsOptions
	refused atomic.Uint64
	wishes  atomic.Pointer[[]*wishes] // one for each collector; the list does not change once it is made

	mu   sync.Mutex
	told map[chan struct{}]struct{} // who wants to know of another tick
}

// wishes are what one collector wants.
type wishes struct {
	settings  *Settings
	collector string
	current   atomic.Pointer[inForce]   // nil if nothing is wanted
	lost      atomic.Pointer[time.Time] // when the collector was; nil while it is there
}

// inForce does not change once it is made.
type inForce struct {
	version  uint64
	slowdown uint64
	bursts   map[string]wantedBurst // by what the collector calls the container
}

type wantedBurst struct {
	resolution time.Duration
	until      time.Time
}

// NewSettings returns settings by which nothing is wanted.
func NewSettings(opts SettingsOptions) *Settings {
	opts.MaxSlowdown = cmp.Or(opts.MaxSlowdown, 4)
	opts.MinResolution = cmp.Or(opts.MinResolution, 100*time.Millisecond)
	s := &Settings{opts: opts, told: map[chan struct{}]struct{}{}}
	s.wishes.Store(&[]*wishes{})
	return s
}

// of returns the wishes of a collector, none at first.
func (s *Settings) of(collector string) *wishes {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := *s.wishes.Load()
	for _, w := range list {
		if w.collector == collector {
			return w
		}
	}
	w := &wishes{settings: s, collector: collector}
	list = append(list[:len(list):len(list)], w)
	s.wishes.Store(&list)
	return w
}

// tell has a channel filled whenever the tick may have changed, until stop.
func (s *Settings) tell(changed chan struct{}) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told[changed] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.told, changed)
	}
}

// InForce is what of the collector's settings is so.
type InForce struct {
	Version  uint64 // of the settings; 0 if there are none
	Slowdown uint64 // tick at every so many intervals, 1 at least
	Refused  uint64 // parts of settings ever refused
}

// InForce tells what is so now.
func (s *Settings) InForce() InForce {
	f := InForce{Slowdown: 1, Refused: s.refused.Load()}
	for _, w := range *s.wishes.Load() {
		if c := w.now(); c != nil {
			f.Version, f.Slowdown = max(f.Version, c.version), max(f.Slowdown, c.slowdown)
		}
	}
	return f
}

// Resolution is how often the collectors want a container read that is known by
// any of these names; 0 if they do not say.
func (s *Settings) Resolution(names ...string) (finest time.Duration) {
	for _, w := range *s.wishes.Load() {
		if r := w.resolution(names); r > 0 && (finest == 0 || r < finest) {
			finest = r
		}
	}
	return finest
}

func (w *wishes) resolution(names []string) time.Duration {
	c := w.now()
	if c == nil || len(c.bursts) == 0 {
		return 0
	}
	for _, name := range names {
		if b, ok := c.bursts[name]; ok && name != "" && time.Now().Before(b.until) {
			return b.resolution
		}
	}
	return 0
}

// now is nil if nothing is wanted, or whoever wanted it is gone for long.
func (w *wishes) now() *inForce {
	c := w.current.Load()
	if c == nil {
		return nil
	}
	if lost := w.lost.Load(); lost != nil && time.Since(*lost) > settingsLast {
		return nil
	}
	return c
}

// leave notes that the collector is gone.
func (w *wishes) leave() {
	now := time.Now()
	w.lost.CompareAndSwap(nil, &now)
}

// apply puts in force what the collector wants and is allowed, all else being as
// if it had not been asked for. It returns what is not as it was asked for.
func (w *wishes) apply(wanted *plimsollv1.Settings) (refused []string) {
	f, refused := w.settings.allow(wanted)
	w.settings.refused.Add(uint64(len(refused)))
	w.current.Store(f)
	w.lost.Store(nil)
	w.settings.mu.Lock()
	defer w.settings.mu.Unlock()
	for changed := range w.settings.told {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	return refused
}

// allow makes of wishes what of them is allowed; nil if there are none.
func (s *Settings) allow(w *plimsollv1.Settings) (f *inForce, refused []string) {
	if w == nil {
		return nil, nil
	}
	f = &inForce{version: w.GetVersion(), slowdown: 1, bursts: make(map[string]wantedBurst)}
	refuse := func(format string, args ...any) { refused = append(refused, fmt.Sprintf(format, args...)) }

	switch n := uint64(w.GetSlowdown()); {
	case n > mostSlowdown:
		refuse("slowdown %d: allowed are 1 to %d", n, mostSlowdown)
	case n > s.opts.MaxSlowdown:
		f.slowdown = s.opts.MaxSlowdown
		refuse("slowdown %d: the node's operator allows %d", n, s.opts.MaxSlowdown)
	default:
		f.slowdown = max(n, 1)
	}
	for i, b := range w.GetBursts() {
		if i == mostBursts {
			refuse("%d bursts: allowed are %d", len(w.GetBursts()), mostBursts)
			break
		}
		name, resolution := b.GetContainer(), time.Duration(b.GetResolutionMs())*time.Millisecond
		lasts := min(time.Duration(b.GetRemainingS())*time.Second, mostBurstFor)
		switch {
		case name == "" || len(name) > mostBurstBytes:
			refuse("burst %d: a container's name has 1 to %d bytes", i, mostBurstBytes)
		case resolution < leastResolve || resolution > mostResolve:
			refuse("burst of %.100q: resolution %s: allowed are %s to %s", name, resolution, leastResolve, mostResolve)
		default:
			if resolution < s.opts.MinResolution {
				refuse("burst of %.100q: resolution %s: the node's operator allows %s", name, resolution, s.opts.MinResolution)
				resolution = s.opts.MinResolution
			}
			f.bursts[name] = wantedBurst{resolution, time.Now().Add(lasts)}
		}
	}
	if n := len(w.ProtoReflect().GetUnknown()); n > 0 {
		refuse("this version of the agent does not know all of them: update it")
	}
	return f, refused
}
