// Package burst reads a few control groups ten times a second for as long as
// something is the matter with them. It promises that nobody pays for it in the
// meantime: the kernel says when a group waits for CPU or memory, and what is
// read each second anyway shows the rest. While groups are in burst, a reading
// costs two or three preads and no allocation, and the number of groups is
// bounded.
//
//	pressure of a group ── epoll ── triggers ──┐
//	readings of each second ── Pace ───────────┼─ Lane ── read each 100 ms ── Take ── max, mean
//	whoever asks ── Stand ─────────────────────┘
package burst

import (
	"cmp"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
)

// Options all have a default.
type Options struct {
	Root     string        // of the control groups; "/sys/fs/cgroup" if empty
	Proc     string        // of the node, for the pressure of all of it; "/proc" if empty
	Every    time.Duration // between the readings of a burst; 100 ms if 0
	For      time.Duration // how long a burst lasts after its last cause; 30 s if 0
	Most     int           // groups in burst at a time; 32 if 0
	Standing int           // of them those that somebody asked for, for good; 16 if 0
	Triggers int           // descriptors for the kernel's triggers, two for a group; 1000 if 0, or fewer where the process may not open many; none if below
}

// fair is after how many times Options.For a burst that does not end gives its
// place to a new one. A group that always waits would keep it for ever.
const fair = 10

// Cause is why a burst begins.
type Cause uint8

// The causes of bursts.
const (
	CPUPressure    Cause = iota // the kernel says that the group waits for a CPU, its quota perhaps
	MemoryPressure              // or for memory
	NodePressure                // the node does, and the group is one of its busiest
	Throttling                  // its quota has begun to withhold CPUs
	CPUUsage                    // it uses far more than a moment ago
	MemoryUsage
	Asked // somebody wants it read so often

	Causes = iota
)

// String is the cause's name in metrics.
func (c Cause) String() string {
	return [...]string{"cpu_pressure", "memory_pressure", "node_pressure", "throttling", "cpu_usage", "memory_usage", "asked"}[c]
}

// Lane reads groups that are in burst. Its methods may be called by several
// goroutines, Close by one after Run has returned.
type Lane struct {
	opts     Options
	fs       *cgroup.FS    // of the goroutine in Run
	reading  []*member     // the same
	epoch    time.Time     // groups are read at multiples of their periods from then on
	triggers *triggers     // nil if there are none
	wake     chan struct{} // there may be something to read

	mu       sync.Mutex
	followed map[string]struct{}
	members  []*member // others add to it; only Run takes away
	stats    Stats
	pressed  bool // the node has been short of something
}

// Stats are what a lane does, and has done so far.
type Stats struct {
	Groups    int            // in burst
	Begun     [Causes]uint64 // bursts, by what began them
	Refused   uint64         // causes that began none because too many groups were in burst
	Displaced uint64         // bursts that gave their place to another
	Readings  uint64
	Late      uint64 // readings after half as long again as they should have
	Blurred   uint64 // readings that took too long to say when they were, and do not count
	Failed    uint64 // readings that failed

	Triggers        int // descriptors held for triggers
	TriggersLeftOut int // triggers of groups that could not be had
}

// New looks at the tree of control groups. It starts nothing. The caller closes
// what it returns.
func New(opts Options) (*Lane, error) {
	opts.Root = cmp.Or(opts.Root, "/sys/fs/cgroup")
	opts.Proc = cmp.Or(opts.Proc, "/proc")
	opts.Every = cmp.Or(opts.Every, 100*time.Millisecond)
	opts.For = cmp.Or(opts.For, 30*time.Second)
	opts.Most = cmp.Or(opts.Most, 32)
	opts.Standing = min(cmp.Or(opts.Standing, 16), opts.Most)
	opts.Triggers = cmp.Or(opts.Triggers, usualTriggers())
	fs, err := cgroup.New(cgroup.Options{Root: opts.Root, MaxOpen: 5 * opts.Most})
	if err != nil {
		return nil, err
	}
	l := &Lane{opts: opts, fs: fs, epoch: time.Now(), wake: make(chan struct{}, 1)}
	if opts.Triggers > 0 {
		if l.triggers, err = newTriggers(opts, fs.Mode()); err != nil {
			fs.Close()
			return nil, err
		}
	}
	return l, nil
}

// Close gives back what a lane holds besides Run.
func (l *Lane) Close() {
	l.fs.Close()
	if l.triggers != nil {
		l.triggers.close()
	}
}

// Follow says which groups there are. Others have no bursts.
func (l *Lane) Follow(groups []string) {
	followed := make(map[string]struct{}, len(groups))
	for _, g := range groups {
		followed[g] = struct{}{}
	}
	l.mu.Lock()
	l.followed = followed
	for _, m := range l.members {
		if _, ok := followed[m.group]; !ok {
			m.gone = true
		}
	}
	l.mu.Unlock()
	l.rouse()
	if l.triggers != nil {
		l.triggers.follow(groups)
	}
}

// Begin begins a burst of a group, or makes it last from now on.
func (l *Lane) Begin(group string, why Cause) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.followed[group]; !ok {
		return
	}
	m := l.find(group)
	if m == nil {
		if m = l.admit(group, now); m == nil {
			l.stats.Refused++
			return
		}
	}
	if !now.Before(m.until) {
		m.since = now
		l.stats.Begun[why]++
	}
	m.until = now.Add(l.opts.For)
	l.rouse()
}

// Stand has a group read at that distance as long as it is there, 0 takes that
// back. It tells whether there was room.
func (l *Lane) Stand(group string, every time.Duration) bool {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.find(group)
	if every == 0 {
		if m != nil {
			m.standing = 0
			l.rouse()
		}
		return true
	}
	if _, ok := l.followed[group]; !ok {
		return false
	}
	if m == nil || m.standing == 0 {
		standing := 0
		for _, other := range l.members {
			if other.standing > 0 && !other.gone {
				standing++
			}
		}
		if standing >= l.opts.Standing {
			return false
		}
		if m == nil {
			if m = l.admit(group, now); m == nil {
				return false
			}
		}
		l.stats.Begun[Asked]++
	}
	m.standing = every
	l.rouse()
	return true
}

// Take appends what was read of each group in burst since the last Take to dst.
func (l *Lane) Take(dst []Reading) []Reading {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.members {
		if m.active(now) {
			dst = append(dst, m.sum.reading(m.group))
			m.sum = sum{}
		}
	}
	return dst
}

// Pressed tells whether the node has been short of CPU or memory since it was
// last asked.
func (l *Lane) Pressed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	pressed := l.pressed
	l.pressed = false
	return pressed
}

// Armed tells whether the kernel watches a group's pressure.
func (l *Lane) Armed(group string) bool { return l.triggers != nil && l.triggers.armed(group) }

// Stats returns the counts up to now.
func (l *Lane) Stats() Stats {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	for _, m := range l.members {
		if m.active(now) {
			s.Groups++
		}
	}
	if l.triggers != nil {
		s.Triggers, s.TriggersLeftOut = l.triggers.count()
	}
	return s
}

// find returns the member of that group that can go on. l.mu is held.
func (l *Lane) find(group string) *member {
	for _, m := range l.members {
		if m.group == group && !m.gone {
			return m
		}
	}
	return nil
}

// admit makes room for a group, nil if there is none. l.mu is held.
func (l *Lane) admit(group string, now time.Time) *member {
	busy := 0
	var longest *member
	for _, m := range l.members {
		if !m.active(now) {
			continue
		}
		busy++
		if m.standing == 0 && (longest == nil || m.since.Before(longest.since)) {
			longest = m
		}
	}
	if busy >= l.opts.Most {
		if longest == nil || now.Sub(longest.since) < fair*l.opts.For {
			return nil
		}
		longest.gone = true
		l.stats.Displaced++
	}
	m := &member{group: group, due: now}
	l.members = append(l.members, m)
	return m
}

func (l *Lane) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
