package decide

import "fmt"

// record keeps the number that was asked for, after min and max: a window that
// saw the number before them would flap at the bounds.
func (t *turn) record(n int) {
	now, in, out := t.obs.Now, t.policy.In.Window, t.policy.Out.Window
	t.state.Most = t.state.Most.with(now, n, in, func(older, newer int) bool { return older <= newer })
	t.state.Least = t.state.Least.with(now, n, out, func(older, newer int) bool { return older >= newer })
	t.stage("record", n, n, false, fmt.Sprintf("least %d in %s, most %d in %s",
		t.state.Least.first().Replicas, short(out), t.state.Most.first().Replicas, short(in)))
}

// stabilise does the least that was asked for within the out window, or the
// most within the in window, whichever side of the present number they are on.
func (t *turn) stabilise(n int) int {
	now, window := t.obs.Now, t.policy.In.Window
	least, most := t.state.Least.first(), t.state.Most.first()
	seen := now.Sub(t.state.Most.Since)
	switch rush, on := t.rush(n); {
	case on && rush > least.Replicas:
		if rush != n {
			t.gate(GatePanic, "", fmt.Sprintf("%d asked for, but a panic adds %d at most", n, t.policy.Panic.MaxAdd))
		}
		t.stage("stabilise", n, rush, rush != n, "a panic does not wait for the out window")
		return rush
	case least.Replicas > t.from:
		t.stage("stabilise", n, least.Replicas, least.Replicas != n, fmt.Sprintf("at least %d for %s", least.Replicas, short(t.policy.Out.Window)))
		return least.Replicas
	case n > t.from:
		why := fmt.Sprintf("%d asked for, but %d was enough %s ago, within the out window of %s", n, least.Replicas, short(now.Sub(least.At)), short(t.policy.Out.Window))
		t.gate(GateWindow, "", why)
		t.stage("stabilise", n, t.from, true, why)
		return t.from
	case n < t.from && (seen < window || seen <= 0):
		why := fmt.Sprintf("%d would do, but only %s of the in window of %s have been seen", n, short(seen), short(window))
		t.gate(GateSettling, "", why)
		t.stage("stabilise", n, t.from, true, why)
		return t.from
	case n < t.from && most.Replicas >= t.from:
		why := fmt.Sprintf("%d would do, but %d were asked for %s ago, within the in window of %s", n, most.Replicas, short(now.Sub(most.At)), short(window))
		t.gate(GateSettling, "", why)
		t.stage("stabilise", n, t.from, true, why)
		return t.from
	case n < t.from:
		t.stage("stabilise", n, most.Replicas, most.Replicas != n, fmt.Sprintf("at most %d for %s", most.Replicas, short(window)))
		return most.Replicas
	}
	t.stage("stabilise", n, n, false, "no change")
	return n
}
