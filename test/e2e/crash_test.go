//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

// apart runs agent and collector as two processes over one engine.
func apart(t *testing.T, e *engine.Engine) (c *process, restart func() *process, agent func() *process) {
	t.Helper()
	data, spool := t.TempDir(), t.TempDir()
	c = serve(t, "collector", "--data.path="+data)
	web, grpc := strings.TrimPrefix(c.url, "http://"), c.grpc
	restart = func() *process {
		p := start(t, "collector", "--data.path="+data, "--web.listen-address="+strings.TrimSuffix(web, "/"), "--grpc.listen-address="+grpc)
		p.grpc = grpc
		p.url = p.waitLine(patience, "http://")
		return p
	}
	agent = func() *process {
		return start(t, "agent", "--node.name=n1", "--data.path="+spool, "--collector.address="+grpc, "--docker.host="+e.Host())
	}
	return c, restart, agent
}

func TestACollectorKilledForAMinuteLosesAndDoublesNothing(t *testing.T) {
	e := engine.Start(t)
	e.Docker("run", "-d", "--name", "c1", engine.Image, "sh", "-c", "while :; do sleep 0.1; done")
	c, restart, agent := apart(t, e)
	agent()
	series := cpuOf("n1")
	c.eventually(patience, `count_over_time(`+series+`[30s]) > 8`, some)

	c.kill()
	away := time.NewTimer(60 * time.Second)
	<-away.C
	c = restart()
	took := c.eventually(20*time.Second, `time() - timestamp(`+series+`) < 2`, some)
	t.Logf("fresh again %v after the collector's return", took.Round(100*time.Millisecond))

	c.eventually(patience, `count_over_time(`+series+`[5m]) >= 70`, some)
	holes, stored := c.holes("n1")
	if len(holes) > 0 {
		t.Errorf("samples are missing, or there twice where it is less than 0: %v", holes)
	}
	c.inOrder("n1")
	t.Logf("%d samples", stored)
	for _, m := range []string{"plimsoll_collector_ingest_repeated_frames_total", "plimsoll_collector_ingest_missing_frames_total"} {
		t.Logf("%s %v", m, c.sum(m))
	}
	if lost := c.sum("plimsoll_collector_ingest_missing_frames_total"); lost != 0 {
		t.Errorf("%v frames missing", lost)
	}
}

func TestAKilledAgentLosesAtMostASecond(t *testing.T) {
	e := engine.Start(t)
	e.Docker("run", "-d", "--name", "c1", engine.Image, "sleep", "600")
	c, spool := serve(t, "collector", "--data.path="+t.TempDir()), t.TempDir()
	agent := func() *process {
		return alone(t, nil, "--node.name=n1", "--data.path="+spool, "--collector.address="+c.grpc, "--docker.host="+e.Host())
	}
	a := agent()
	const series = `container_memory_usage_bytes{name="c1"}`
	c.eventually(patience, `count_over_time(`+series+`[30s]) > 8`, some)
	ticks := a.own("plimsoll_agent_ticks_total")
	died := seconds(time.Now())
	a.kill()
	agent()
	// How late its last tick was is not the question, nor which comes first, the
	// past or the present. How many ticks there had been is told at some of them.
	told, since := point{}, 0
	if wait(patience, func() bool {
		for _, p := range c.points(`plimsoll_agent_ticks_total{node="n1"}`, "10m") {
			if p.at <= died {
				told = p
			}
		}
		since = 0
		for _, at := range c.stamps(series, "10m") {
			if at >= told.at && at <= died {
				since++
			}
		}
		return told.value+float64(since) >= ticks
	}) < 0 {
		t.Errorf("of %v ticks before the kill %v are stored", ticks, told.value+float64(since))
	}
	t.Logf("%v ticks before the kill, %v stored", ticks, told.value+float64(since))
	c.eventually(patience, `count_over_time(`+series+`[30s]) > 3`, some)
}

func TestSurvivorsOfAnEngineRestartHaveNoGap(t *testing.T) {
	e := engine.Start(t, engine.LiveRestore())
	e.Docker("run", "-d", "--name", "c1", engine.Image, "sleep", "600")
	p := up(t, "--docker.host="+e.Host())
	const series = `container_cpu_usage_seconds_total{name="c1"}`
	p.eventually(patience, `count_over_time(`+series+`[30s]) > 5`, some)
	e.Kill()
	p.eventually(patience, `count_over_time(`+series+`[30s]) > 10`, some)
	e.Start()
	p.eventually(patience, `count_over_time(`+series+`[5m]) > 18`, some)
	stamps := p.stamps(series, "5m")
	for i := 1; i < len(stamps); i++ {
		if gap := stamps[i] - stamps[i-1]; gap > 2 {
			t.Errorf("gap of %.1f s", gap)
		}
	}
	t.Logf("%d samples over %.0f s, engine killed and restarted between", len(stamps), stamps[len(stamps)-1]-stamps[0])
}

// stamps are the times of a series' samples in the window before now, in
// seconds, as the store has them.
func (p *process) stamps(series, window string) []float64 {
	p.t.Helper()
	var answer struct {
		Data struct {
			Result []struct {
				Values [][2]any
			}
		}
	}
	path := "/api/v1/query?query=" + escape(fmt.Sprintf("%s[%s]", series, window))
	if err := p.get(path, &answer); err != nil {
		p.t.Fatal(err)
	}
	if len(answer.Data.Result) != 1 {
		p.t.Fatalf("%s: %d series, want 1", series, len(answer.Data.Result))
	}
	var stamps []float64
	for _, v := range answer.Data.Result[0].Values {
		stamps = append(stamps, v[0].(float64))
	}
	return stamps
}
