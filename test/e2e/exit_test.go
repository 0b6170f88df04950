//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

// parentGroup makes a control group for containers. The kernel goes on counting
// in it what they have used, when they are gone: that is the truth.
func parentGroup(t *testing.T, name string) (usedSeconds func() float64) {
	t.Helper()
	t.Cleanup(func() {
		dirs, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
		for _, dir := range dirs {
			_ = os.Remove(dir)
		}
	})
	return func() float64 { return number(t, "/sys/fs/cgroup/cpuacct/"+name+"/cpuacct.usage") / 1e9 }
}

// What a container has used is known however short it lived: a poll each second
// sees 40 % of containers that live two.
func TestTheCPUTimeOfShortContainersIsInTheSeries(t *testing.T) {
	const share = 0.98
	for name, loops := range map[string]int{"alone": 0, "beside two busy loops": 2} {
		t.Run(name, func(t *testing.T) {
			e := engine.Start(t)
			for i := range loops {
				e.Docker("run", "-d", "--name", fmt.Sprintf("loop%d", i), engine.Image, "sh", "-c", burn)
			}
			group := fmt.Sprintf("plimsoll-e2e-%d", time.Now().UnixNano())
			used := parentGroup(t, group)
			p := up(t, "--docker.host="+e.Host())
			p.eventually(patience, `up{job="cadvisor"} == 1`, some)
			var all sync.WaitGroup
			for i := range 20 {
				all.Go(func() {
					e.Docker("run", "--rm", "--name", fmt.Sprintf("brief%d", i), "--cgroup-parent=/"+group, engine.Image,
						"sh", "-c", "timeout 2 sh -c '"+burn+"'; true")
				})
			}
			all.Wait()
			p.eventually(patience, `count(plimsoll_container_exit_cpu_seconds{name=~"brief.+"}) == 20`, some)
			p.eventually(patience, `count(container_cpu_usage_seconds_total{name=~"brief.+"}) or vector(0)`,
				func(v []element) bool { return len(v) == 1 && v[0].value == 0 })
			truth := used()
			series := p.value(`sum(last_over_time(container_cpu_usage_seconds_total{name=~"brief.+"}[5m]))`)
			increase := p.value(`sum(increase(container_cpu_usage_seconds_total{name=~"brief.+"}[5m]))`)
			records := p.value(`sum(plimsoll_container_exit_cpu_seconds{name=~"brief.+"})`)
			t.Logf("the kernel counted %.2f s; series %.1f %%, increase() %.1f %%, exit records %.1f %%",
				truth, 100*series/truth, 100*increase/truth, 100*records/truth)
			if series < share*truth || records < share*truth {
				t.Errorf("less than %v of it is known", share)
			}
			if series > 1.02*truth {
				t.Error("more is known than there was")
			}
		})
	}
}

func TestContainersOfATenthOfASecondLeaveRecords(t *testing.T) {
	e := engine.Start(t)
	group := fmt.Sprintf("plimsoll-e2e-%d", time.Now().UnixNano())
	used := parentGroup(t, group)
	p := up(t, "--docker.host="+e.Host())
	p.eventually(patience, `up{job="cadvisor"} == 1`, some)
	for i := range 100 {
		e.Docker("run", "--rm", "--name", fmt.Sprintf("flash%d", i), "--cgroup-parent=/"+group, "--label", "com.docker.compose.project=shop",
			"--label", "com.docker.compose.service=flash", engine.Image, "sh", "-c", "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done")
	}
	// The promise is 99; on a machine that is shared with others some more may be
	// gone before they are read.
	enough := func(v []element) bool { return len(v) == 1 && v[0].value >= 97 }
	// A record lasts for five minutes, and on a slow machine the last comes later.
	p.eventually(patience, `count(last_over_time(plimsoll_container_exit_cpu_seconds{name=~"flash.+", container_label_com_docker_compose_service="flash"}[1h]) > 0)`, enough)
	p.eventually(patience, `count(last_over_time(plimsoll_container_exit_code{name=~"flash.+"}[1h]) == 0)`, enough)
	truth, records := used(), p.value(`sum(last_over_time(plimsoll_container_exit_cpu_seconds{name=~"flash.+"}[1h]))`)
	service := p.value(`plimsoll_service_exited_cpu_seconds_total{container_label_com_docker_compose_service="flash"}`)
	increase := p.value(`sum(increase(container_cpu_usage_seconds_total{name=~"flash.+"}[1h]))`)
	t.Logf("%v records; the kernel counted %.2f s, records %.1f %%, their service %.1f %%, increase() of the series %.1f %%",
		p.value(`count(last_over_time(plimsoll_container_exit_cpu_seconds{name=~"flash.+"}[1h]))`), truth, 100*records/truth, 100*service/truth, 100*increase/truth)
	for what, got := range map[string]float64{"the records": records, "the service": service} {
		if got < 0.95*truth || got > 1.05*truth {
			t.Errorf("%s have %.2f s of %.2f s", what, got, truth)
		}
	}
}

func TestTheFirstKillOfAServiceIsSeenByAnAlert(t *testing.T) {
	e := engine.Start(t)
	p := up(t, "--docker.host="+e.Host())
	p.eventually(patience, `up{job="cadvisor"} == 1`, some)
	hungry := func(n int) {
		_, _ = e.Try("run", "--rm", "--name", fmt.Sprintf("hungry%d", n), "--memory", "16m", "--label", "com.docker.swarm.service.name=hungry",
			engine.Image, "sh", "-c", "x=a; while :; do x=$x$x; done")
	}
	hungry(0)
	p.eventually(patience, `increase(plimsoll_service_oom_kills_total{container_label_com_docker_swarm_service_name="hungry"}[1m]) > 0`, some)
	for i := range 19 {
		hungry(i + 1)
	}
	took := p.eventually(patience, `plimsoll_service_oom_kills_total{container_label_com_docker_swarm_service_name="hungry"}`,
		func(v []element) bool { return len(v) == 1 && v[0].value >= 19 })
	kills := p.value(`plimsoll_service_oom_kills_total{container_label_com_docker_swarm_service_name="hungry"}`)
	t.Logf("%v of 20 containers killed for want of memory counted, after %v", kills, took.Round(10*time.Millisecond))
	if kills > 20 {
		t.Errorf("%v kills of 20", kills)
	}
	if v := p.query(`plimsoll_service_exits_total{reason="oom", container_label_com_docker_swarm_service_name="hungry"}`); len(v) != 1 || v[0].value < 15 {
		t.Errorf("exits for want of memory: %v", v)
	}
	if log := p.logged(); strings.Contains(log, "panicked") {
		t.Error(log)
	}
}
