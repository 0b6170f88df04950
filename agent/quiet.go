package agent

import "time"

// mostCauses bounds what quiet remembers. Past it a new cause is not logged
// until an old one is forgotten; the counters still tell.
const mostCauses = 256

// quiet says each thing once in a while, however often it happens.
type quiet struct {
	every time.Duration
	said  map[string]*saying
}

type saying struct {
	at   time.Time
	held int // times it happened since and was not said
}

// due reports whether cause may be said now, and how often it was held back.
func (q *quiet) due(cause string, now time.Time) (held int, ok bool) {
	if s := q.said[cause]; s != nil {
		if now.Sub(s.at) < q.every {
			s.held++
			return 0, false
		}
		held = s.held
		*s = saying{at: now}
		return held, true
	}
	if q.said == nil {
		q.said = make(map[string]*saying)
	}
	if len(q.said) >= mostCauses {
		q.forget(now)
	}
	if len(q.said) >= mostCauses {
		return 0, false
	}
	q.said[cause] = &saying{at: now}
	return 0, true
}

func (q *quiet) forget(now time.Time) {
	for cause, s := range q.said {
		if now.Sub(s.at) >= q.every {
			delete(q.said, cause)
		}
	}
}
