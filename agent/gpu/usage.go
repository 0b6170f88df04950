package gpu

import (
	"slices"
	"time"
)

// samplePeriod is the longest that a utilisation sample stands for: NVML samples
// between six times and once a second, depending on the product.
const samplePeriod = time.Second

// smSample is how much a process had the multiprocessors during the sample
// period that ended at At.
type smSample struct {
	PID     uint32
	At      uint64 // µs by the driver's clock
	Percent uint32
}

// usage makes one number per process of the samples of one device. The driver
// tells of a process only when it did something, again and again as long as the
// sample is in its buffer, and of each process at other times; so what was last
// told is kept for each.
type usage struct {
	began  time.Time // of the first reading, which only learns what is old
	newest uint64    // µs, of any process
	of     map[uint32]*told
}

type told struct {
	at    uint64 // µs, its newest sample
	heard time.Time
	ratio Opt[Ratio]
}

// since is what to ask the driver for: somewhat more than is new, for samples
// do not come in order.
func (u *usage) since() uint64 {
	if margin := uint64(2 * samplePeriod / time.Microsecond); u.newest > margin {
		return u.newest - margin
	}
	return 0
}

// add takes what the driver told at now.
func (u *usage) add(samples []smSample, now time.Time) {
	learn := u.of == nil
	if learn {
		u.of, u.began = make(map[uint32]*told), now
	}
	slices.SortFunc(samples, func(a, b smSample) int {
		if a.PID != b.PID {
			return int(int64(a.PID) - int64(b.PID))
		}
		return int(int64(a.At - b.At))
	})
	for len(samples) > 0 {
		n := 1
		for n < len(samples) && samples[n].PID == samples[0].PID {
			n++
		}
		u.process(samples[:n], now, learn)
		samples = samples[n:]
	}
	for pid, t := range u.of {
		switch quiet := now.Sub(t.heard); {
		case quiet > time.Minute:
			delete(u.of, pid)
		case quiet > 2*samplePeriod:
			t.ratio = some(Ratio(0))
		}
	}
}

// process takes the samples of one process, oldest first. Each stands for the
// time since the one before, but for a sample period at most: in a longer gap
// the process did nothing.
func (u *usage) process(samples []smSample, now time.Time, learn bool) {
	const period = uint64(samplePeriod / time.Microsecond)
	t := u.of[samples[0].PID]
	if t == nil {
		t = &told{heard: now}
		u.of[samples[0].PID] = t
	}
	var busy, all float64 // percent·µs, µs
	for _, s := range samples {
		if s.At <= t.at {
			continue
		}
		span := s.At - t.at
		if t.at == 0 {
			span = period
		}
		busy += float64(s.Percent) * float64(min(span, period))
		all += float64(span)
		t.at, t.heard = s.At, now
		u.newest = max(u.newest, s.At)
	}
	if all > 0 && !learn {
		t.ratio = some(Ratio(busy / all / 100))
	}
}

// ratio is the share of a process: 0 if the driver has told nothing of it for
// long enough to say so.
func (u *usage) ratio(pid uint32, now time.Time) Opt[Ratio] {
	switch t := u.of[pid]; {
	case t != nil:
		return t.ratio
	case u.of != nil && now.Sub(u.began) > 2*samplePeriod:
		return some(Ratio(0))
	}
	return Opt[Ratio]{}
}

// fresh tells whether the last reading had something new of a process.
func (u *usage) fresh(pid uint32, now time.Time) bool {
	t := u.of[pid]
	return t != nil && t.ratio.OK && t.heard.Equal(now)
}
