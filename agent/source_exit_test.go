package agent

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/exit"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// ends feeds an exit source with what a test says.
type ends struct {
	t       testing.TB
	source  Source
	batch   sample.Batch
	tick    uint64
	version uint64
	list    []discover.Container
	records []exit.Record
	kills   []exit.Kills
	stats   exit.Stats
}

func newEnds(t testing.TB) *ends {
	t.Helper()
	e := &ends{t: t, version: 1}
	var err error
	e.source, err = ExitSource(ExitOptions{
		Containers: func() (uint64, []discover.Container) { return e.version, e.list },
		Records: func(n uint64) ([]exit.Record, uint64) {
			return e.records[min(n, uint64(len(e.records))):], uint64(len(e.records))
		},
		Kills: func(dst []exit.Kills) []exit.Kills { return append(dst, e.kills...) },
		Stats: func() exit.Stats { return e.stats },
		Lanes: Lanes{First: 1, Second: 5, Third: 15, Fourth: 60},
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// collect is a tick, a second after the last.
func (e *ends) collect() map[string]string {
	e.t.Helper()
	e.batch.Reset(e.tick, time.Unix(1_800_000_000+int64(e.tick), 0))
	e.tick++
	if err := e.source.Collect(e.t.Context(), &e.batch); err != nil {
		e.t.Fatal(err)
	}
	return values(&e.batch)
}

func (e *ends) live(list ...discover.Container) {
	e.version++
	e.list = list
}

func opt[T any](v T) cgroup.Opt[T] { return cgroup.Opt[T]{V: v, OK: true} }

// replica is a container of a service of Swarm.
func replica(n int, service string) discover.Container {
	return discover.Container{
		Cgroup: fmt.Sprintf("/docker/%064d", n), Runtime: "docker", ID: fmt.Sprintf("%064d", n),
		Known: true, Name: fmt.Sprintf("%s.%d", service, n), Image: "shop:1",
		Labels: map[string]string{"com.docker.swarm.service.name": service},
	}
}

// ended is a record of a container that used 250 ms and wrote 3 kB.
func ended(life uint64, c discover.Container, code int) exit.Record {
	return exit.Record{
		Life: life, Container: c, Ended: time.Unix(1_800_000_000, 5e8), Complete: true,
		CPU:       cgroup.CPU{Usage: opt[cgroup.Nanoseconds](250e6), User: opt[cgroup.Nanoseconds](150e6), System: opt[cgroup.Nanoseconds](100e6)},
		PeakBytes: opt[uint64](5 << 20), OOMKills: opt[uint64](0), Code: opt(code),
		IO: []cgroup.DeviceIO{{WriteBytes: opt[uint64](1000)}, {WriteBytes: opt[uint64](2000)}},
	}
}

const webService = `{container_label_com_docker_swarm_service_name="web",job="cadvisor",service="web"}`

func webExits(reason string) string {
	return `plimsoll_service_exits_total{container_label_com_docker_swarm_service_name="web",job="cadvisor",reason="` + reason + `",service="web"}`
}

func TestWhatAContainerUsedIsToldOfItAndOfItsService(t *testing.T) {
	e := newEnds(t)
	e.stats = exit.Stats{Followed: 3, Ends: 1, Priority: exit.Nice}
	e.live(replica(1, "web"), replica(2, "web"))
	e.collect()
	e.records = append(e.records, ended(2, replica(1, "web"), 3))
	e.live(replica(2, "web"))
	for range 15 {
		e.collect() // the last one is in everything's turn
	}
	golden(t, "golden_exit.prom", exposition(&e.batch))
}

func TestAServiceIsThereAtZeroBeforeAnythingHappensToIt(t *testing.T) {
	e := newEnds(t)
	e.live(replica(1, "web"))
	got := e.collect()
	for _, series := range []string{"plimsoll_service_oom_kills_total" + webService, "plimsoll_service_exited_cpu_seconds_total" + webService, webExits("oom"), webExits("unknown")} {
		if got[series] != "0" {
			t.Errorf("%s is %q, want 0", series, got[series])
		}
	}
}

// A counter that begins with 1 has never grown, as far as increase() can tell.
func TestAServiceWhoseFirstContainerWasNeverSeenBeginsAtZeroToo(t *testing.T) {
	e := newEnds(t)
	e.collect()
	r := ended(2, replica(1, "web"), 137)
	r.OOMKills = opt[uint64](1)
	e.records = append(e.records, r)
	first, second := e.collect(), e.collect()
	for _, series := range []string{"plimsoll_service_oom_kills_total" + webService, webExits("oom")} {
		if first[series] != "0" || second[series] != "1" {
			t.Errorf("%s is %q, then %q, want 0, then 1", series, first[series], second[series])
		}
	}
}

func TestKillsCountWhileTheContainerLivesAndNotAgainAtItsEnd(t *testing.T) {
	const series = "plimsoll_service_oom_kills_total" + webService
	e := newEnds(t)
	e.live(replica(1, "web"))
	e.collect()
	e.kills = []exit.Kills{{Life: 2, Cgroup: replica(1, "web").Cgroup, N: 1}}
	if got := e.collect()[series]; got != "1" {
		t.Errorf("%s kills after the first, want 1", got)
	}
	e.kills[0].N = 3
	if got := e.collect()[series]; got != "3" {
		t.Errorf("%s kills after two more, want 3", got)
	}
	e.kills = nil
	r := ended(2, replica(1, "web"), 137)
	r.OOMKills, r.KilledBefore = opt[uint64](9), 5 // one more, and five that were before it was noticed
	e.records = append(e.records, r)
	if got := e.collect()[series]; got != "4" {
		t.Errorf("%s kills after the last, want 4", got)
	}
}

func TestKillsInANamelessContainerAreCountedOnceItHasItsName(t *testing.T) {
	e := newEnds(t)
	nameless := replica(1, "web")
	nameless.Known, nameless.Name, nameless.Image, nameless.Labels = false, "", "", nil
	e.live(nameless, replica(2, "web"))
	e.kills = []exit.Kills{{Life: 2, Cgroup: nameless.Cgroup, N: 1}}
	e.collect()
	e.live(replica(1, "web"), replica(2, "web"))
	if got := e.collect()["plimsoll_service_oom_kills_total"+webService]; got != "1" {
		t.Errorf("%s kills, want 1", got)
	}
}

func TestReasonsOfAnEnd(t *testing.T) {
	tests := map[string]struct {
		code  cgroup.Opt[int]
		kills uint64
		want  string
	}{
		"code 0":                    {opt(0), 0, "completed"},
		"another code":              {opt(1), 0, "error"},
		"a stop":                    {opt(143), 0, "signal"},
		"a kill from outside":       {opt(137), 0, "signal"},
		"a kill for want of memory": {opt(137), 1, "oom"},
		"a code of its own after a child was killed": {opt(1), 1, "error"},
		"nobody told": {cgroup.Opt[int]{}, 1, "unknown"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := newEnds(t)
			e.live(replica(1, "web"))
			e.collect()
			r := ended(2, replica(1, "web"), 0)
			r.Code, r.OOMKills = tt.code, opt(tt.kills)
			e.records = append(e.records, r)
			got := e.collect()
			for _, reason := range []string{"completed", "error", "signal", "oom", "unknown"} {
				want := "0"
				if reason == tt.want {
					want = "1"
				}
				if got[webExits(reason)] != want {
					t.Errorf("%s exits for reason %s, want %s", got[webExits(reason)], reason, want)
				}
			}
		})
	}
}

func TestWhatIsUnknownOfAnEndIsNotTold(t *testing.T) {
	e := newEnds(t)
	e.records = append(e.records, exit.Record{Life: 2, Container: replica(1, "web"), Ended: time.Unix(1_800_000_000, 0)})
	e.collect()
	names := make(map[string]bool)
	for _, c := range e.batch.Columns {
		for i, v := range c.Values {
			if !sample.IsAbsent(v) {
				names[c.Group.Series[i].Metric.Name] = true
			}
		}
	}
	for _, unknown := range []string{"cpu_seconds", "memory_peak_bytes", "oom_kills", "code", "read_bytes"} {
		if names["plimsoll_container_exit_"+unknown] {
			t.Errorf("there is a plimsoll_container_exit_%s that nobody knows", unknown)
		}
	}
	if !names["plimsoll_container_exit_complete"] || !names["plimsoll_container_exit_time_seconds"] {
		t.Error("the end itself is not told of")
	}
}

func TestAnEndIsToldOfForFiveMinutesAndThenNoMore(t *testing.T) {
	e := newEnds(t)
	c := replica(1, "web")
	series := `plimsoll_container_exit_code{container_label_com_docker_swarm_service_name="web",id="` + c.Cgroup + `",image="shop:1",job="cadvisor",name="web.1"}`
	e.records = append(e.records, ended(2, c, 3))
	told, since := 0, 0
	for tick := range 400 {
		if got, ok := e.collect()[series]; ok {
			if got != "3" {
				t.Fatalf("code %s, want 3", got)
			}
			if since > 15 {
				t.Errorf("%d ticks without a word", since)
			}
			told, since = tick, 0
			continue
		}
		since++
	}
	if told < 285 || told >= 300 {
		t.Errorf("told of until tick %d, want until some before 300", told)
	}
}

func TestASecondEndTakesThePlaceOfTheFirst(t *testing.T) {
	e := newEnds(t)
	c := replica(1, "web")
	e.records = append(e.records, ended(2, c, 3))
	e.collect()
	e.records = append(e.records, ended(3, c, 0), ended(4, c, 4))
	got := e.collect()
	series := `plimsoll_container_exit_code{container_label_com_docker_swarm_service_name="web",id="` + c.Cgroup + `",image="shop:1",job="cadvisor",name="web.1"}`
	if got[series] != "4" || len(e.batch.Ended) > 0 {
		t.Errorf("code %s, want 4 in the same series; %d ended", got[series], len(e.batch.Ended))
	}
}

func TestServicesByTheirLabels(t *testing.T) {
	tests := map[string]struct {
		c    discover.Container
		want string
	}{
		"Swarm": {
			discover.Container{Image: "a", Labels: map[string]string{"com.docker.swarm.service.name": "shop_web", "com.docker.stack.namespace": "shop"}},
			`{container_label_com_docker_stack_namespace="shop",container_label_com_docker_swarm_service_name="shop_web",job="cadvisor",service="shop_web"}`,
		},
		"Compose": {
			discover.Container{Image: "a", Labels: map[string]string{"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}},
			`{container_label_com_docker_compose_project="shop",container_label_com_docker_compose_service="web",job="cadvisor",service="shop/web"}`,
		},
		"Kubernetes": {
			discover.Container{Image: "a", PodUID: "u", Namespace: "shop", PodName: "web-0", ContainerName: "web"},
			`{container="web",job="cadvisor",namespace="shop",service="shop/web"}`,
		},
		"an image": {
			discover.Container{Image: "shop:1", Name: "jolly_knuth"},
			`{image="shop:1",job="cadvisor",service="shop:1"}`,
		},
		"nobody knows": {discover.Container{}, `{job="cadvisor"}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNaming(DefaultContainerLabels())
			if got := labels(serviceLabels(&tt.c, &n)); got != tt.want {
				t.Errorf("labels %s, want %s", got, tt.want)
			}
		})
	}
}

// Hostile or just many: each has a service of its own.
func TestTooManyServicesGiveWayToLaterOnes(t *testing.T) {
	e := newEnds(t)
	e.live(replica(1, "web")) // which has a container and stays
	groups := make(map[*sample.Group]bool)
	for n := range 4 * maxServices {
		e.records = append(e.records, ended(uint64(n+2), replica(n+2, fmt.Sprint("s", n)), 0))
		if n%500 != 0 {
			continue
		}
		e.collect()
		for _, c := range e.batch.Columns {
			groups[c.Group] = true
		}
		for _, g := range e.batch.Ended {
			if !groups[g] {
				t.Fatal("a series ended that never was, or twice")
			}
			delete(groups, g)
		}
	}
	s := e.source.(*exitSource)
	if n := len(s.services.list); n > maxServices || len(s.services.rows) != n || s.services.dropped == 0 {
		t.Errorf("%d services, %d by key, %d gave way", n, len(s.services.rows), s.services.dropped)
	}
	if n := len(s.ended.list); n > maxEnded || len(s.ended.byPath) != n || s.ended.dropped == 0 {
		t.Errorf("%d ended containers, %d by path, %d gave way", n, len(s.ended.byPath), s.ended.dropped)
	}
	if !slices.ContainsFunc(s.services.list, func(row *service) bool { return row.containers == 1 }) {
		t.Error("the service that has a container gave way")
	}
}

func TestAServiceWithoutContainersIsForgottenAfterAnHour(t *testing.T) {
	e := newEnds(t)
	e.live(replica(1, "web"))
	e.collect()
	e.live()
	e.collect()
	for range 3600 {
		e.collect()
	}
	if n := len(e.source.(*exitSource).services.list); n != 0 {
		t.Errorf("%d services after an hour", n)
	}
}

func TestRecordsThatCameTooFastAreCounted(t *testing.T) {
	e := newEnds(t)
	s := e.source.(*exitSource)
	s.opts.Records = func(uint64) ([]exit.Record, uint64) { return []exit.Record{ended(9, replica(1, "web"), 0)}, 8 }
	e.collect()
	if s.missed != 7 {
		t.Errorf("%d missed, want 7", s.missed)
	}
}

func TestWhileNothingEndsATickAllocatesNothing(t *testing.T) {
	e := newEnds(t)
	for n := range 50 {
		e.list = append(e.list, replica(n, fmt.Sprint("s", n%10)))
		e.records = append(e.records, ended(uint64(n+2), replica(n+100, fmt.Sprint("s", n%10)), 0))
	}
	e.kills = []exit.Kills{{Life: 2, Cgroup: e.list[0].Cgroup, N: 1}}
	tick := func() {
		e.batch.Reset(e.tick, time.Unix(1_800_000_000+int64(e.tick), 0))
		e.tick++
		if err := e.source.Collect(t.Context(), &e.batch); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		tick()
	}
	if n := testing.AllocsPerRun(100, tick); n != 0 {
		t.Errorf("%v allocations per tick", n)
	}
}
