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
		return start(t, "agent", "--data.path="+spool, "--collector.address="+grpc, "--docker.host="+e.Host())
	}
	return c, restart, agent
}

func TestACollectorKilledForAMinuteLosesAndDoublesNothing(t *testing.T) {
	e := engine.Start(t)
	e.Docker("run", "-d", "--name", "c1", engine.Image, "sh", "-c", "while :; do sleep 0.1; done")
	c, restart, agent := apart(t, e)
	agent()
	const series = `container_cpu_usage_seconds_total{name="c1"}`
	c.eventually(15*time.Second, `count_over_time(`+series+`[30s]) > 8`, some)

	c.kill()
	away := time.NewTimer(60 * time.Second)
	<-away.C
	c = restart()
	took := c.eventually(20*time.Second, `time() - timestamp(`+series+`) < 2`, some)
	t.Logf("fresh again %v after the collector's return", took.Round(100*time.Millisecond))

	c.eventually(20*time.Second, `count_over_time(`+series+`[90s]) >= 70`, some)
	stamps := c.stamps(series, "100s")
	for i := 1; i < len(stamps); i++ {
		if gap := stamps[i] - stamps[i-1]; gap > 1.5 {
			t.Errorf("hole of %.1f s before the sample %d of %d", gap, i, len(stamps))
		} else if gap < 0.5 {
			t.Errorf("two samples within %.3f s at %d", gap, i)
		}
	}
	t.Logf("%d samples over %.0f s", len(stamps), stamps[len(stamps)-1]-stamps[0])
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
	c, _, agent := apart(t, e)
	a := agent()
	const series = `container_memory_usage_bytes{name="c1"}`
	c.eventually(15*time.Second, `count_over_time(`+series+`[30s]) > 8`, some)
	died := float64(time.Now().UnixMilli()) / 1000
	a.kill()
	c.eventually(10*time.Second, `timestamp(`+series+`)`, func([]element) bool { return true })
	agent()
	c.eventually(15*time.Second, `count_over_time(`+series+`[30s]) > 12`, some)
	last := 0.0
	for _, s := range c.stamps(series, "40s") {
		if s <= died {
			last = max(last, s)
		}
	}
	t.Logf("last sample %.3f s before the agent was killed", died-last)
	if died-last > 1.1 {
		t.Errorf("the last %.2f s before the kill are lost", died-last)
	}
}

func TestSurvivorsOfAnEngineRestartHaveNoGap(t *testing.T) {
	e := engine.Start(t, engine.LiveRestore())
	e.Docker("run", "-d", "--name", "c1", engine.Image, "sleep", "600")
	p := up(t, "--docker.host="+e.Host())
	const series = `container_cpu_usage_seconds_total{name="c1"}`
	p.eventually(15*time.Second, `count_over_time(`+series+`[30s]) > 5`, some)
	e.Kill()
	p.eventually(10*time.Second, `count_over_time(`+series+`[30s]) > 10`, some)
	e.Start()
	p.eventually(15*time.Second, `count_over_time(`+series+`[60s]) > 18`, some)
	stamps := p.stamps(series, "60s")
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
