package scaler

import (
	"math"
	"time"
)

// Knative is a model of the rule that Knative's autoscaler documents: each 2 s the
// load over what one replica is to carry, averaged over 60 s; over 6 s where that
// asks for twice what is ready, and then for 60 s nothing shrinks. It sees the
// requests themselves, which no limit hides.
type Knative struct {
	plant  Plant
	seen   []float64 // the load of the last 60 s
	next   time.Time
	panics time.Time // until when
	most   int       // that the panic has asked for
}

const (
	knativeTick    = 2 * time.Second
	knativeStable  = 60
	knativePanic   = 6
	knativeRate    = 1000.0 // times as many at once, at most
	knativeShrinks = 2.0    // times as few at once
)

// Step implements Autoscaler.
func (k *Knative) Step(now time.Time, v View) int {
	if !v.Dark {
		k.seen = append(k.seen, v.Load)
		if len(k.seen) > knativeStable {
			k.seen = k.seen[1:]
		}
	}
	if now.Before(k.next) || len(k.seen) == 0 || v.Dark {
		return v.Desired
	}
	k.next = now.Add(knativeTick)
	ready := max(1, v.Ready)
	stable := k.want(k.seen, ready)
	panicking := k.want(k.seen[max(0, len(k.seen)-knativePanic):], ready)
	if float64(panicking) >= 2*float64(ready) {
		if !now.Before(k.panics) {
			k.most = 0
		}
		k.panics = now.Add(time.Minute)
	}
	n := stable
	if now.Before(k.panics) {
		k.most = max(k.most, panicking, ready)
		n = k.most
	}
	return min(max(n, k.plant.Min), k.plant.Max)
}

func (k *Knative) want(seen []float64, ready int) int {
	sum := 0.0
	for _, x := range seen {
		sum += x
	}
	n := math.Ceil(sum/float64(len(seen))/k.plant.Target - 1e-9)
	n = min(n, math.Ceil(knativeRate*float64(ready)))
	return int(max(n, math.Floor(float64(ready)/knativeShrinks)))
}

// Labels is a model of what aliyun.auto_scaling.* labels ask for: CPU averaged
// over a minute, one replica more where three such averages in a row are above
// max, one less where they are below min.
type Labels struct {
	plant    Plant
	max, min float64 // share of the limit
	used     map[int]float64
	averages []float64
	next     time.Time
}

// Step implements Autoscaler.
func (l *Labels) Step(now time.Time, v View) int {
	if now.Before(l.next) {
		return v.Desired
	}
	first := l.next.IsZero()
	l.next = now.Add(time.Minute)
	if v.Dark {
		l.averages, l.used = nil, nil
		return v.Desired
	}
	sum, n := 0.0, 0
	used := make(map[int]float64, len(v.Replicas))
	for _, r := range v.Replicas {
		if r.Ready.IsZero() {
			continue
		}
		used[r.ID] = r.CPU
		if was, ok := l.used[r.ID]; ok {
			sum += (r.CPU - was) / time.Minute.Seconds()
			n++
		}
	}
	l.used = used
	if first || n == 0 {
		return v.Desired
	}
	l.averages = append(l.averages, sum/float64(n)/l.plant.Limit)
	if len(l.averages) < 3 {
		return v.Desired
	}
	l.averages = l.averages[len(l.averages)-3:]
	above, below := 0, 0
	for _, a := range l.averages {
		if a > l.max {
			above++
		}
		if a < l.min {
			below++
		}
	}
	to := v.Desired
	switch {
	case above == 3:
		to = min(v.Desired+1, l.plant.Max)
	case below == 3:
		to = max(v.Desired-1, l.plant.Min)
	}
	if to != v.Desired {
		l.averages = nil // three new ones, seen after the change
	}
	return to
}
