package identity

import (
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

const (
	failuresAtOnce = 10
	failuresEach   = 6 * time.Second // one more
	maxSources     = 4096
	// sweepEach bounds what it costs that there are more sources than room.
	sweepEach = time.Second
)

// attempts bounds how often tokens are tried that are none. A token cannot be
// guessed; this spares the log and the disk. The zero value is ready, and not
// for use by several goroutines at once.
type attempts struct {
	sources map[netip.Prefix]*rate.Limiter
	rest    *rate.Limiter // of all for whom there is no room
	swept   time.Time
}

// allowed tells whether an address may try.
func (a *attempts) allowed(from netip.Addr, now time.Time) bool {
	l := a.sources[source(from)]
	if l == nil && len(a.sources) >= maxSources {
		l = a.rest
	}
	return l == nil || l.TokensAt(now) >= 1
}

// failed notes that it has tried in vain.
func (a *attempts) failed(from netip.Addr, now time.Time) {
	if a.sources == nil {
		a.sources, a.rest = map[netip.Prefix]*rate.Limiter{}, newLimiter()
	}
	l := a.sources[source(from)]
	if l == nil && len(a.sources) >= maxSources && now.Sub(a.swept) >= sweepEach {
		a.forget(now)
	}
	switch {
	case l != nil:
	case len(a.sources) >= maxSources:
		l = a.rest
	default:
		l = newLimiter()
		a.sources[source(from)] = l
	}
	l.AllowN(now, 1)
}

// forget drops those who have been quiet for long enough.
func (a *attempts) forget(now time.Time) {
	a.swept = now
	for p, l := range a.sources {
		if l.TokensAt(now) >= failuresAtOnce {
			delete(a.sources, p)
		}
	}
}

func newLimiter() *rate.Limiter { return rate.NewLimiter(rate.Every(failuresEach), failuresAtOnce) }

// source is what one attacker has of addresses: an IPv4 address, or a network of
// IPv6.
func source(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // of no address: all of them together
	}
	return p
}
