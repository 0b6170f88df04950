package policy

import "time"

// NextBorder is the first moment after now at which a schedule or an event of the
// policy begins or ends to count, and whether there is one within a day. Replicas
// take boot to start; 0 if that is not known.
func (a App) NextBorder(now time.Time, boot time.Duration) (at time.Time, ok bool) {
	const ahead = 24 * time.Hour
	consider := func(t time.Time) {
		if t.After(now) && t.Sub(now) <= ahead && (!ok || t.Before(at)) {
			at, ok = t, true
		}
	}
	for _, s := range a.Schedules {
		lead := a.Prewarm(s.Lead, boot)
		if opened, open := s.Opened(now); open {
			consider(opened.Add(s.Duration))
		}
		if opens, will := s.opensAfter(now); will {
			consider(opens)
			consider(opens.Add(s.Duration))
			consider(opens.Add(-lead))
		}
		// While it is warmed up for the next, the one after that counts.
		if opens, will := s.opensAfter(now.Add(lead)); will {
			consider(opens.Add(-lead))
		}
	}
	for i := range a.Events {
		e := &a.Events[i]
		consider(a.Begins(e, boot))
		consider(e.At)
		consider(e.At.Add(e.Duration))
	}
	return at, ok
}

// opensAfter is when the schedule opens next, if it does within the day and the
// lead of an hour that NextBorder looks at.
func (s Schedule) opensAfter(now time.Time) (time.Time, bool) {
	if !s.At.IsZero() {
		return s.At, s.At.After(now)
	}
	if s.spec == nil {
		if c, z := s.compile(); c != nil || z != nil || s.spec == nil {
			return time.Time{}, false
		}
	}
	face, last := onFace(now.Add(-mostShift), s.zone), onFace(now.Add(25*time.Hour+mostShift), s.zone)
	for {
		if !hasHour(s.spec, face, last) {
			return time.Time{}, false
		}
		if face = s.spec.Next(face); face.IsZero() {
			return time.Time{}, false
		}
		if at := fromFace(face, s.zone); at.After(now) {
			return at, true
		}
	}
}
