package backtest

import "time"

// An Autoscaler says how many replicas there are to be.
type Autoscaler interface {
	// Tick returns the number that the platform is to be asked for from now on. What
	// is seen is only valid until it returns.
	Tick(seen *Seen) int
}

// An Explainer can say why the last Tick returned what it did.
type Explainer interface{ Why() string }

// Seen is all that an autoscaler can know at a moment.
type Seen struct {
	Now time.Time
	// Desired is how many replicas the platform is asked for, Ready how many serve,
	// Starting how many are on their way, Failing how many of those have crashed or
	// never get ready, and Leaving how many were told to go and are still there.
	Desired, Ready, Starting, Failing, Leaving int
	// Boot is how long a replica takes until it serves.
	Boot time.Duration
	// Signals are the readings, in the order of the run's lanes; those of lanes that no
	// signal reads are not known.
	Signals []Signal

	run *run
}

// Signal is what one lane reads for the workload.
type Signal struct {
	Name string
	// At is when the newest sample behind it was taken.
	At time.Time
	// Known is false if there is nothing to read at all. A reading that has grown old
	// is still known: whether it counts is for the autoscaler to say.
	Known bool
	// Value is that of the whole workload for Whole and Given lanes, and the mean of
	// the replicas that were measured for Shared ones.
	Value float64
	// Replicas is how many were measured, for Shared lanes.
	Replicas int
}

// Replicas are those that have not been told to go, in the order in which they
// started. They are listed anew each time.
func (s *Seen) Replicas() []Replica {
	f := &s.run.fleet
	list := make([]Replica, 0, len(f.up)+len(f.starting))
	for _, u := range f.up {
		list = append(list, Replica{ID: u.id, Asked: s.run.time(u.asked), Up: true, Ready: s.run.time(u.ready)})
	}
	for _, u := range f.starting {
		list = append(list, Replica{ID: u.id, Asked: s.run.time(u.asked)})
	}
	return list
}

// Each calls fn with the reading of a Shared lane for every replica that was
// measured.
func (s *Seen) Each(lane int, fn func(id int, at time.Time, value float64)) {
	t := s.run.tracks[lane]
	last, ok := t.seen(s.run.i, s.run.age, s.run.cadence)
	if !ok || t.Kind != Shared {
		return
	}
	at := s.run.time(time.Duration(last) * s.run.Step)
	first := last - t.window // those that were ready by then all read the same
	same, all := t.mean(last, first)
	for _, u := range s.run.fleet.up {
		v, ok := same, all
		if ready := s.run.steps(u.ready); ready > first {
			v, ok = t.mean(last, ready)
		}
		if ok {
			fn(u.id, at, v)
		}
	}
}

// look fills in what can be seen at step i.
func (s *Seen) look() {
	r := s.run
	f := &r.fleet
	s.Now = r.time(r.now)
	s.Desired, s.Ready, s.Starting, s.Failing, s.Leaving = f.desired, len(f.up), len(f.starting), f.failing(), len(f.leaving)
	for i, t := range r.tracks {
		s.Signals[i] = r.read(t)
	}
}

// read is what a lane says of the workload at step i.
func (r *run) read(t *track) Signal {
	s := Signal{Name: t.Signal}
	last, ok := t.seen(r.i, r.age, r.cadence)
	if !ok || t.Signal == "" {
		return s
	}
	s.At = r.time(time.Duration(last) * r.Step)
	if t.Kind != Shared {
		s.Value, s.Known = t.mean(last, 0)
		return s
	}
	// Replicas that have been there for the whole window read the same.
	up := r.fleet.up
	old := len(up)
	sum := 0.0
	for ; old > 0 && r.steps(up[old-1].ready) > last-t.window; old-- {
		if v, ok := t.mean(last, r.steps(up[old-1].ready)); ok {
			sum += v
			s.Replicas++
		}
	}
	if old > 0 {
		if v, ok := t.mean(last, 0); ok {
			sum += float64(v * float64(old)) // rounded first, so that every processor reads the same
			s.Replicas += old
		}
	}
	s.Value, s.Known = sum/float64(max(1, s.Replicas)), s.Replicas > 0
	return s
}
