package decide

import (
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

const testPatience = 5 * time.Minute

// crew is a workload whose replicas come or do not.
type crew struct {
	growth  Growth
	desired int
	now     time.Time
}

func (c *crew) see(d time.Duration, desired, ready, failing int) *Observation {
	c.now = c.now.Add(d)
	o := &Observation{Now: c.now, Desired: desired, Ready: ready, Failing: failing}
	c.growth = c.growth.next(o, c.desired, false, testPatience)
	c.desired = desired
	return o
}

func TestGrowthIsStuck(t *testing.T) {
	const patience = testPatience
	for name, tt := range map[string]struct {
		walk func(*crew) *Observation
		want bool
	}{
		"where nothing of it came and some fail": {func(c *crew) *Observation {
			c.see(0, 8, 4, 0)
			return c.see(patience, 8, 4, 4)
		}, true},
		"but not before its time": {func(c *crew) *Observation {
			c.see(0, 8, 4, 4)
			return c.see(patience-time.Second, 8, 4, 4)
		}, false},
		"nor if none fails: they are only slow": {func(c *crew) *Observation {
			c.see(0, 8, 4, 0)
			return c.see(time.Hour, 8, 4, 0)
		}, false},
		"nor once they have been ready for a while": {func(c *crew) *Observation {
			c.see(0, 8, 4, 4)
			c.see(patience, 8, 8, 0)
			c.see(proof, 8, 8, 0)
			return c.see(time.Second, 8, 4, 4)
		}, false},
		"though all of it is ready now and then": {func(c *crew) *Observation {
			c.see(0, 8, 8, 0)
			for range 20 {
				c.see(proof-time.Second, 8, 8, 0)
				c.see(2*time.Second, 8, 4, 4)
			}
			return c.see(0, 8, 4, 4)
		}, true},
		"nor if most of it came, however long ago": {func(c *crew) *Observation {
			c.see(0, 14, 4, 0)
			c.see(patience, 14, 10, 4)
			c.see(proof, 14, 10, 4)
			return c.see(time.Hour, 14, 10, 4)
		}, false},
		"nor if nothing has grown: one replica of many that fails is no reason": {func(c *crew) *Observation {
			c.desired = 10
			c.see(0, 10, 9, 1)
			return c.see(time.Hour, 10, 9, 1)
		}, false},
		"nor if one that failed before it still does": {func(c *crew) *Observation {
			c.desired = 10
			c.see(0, 20, 9, 1)
			return c.see(time.Hour, 20, 19, 1)
		}, false},
		"though more was asked for meanwhile": {func(c *crew) *Observation {
			c.see(0, 8, 4, 0)
			c.see(time.Minute, 20, 4, 4)
			return c.see(4*time.Minute, 20, 4, 16)
		}, true},
		"but what is added once the first are ready has its own time": {func(c *crew) *Observation {
			c.see(0, 8, 4, 0)
			c.see(time.Minute, 20, 8, 0)
			c.see(proof, 20, 8, 0)
			return c.see(4*time.Minute, 20, 8, 12)
		}, false},
		"nor if some were taken back and the rest is ready": {func(c *crew) *Observation {
			c.see(0, 8, 4, 0)
			c.see(time.Minute, 4, 4, 0)
			return c.see(time.Hour, 5, 4, 1)
		}, false},
		"though the growth before it came up, but for a few": {func(c *crew) *Observation {
			c.see(0, 14, 4, 0)
			c.see(time.Minute, 14, 10, 4)
			c.see(patience, 14, 10, 4)
			c.see(time.Minute, 20, 10, 4)
			return c.see(patience, 20, 10, 10)
		}, true},
		"nor if the growth after a few that failed comes up": {func(c *crew) *Observation {
			c.see(0, 14, 4, 0)
			c.see(time.Minute, 14, 10, 4)
			c.see(patience, 14, 10, 4)
			c.see(time.Minute, 20, 10, 4)
			c.see(time.Minute, 20, 16, 4)
			return c.see(time.Hour, 20, 16, 4)
		}, false},
		"nor if fewer are added than failed before, and they come up": {func(c *crew) *Observation {
			c.see(0, 14, 4, 0)
			c.see(time.Minute, 14, 10, 4)
			c.see(proof, 14, 10, 4)
			c.see(time.Minute, 16, 10, 4)
			c.see(time.Minute, 16, 12, 4)
			return c.see(time.Hour, 16, 12, 4)
		}, false},
		"though some failed before, if those have come up since": {func(c *crew) *Observation {
			c.see(0, 14, 4, 0)
			c.see(time.Minute, 14, 10, 4)
			c.see(proof, 14, 10, 4)
			c.see(time.Minute, 14, 14, 0)
			c.see(time.Minute, 18, 14, 4)
			return c.see(patience, 18, 14, 4)
		}, true},
		"and stays so while they are ready only for a moment": {func(c *crew) *Observation {
			c.see(0, 8, 4, 0)
			c.see(patience, 8, 4, 4)
			c.see(time.Second, 8, 8, 0)
			return c.see(proof-time.Second, 8, 8, 0)
		}, true},
		"nor while a change is rolled out, which may be the cure": {func(c *crew) *Observation {
			c.see(0, 8, 4, 4)
			o := &Observation{Now: c.now.Add(time.Hour), Desired: 8, Ready: 4, Failing: 4, Updating: true}
			c.growth = c.growth.next(o, 8, false, patience)
			return o
		}, false},
		"nor if the clock went back, for as long again": {func(c *crew) *Observation {
			c.see(0, 8, 4, 4)
			c.see(-time.Hour, 8, 4, 4)
			return c.see(time.Minute, 8, 4, 4)
		}, false},
	} {
		c := &crew{desired: 4, now: noon}
		if tt.walk(c); c.growth.Stuck != tt.want {
			t.Errorf("stuck %s: %v, %+v", name, !tt.want, c.growth)
		}
	}
}

func TestAStartWithoutAPastWaitsBeforeItCallsGrowthStuck(t *testing.T) {
	o := Observation{Now: noon, Desired: 8, Ready: 3, Failing: 5}
	g := Growth{}.next(&o, 0, true, time.Minute)
	if g.Stuck {
		t.Error("stuck at once")
	}
	o.Now = noon.Add(time.Minute)
	if g = g.next(&o, 8, false, time.Minute); !g.Stuck {
		t.Errorf("not stuck after its time: %+v", g)
	}
	o = Observation{Now: noon, Desired: 8, Ready: 7, Failing: 1}
	g = Growth{}.next(&o, 0, true, time.Minute)
	o.Now = noon.Add(time.Hour)
	if g = g.next(&o, 8, false, time.Minute); g.Stuck {
		t.Errorf("stuck for one of eight: %+v", g)
	}
}

func TestPatienceIsThreeTimesTheUsual(t *testing.T) {
	for want, tt := range map[time.Duration]struct{ set, boot time.Duration }{
		5 * time.Minute:  {0, time.Minute},
		12 * time.Minute: {0, 4 * time.Minute},
		2 * time.Minute:  {2 * time.Minute, time.Hour},
	} {
		if got := patience(&policy.App{StuckAfter: tt.set}, tt.boot); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
}
