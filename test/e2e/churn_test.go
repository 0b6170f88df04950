//go:build e2e

package e2e

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

// following is how many of a yard's groups have series now.
func (y *yard) following(p *process) float64 {
	v, err := p.ask(fmt.Sprintf(`count(container_memory_usage_bytes{%s}) or vector(0)`, y.matcher()))
	if err != nil || len(v) != 1 {
		return -1
	}
	return v[0].value
}

func (y *yard) awaitFollowing(p *process, n int) {
	y.t.Helper()
	if wait(time.Minute, func() bool { return y.following(p) == float64(n) }) < 0 {
		y.t.Fatalf("%v groups of %d have series", y.following(p), n)
	}
}

// footprint is what a process holds.
type footprint struct{ descriptors, watches, goroutines, dying float64 }

func (y *yard) footprint(p *process) footprint {
	y.t.Helper()
	pid := p.cmd.Process.Pid
	return footprint{float64(fdCount(y.t, pid)), float64(watches(y.t, pid)), p.own("go_goroutines"), y.dying()}
}

func TestFiveHundredLivesLeaveNothingOpen(t *testing.T) {
	const lives, atOnce = 500, 50
	e := engine.Start(t)
	y := newYard(t)
	c, _, _ := apart(t, e)
	a := y.alone(nil, "--data.path="+t.TempDir(), "--collector.address="+c.grpc, "--docker.host="+e.Host(), "--no-gpu")
	c.eventually(patience, `up{job="cadvisor"} == 1`, some)

	most := footprint{}
	round := func() {
		t.Helper()
		list := y.startMany(atOnce)
		y.awaitFollowing(c, atOnce)
		now := y.footprint(a)
		most.descriptors, most.watches = max(most.descriptors, now.descriptors), max(most.watches, now.watches)
		endAll(list)
		y.awaitFollowing(c, 0)
	}
	round() // what is made once is made
	before, began := y.footprint(a), time.Now()
	for range lives / atOnce {
		round()
	}
	for i := range 10 {
		e.Docker("run", "--rm", "--name", fmt.Sprintf("brief%d", i), "--cgroup-parent=/"+y.name, engine.Image, "true")
	}
	y.awaitFollowing(c, 0)

	var after footprint
	back := func() bool {
		after = y.footprint(a)
		return after.descriptors <= before.descriptors+5 && after.watches <= before.watches+5 &&
			after.goroutines <= before.goroutines+10 && after.dying <= max(before.dying, 0)
	}
	if wait(patience, back) < 0 {
		t.Errorf("%+v before, %+v after %d lives", before, after, lives)
	}
	// Two watches for the start and the end of each, besides those of parents.
	if most.watches > before.watches+2*atOnce+10 {
		t.Errorf("%v inotify watches for %d containers, %v without", most.watches, atOnce, before.watches)
	}
	t.Logf("%d lives in %v: before %+v, at most %v descriptors and %v watches with %d, after %+v",
		lives, time.Since(began).Round(time.Second), before, most.descriptors, most.watches, atOnce, after)
}

// Without what it would like to have, the agent is slower to notice, and no
// less complete.
func TestWithoutDescriptorsOrWatchesAllIsStillReported(t *testing.T) {
	const groups = 60
	tests := map[string]struct {
		command []string
		worse   func(t *testing.T, a *process)
	}{
		"256 descriptors": {
			[]string{"prlimit", "--nofile=256:256"},
			func(t *testing.T, a *process) {
				if n := fdCount(t, a.cmd.Process.Pid); n >= 256 {
					t.Errorf("all %d descriptors are in use: %v", n, descriptors(t, a.cmd.Process.Pid))
				}
			},
		},
		// In a user namespace of its own, so that nobody else is short of them.
		"no inotify watch": {
			[]string{"unshare", "--user", "--map-root-user", "sh", "-c", `echo 0 > /proc/sys/user/max_inotify_watches && exec "$0" "$@"`},
			func(t *testing.T, a *process) {
				if n := a.own("plimsoll_agent_discovery_inotify_fallbacks_total"); n < 1 {
					t.Errorf("%v times short of watches, so that nothing is known of it", n)
				}
				if n := watches(t, a.cmd.Process.Pid); n > 0 {
					t.Errorf("%d watches, none allowed", n)
				}
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if out, err := exec.Command(tt.command[0], append(tt.command[1:len(tt.command):len(tt.command)], "true")...).CombinedOutput(); err != nil {
				if os.Getenv("CI") == "true" {
					t.Fatalf("%v: %s", err, out)
				}
				t.Skipf("not possible here: %v: %s", err, out)
			}
			y := newYard(t)
			c := serve(t, "collector", "--data.path="+t.TempDir())
			early := y.startMany(groups)
			a := y.alone(tt.command, "--data.path="+t.TempDir(), "--collector.address="+c.grpc, "--docker.host=", "--no-gpu")
			y.awaitFollowing(c, groups)
			endAll(early[:groups/2])
			y.awaitFollowing(c, groups/2)
			late := y.startMany(groups / 2)
			y.awaitFollowing(c, groups)
			c.eventually(patience, fmt.Sprintf(`count(container_spec_memory_limit_bytes{%s}) == %d`, y.matcher(), groups), some)
			tt.worse(t, a)
			endAll(append(early, late...))
			y.awaitFollowing(c, 0)
			t.Logf("%d descriptors, %d watches; of errors %v", fdCount(t, a.cmd.Process.Pid), watches(t, a.cmd.Process.Pid), a.own("plimsoll_agent_source_errors_total"))
		})
	}
}

// soakFor is how long containers come and go. Half an hour, for a person who
// wants to know, is PLIMSOLL_SOAK=30m.
func soakFor(t *testing.T) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(cmp.Or(os.Getenv("PLIMSOLL_SOAK"), "60s"))
	if err != nil {
		t.Fatalf("PLIMSOLL_SOAK: %v", err)
	}
	return d
}

// What is kept of a container for five minutes after its end lets the agent grow
// at first. A soak of a quarter of an hour and more shows what is beyond that.
func TestTenStartsASecondMakeTheAgentNoLarger(t *testing.T) {
	const alive = 10 // each for a second
	d := soakFor(t)
	e := engine.Start(t)
	y := newYard(t)
	c, _, _ := apart(t, e)
	a := y.alone(nil, "--data.path="+t.TempDir(), "--collector.address="+c.grpc, "--docker.host="+e.Host(), "--no-gpu", "--no-disk", "--spool.max-size=16MiB")
	c.eventually(patience, `up{job="cadvisor"} == 1`, some)

	var living []*life
	last := gone{}
	turn := func() {
		living = append(living, y.start())
		if len(living) > alive {
			follow := last.follows(c, living[0].id)
			living[0].end()
			if follow {
				last.follow(living[0].id)
			}
			living = living[1:]
		}
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 3 * alive { // what is made once is made
		<-tick.C
		turn()
	}
	before, began := y.footprint(a), time.Now()
	// Of what is resident, pages of the program's file come with use and are given
	// back now and then; what the agent itself keeps is anonymous.
	var resident, memory []point
	for n := 0; time.Since(began) < d; n++ {
		<-tick.C
		turn()
		last.look(c)
		if n%50 == 0 {
			at := time.Since(began).Hours()
			resident = append(resident, point{at, residentMiB(t, a.cmd.Process.Pid)})
			memory = append(memory, point{at, statusMiB(t, a.cmd.Process.Pid, "RssAnon")})
		}
	}
	starts := float64(y.made-3*alive) / time.Since(began).Seconds()
	during := y.footprint(a)
	endAll(living)
	y.awaitFollowing(c, 0)
	var after footprint
	wait(patience, func() bool {
		after = y.footprint(a)
		return after.descriptors <= before.descriptors+5 && after.watches <= before.watches+5
	})

	slices.Sort(last.after)
	seen := len(last.after)
	if seen < 10 {
		t.Fatalf("only %d ends were seen", seen)
	}
	t.Logf("out of queries after %v in the middle of %d ends, %v at the latest", last.after[seen/2], seen, last.after[seen-1])
	if last.after[seen/2] > 2*time.Second || last.after[seen-1] > 10*time.Second {
		t.Error("a container that has ended is in queries for longer than two seconds, or one for longer than ten on a busy machine")
	}
	settled := memory[len(memory)/2:] // by then an hour's soak has been full for long
	t.Logf("%.1f starts/s for %v (%v ticks, %v missed): resident %.1f MiB at first, %.1f at the end; anonymous %.1f and %.1f, %.2f MiB/h in the second half; before %+v, during %+v, after %+v",
		starts, d, a.own("plimsoll_agent_ticks_total"), a.own("plimsoll_agent_ticks_missed_total"),
		resident[0].value, resident[len(resident)-1].value, memory[0].value, memory[len(memory)-1].value, slope(settled), before, during, after)
	if lives := y.made - 3*alive; lives < 100 {
		t.Errorf("only %d containers came and went", lives)
	}
	if during.goroutines > before.goroutines+10 || after.descriptors > before.descriptors+5 || after.watches > before.watches+5 {
		t.Errorf("before %+v, during %+v, after %+v", before, during, after)
	}
	if grown := resident[len(resident)-1].value - resident[0].value; grown > 24 {
		t.Errorf("%.1f MiB more than at first", grown)
	}
	if s := slope(settled); d >= 20*time.Minute && s > 4 {
		t.Errorf("it grows by %.1f MiB an hour", s)
	}
	if log := a.logged(); strings.Contains(log, "panicked") {
		t.Error(log)
	}
}

// gone measures how long containers that have ended are still in queries, one at
// a time.
type gone struct {
	id    string
	since time.Time
	after []time.Duration
}

// follows tells whether a container is one to follow: in queries, with no other
// that still is.
func (g *gone) follows(c *process, id string) bool { return g.id == "" && c.queried(id) }

func (g *gone) follow(id string) { g.id, g.since = id, time.Now() }

func (g *gone) look(c *process) {
	if g.id != "" && !c.queried(g.id) {
		g.id, g.after = "", append(g.after, time.Since(g.since).Round(time.Millisecond))
	}
}

func (p *process) queried(id string) bool {
	v, err := p.ask(fmt.Sprintf(`container_memory_usage_bytes{id="/%s"}`, id))
	return err != nil || len(v) > 0
}

// slope is by how much the values grow for each unit of their times: least
// squares.
func slope(points []point) float64 {
	n, x, y := float64(len(points)), 0.0, 0.0
	for _, p := range points {
		x, y = x+p.at/n, y+p.value/n
	}
	xy, xx := 0.0, 0.0
	for _, p := range points {
		xy, xx = xy+(p.at-x)*(p.value-y), xx+(p.at-x)*(p.at-x)
	}
	return xy / xx
}
