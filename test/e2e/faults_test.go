//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/agent/spool"
	"github.com/plimsoll-io/plimsoll/internal/testkit/port"
)

// site is where a collector is to be found, whichever process it is.
type site struct {
	t               *testing.T
	data, web, grpc string
	args            []string
}

func newSite(t *testing.T, data string, args ...string) *site {
	t.Helper()
	return &site{t, data, port.Free(t), port.Free(t), args}
}

func (s *site) start() *process {
	s.t.Helper()
	p := start(s.t, append([]string{
		"collector", "--data.path=" + s.data, "--web.listen-address=" + s.web, "--grpc.listen-address=" + s.grpc,
	}, s.args...)...)
	p.grpc, p.url = s.grpc, strings.TrimSuffix(p.waitLine(patience, "http://"), "/")
	return p
}

// quickly runs an agent that reads ten times a second, and not what others run.
func (s *site) quickly(y *yard, command []string, args ...string) *process {
	s.t.Helper()
	return y.alone(command, append([]string{
		"--collector.address=" + s.grpc, "--docker.host=", "--interval=100ms", "--no-gpu", "--no-disk", "--no-processes",
	}, args...)...)
}

// frames are the numbers that are stored of a node's frames, by spool. They are
// in the same transactions as the samples.
func (p *process) frames(node string) map[string][]int {
	p.t.Helper()
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	if err := p.get("/api/v1/query?query="+escape(fmt.Sprintf(`plimsoll_ingest_seq{node=%q}[1d]`, node)), &answer); err != nil {
		p.t.Log(err)
		return nil
	}
	spools := map[string][]int{}
	for _, r := range answer.Data.Result {
		id := r.Metric["agent"]
		for _, v := range r.Values {
			n, err := strconv.Atoi(v[1].(string))
			if err != nil {
				p.t.Fatal(err)
			}
			spools[id] = append(spools[id], n)
		}
	}
	for _, list := range spools {
		slices.Sort(list)
	}
	return spools
}

// whole says whether a list has each number from 1 to n at least, once.
func whole(list []int, n int) error {
	for i, got := range list {
		if got != i+1 {
			return fmt.Errorf("frame %d stands where %d should, of %d", got, i+1, len(list))
		}
	}
	if len(list) < n {
		return fmt.Errorf("%d frames, want %d", len(list), n)
	}
	return nil
}

// complete waits until each frame that the node's only agent has read by now is
// stored, and has come once.
func (p *process) complete(node string, a *process) int {
	p.t.Helper()
	n := int(a.own("plimsoll_agent_ticks_total"))
	err := fmt.Errorf("none")
	if wait(time.Minute, func() bool {
		for _, list := range p.frames(node) {
			err = whole(list, n)
		}
		return err == nil
	}) < 0 {
		p.t.Fatalf("of %d frames of %s: %v", n, node, err)
	}
	return n
}

func (p *process) becomes(limit time.Duration, ready bool) time.Duration {
	p.t.Helper()
	var last error
	took := wait(limit, func() bool {
		_, last = p.read("/-/ready")
		return (last == nil) == ready
	})
	if took < 0 {
		p.t.Fatalf("ready is not %v within %v: %v", ready, limit, last)
	}
	return took
}

func TestADiskThatFillsUnderAStreamCostsNothing(t *testing.T) {
	y, volume := newYard(t), tmpfs(t, "size=48m")
	s := newSite(t, filepath.Join(volume, "data"))
	c := s.start()
	a := s.quickly(y, nil, "--data.path="+t.TempDir(), "--node.name=n1")
	c.eventually(patience, `plimsoll_agent_ticks_total{node="n1"} > 30`, some)

	hog := filepath.Join(volume, "hog")
	fill(t, hog)
	c.becomes(patience, false)
	fill(t, hog+"-again") // what the ballast has given back
	if wait(time.Minute, func() bool { return a.own("plimsoll_agent_unacknowledged_batches") > 30 }) < 0 {
		t.Error("on the full disk frames are acknowledged")
	}
	c.eventually(patience, `count_over_time(plimsoll_agent_ticks_total{node="n1"}[5m]) > 5`, some)
	c.kill()
	c = s.start() // on the full disk
	c.eventually(patience, `count_over_time(plimsoll_agent_ticks_total{node="n1"}[5m]) > 5`, some)
	if _, err := c.read("/-/ready"); err == nil {
		t.Error("it is ready without room")
	} else {
		t.Log(err)
	}

	for _, file := range []string{hog, hog + "-again"} {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("ready %v after there was room", c.becomes(patience, true).Round(100*time.Millisecond))
	n := c.complete("n1", a)
	c.kill()
	c = s.start()
	if m := c.complete("n1", a); m < n {
		t.Errorf("%d frames, %d were stored before the kill", m, n)
	}
	t.Logf("%d frames, each stored once", n)
}

// An agent has spooled for hours when it finds its collector.
func TestAfterHoursWithoutACollectorThePresentComesFirstAndThePastWhole(t *testing.T) {
	y := newYard(t)
	for name, step := range map[string]time.Duration{"an hour": time.Second, "twenty hours": 20 * time.Second} {
		t.Run(name, func(t *testing.T) {
			const frames, series = 3600, 100
			data := t.TempDir()
			last := spooled(t, data, frames, series, step)
			s := newSite(t, t.TempDir())
			c := s.start()
			began := time.Now()
			s.quickly(y, nil, "--data.path="+data, "--node.name=n1")
			fresh := c.eventually(20*time.Second, `time() - timestamp(plimsoll_agent_ticks_total{node="n1"}) < 2`, some)
			count := fmt.Sprintf(`sum(count_over_time(held_total{node="n1"}[1d] @ %d))`, last.Unix()+1)
			c.eventually(time.Minute, count, func(v []element) bool { return len(v) == 1 && v[0].value >= frames*series })
			t.Logf("fresh after %v, %d samples of %v there after %v", fresh.Round(100*time.Millisecond), frames*series, frames*step, time.Since(began).Round(100*time.Millisecond))
			for _, q := range []string{
				`sum(count_over_time(held_total{node="n1"}[1d] @ %d))`,
				`sum(sum_over_time(held_total{node="n1"}[1d] @ %d)) * 2 / (3600 + 1)`,
			} {
				if v := c.value(fmt.Sprintf(q, last.Unix()+1)); v != frames*series {
					t.Errorf("%s is %v, want %d", q, v, frames*series)
				}
			}
			// What it read before it found its collector comes last.
			err := errors.New("no frame is stored")
			if wait(patience, func() bool {
				for _, list := range c.frames("n1") {
					err = whole(list, frames)
				}
				return err == nil
			}) < 0 {
				t.Error(err)
			}
		})
	}
}

// spooled fills the spool of an agent that does not run, with frames up to now,
// and returns the time of the last.
func spooled(t *testing.T, data string, frames, series int, step time.Duration) time.Time {
	t.Helper()
	sp, err := spool.Open(spool.Options{Dir: filepath.Join(data, "spool")})
	if err != nil {
		t.Fatal(err)
	}
	m := &sample.Metric{Name: "held_total", Type: sample.Counter}
	g := &sample.Group{}
	for i := range series {
		g.Series = append(g.Series, sample.Series{Metric: m, Labels: []sample.Label{{Name: "n", Value: strconv.Itoa(i)}}})
	}
	now := time.Now().Truncate(time.Second)
	var b sample.Batch
	for n := 1; n <= frames; n++ {
		b.Reset(0, now.Add(-time.Duration(frames-n)*step))
		v := b.Add(g)
		for i := range v {
			v[i] = float64(n)
		}
		if err := sp.Append(&b); err != nil {
			t.Fatal(err)
		}
	}
	if err := sp.Close(); err != nil {
		t.Fatal(err)
	}
	return now
}

func TestACollectorThatLostItsDiskGetsTheLastHoursBackFromItsAgents(t *testing.T) {
	y, s := newYard(t), newSite(t, t.TempDir())
	c := s.start()
	agents := map[string]*process{}
	for _, node := range []string{"n1", "n2"} {
		agents[node] = s.quickly(y, nil, "--data.path="+t.TempDir(), "--node.name="+node)
	}
	for node, a := range agents {
		c.eventually(patience, fmt.Sprintf(`plimsoll_agent_ticks_total{node=%q} > 50`, node), some)
		if wait(patience, func() bool { return a.own("plimsoll_agent_unacknowledged_batches") < 20 }) < 0 {
			t.Errorf("%s: nothing is acknowledged", node)
		}
	}
	c.kill()
	if err := os.RemoveAll(s.data); err != nil {
		t.Fatal(err)
	}
	c = s.start()
	for node, a := range agents {
		t.Logf("%s: %d frames are there again, each once", node, c.complete(node, a))
		if !strings.Contains(a.logged(), "it has lost data, which is sent again") {
			t.Errorf("%s: nobody was told", node)
		}
	}
}

func TestASecondCollectorEndsAndTheFirstDoesNotNotice(t *testing.T) {
	s := newSite(t, t.TempDir())
	c := s.start()
	second := start(t, "collector", "--data.path="+s.data, "--web.listen-address="+port.Free(t), "--grpc.listen-address="+port.Free(t))
	if code := second.exitCode(patience); code != 1 {
		t.Errorf("the second ended with %d, want 1", code)
	}
	if said, pid := second.logged(), fmt.Sprintf("pid %d", c.cmd.Process.Pid); !strings.Contains(said, pid) || !strings.Contains(said, s.data) {
		t.Errorf("it does not say that %s has %s: %s", pid, s.data, said)
	}
	c.becomes(patience, true)
}
