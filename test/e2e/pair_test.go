//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
	"github.com/plimsoll-io/plimsoll/internal/testkit/port"
	"github.com/plimsoll-io/plimsoll/internal/testkit/road"
)

// leaseTime is what pairs have here: the default.
const leaseTime = 4 * time.Second

// failOver is how soon the other leads on a machine that does nothing else, and
// what is waited for on one that does.
const (
	failOver     = leaseTime + 3*time.Second
	failOverWait = 5 * failOver
)

// pairPolicy makes one step in five seconds at most.
const pairPolicy = `version: plimsoll.scaler/v1
apps:
- name: web
  mode: active
  target: {driver: swarm, service: web}
  interval: 1s
  min: 1
  max: 3
  signals:
  - {name: cpu, type: track, source: cpu, kind: utilization, of: limit, target: 35%, window: 3s}
  out: {rate: [{replicas: 1, per: 5s}]}
  in: {window: 5s, rate: [{replicas: 1, per: 5s}]}
`

// member is one collector of a pair, the agents' way to it and its own to the
// engine.
type member struct {
	*process
	name   string
	agents *road.Road // by which agents reach it
	engine *gate
	args   []string
}

// newMember starts a collector, and both ways.
func newMember(t *testing.T, e *engine.Engine, name, policies string) *member {
	t.Helper()
	grpc := port.Free(t)
	m := &member{name: name, agents: road.New(t, grpc), engine: newGate(t, e)}
	m.args = []string{
		"collector", "--pair.name=" + name, "--pair.lease=" + leaseTime.String(), "--data.path=" + t.TempDir(),
		"--web.listen-address=" + port.Free(t), "--grpc.listen-address=" + grpc,
		"--scaler.swarm-host=" + m.engine.host, "--scaler.policy.file=" + policies,
	}
	m.start(t)
	return m
}

func (m *member) start(t *testing.T) {
	t.Helper()
	m.process = start(t, m.args...)
	m.url = m.waitLine(patience, "http://")
}

func (m *member) signal(sig syscall.Signal) {
	m.t.Helper()
	if err := m.cmd.Process.Signal(sig); err != nil {
		m.t.Fatal(err)
	}
}

// epoch is that of the lease that a collector holds, 0 if it holds none.
func (m *member) epoch() float64 {
	m.t.Helper()
	return m.metric("plimsoll_lease_epoch")
}

// leads waits until a collector does, and returns how long that took.
func (m *member) leads(limit time.Duration) time.Duration {
	m.t.Helper()
	took := wait(limit, func() bool { return m.epoch() > 0 })
	if took < 0 {
		m.t.Fatalf("%s does not lead within %v: %v of %v nodes are lent to it", m.name, limit,
			m.metric("plimsoll_lease_granted"), m.metric("plimsoll_lease_nodes"))
	}
	return took
}

// step is an entry of a journal.
type step struct {
	Mode, Result, Err string
	Since             time.Time
	Decision          struct{ From, To int }
}

// journal is what a collector has decided, from the oldest on.
func (m *member) journal() []step {
	m.t.Helper()
	var answer struct{ Data []step }
	if err := m.get("/api/plimsoll/v1/scaler/decisions?policy=web&limit=1000", &answer); err != nil {
		m.t.Fatal(err)
	}
	slices.Reverse(answer.Data)
	return answer.Data
}

// exactly waits for the leader, and sees to it that there is one. Whoever leads
// before and after the other was asked does so all the time.
func exactly(t *testing.T, a, b *member) (leader, other *member) {
	t.Helper()
	if wait(time.Minute, func() bool {
		before, beside, after := a.epoch(), b.epoch(), a.epoch()
		if beside > 0 && before > 0 && before == after {
			t.Fatalf("both lead, in epochs %v and %v", before, beside)
		}
		leader, other = a, b
		if beside > 0 {
			leader, other = b, a
		}
		return max(beside, after) > 0
	}) < 0 {
		t.Fatalf("nobody leads: %v and %v of %v nodes are lent", a.metric("plimsoll_lease_granted"), b.metric("plimsoll_lease_granted"), a.metric("plimsoll_lease_nodes"))
	}
	return leader, other
}

// write is a change of replicas that the engine has carried out.
type write struct {
	at       time.Time
	from, to int
}

func (w write) String() string {
	return fmt.Sprintf("%d→%d at %s", w.from, w.to, w.at.Format("15:04:05.0"))
}

// writes are those since a time, as the engine tells them.
func writes(t *testing.T, e *engine.Engine, since time.Time) (all []write) {
	t.Helper()
	out := e.Docker("events", "--since", fmt.Sprint(since.Unix()), "--until", fmt.Sprint(time.Now().Unix()+1),
		"--filter", "type=service", "--filter", "event=update", "--format", "{{json .}}")
	for line := range strings.Lines(out) {
		var event struct {
			TimeNano int64 `json:"timeNano"`
			Actor    struct{ Attributes map[string]string }
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatal(err)
		}
		from, none := strconv.Atoi(event.Actor.Attributes["replicas.old"])
		to, nor := strconv.Atoi(event.Actor.Attributes["replicas.new"])
		if none == nil && nor == nil {
			all = append(all, write{time.Unix(0, event.TimeNano), from, to})
		}
	}
	return all
}

// writtenUnder is the epoch that the service carries.
func writtenUnder(t *testing.T, e *engine.Engine) float64 {
	t.Helper()
	epoch, err := strconv.ParseFloat(e.Docker("service", "inspect", "-f", `{{index .Spec.Labels "io.plimsoll.epoch"}}`, "web"), 64)
	if err != nil {
		t.Fatal(err)
	}
	return epoch
}

func awaitReplicas(t *testing.T, e *engine.Engine, want string, by *member) {
	t.Helper()
	if wait(time.Minute, func() bool { return replicas(e) == want }) < 0 {
		t.Fatalf("%s replicas after a minute, want %s: %s", replicas(e), want, by.explain("web"))
	}
}

// One story: two collectors, three agents, and a service that grows and shrinks
// while the collectors come and go.
func TestOfAPairOneScalesAndEitherCanBeLost(t *testing.T) {
	y := newYard(t)
	e := engine.Start(t)
	e.Swarm()
	load := filepath.Join(t.TempDir(), "load")
	e.Service("web", []string{
		"--limit-cpu", "0.1", "--replicas", "1",
		"--mount", "type=bind,src=" + filepath.Dir(load) + ",dst=/load,readonly",
	},
		"sh", "-c", "while :; do if [ -e /load/load ]; then :; else sleep 1; fi; done")
	policies := filepath.Join(t.TempDir(), "policies.yml")
	if err := os.WriteFile(policies, []byte(pairPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	a, b := newMember(t, e, "a", policies), newMember(t, e, "b", policies)
	agent := func(node string, args ...string) []string {
		return append([]string{
			"--node.name=" + node, "--data.path=" + t.TempDir(), "--no-gpu", "--no-disk",
			"--collector.address=" + a.agents.Address, "--collector.address=" + b.agents.Address,
		}, args...)
	}
	alone(t, nil, agent("worker", "--docker.host="+e.Host())...)
	y.alone(nil, agent("second", "--docker.host=unix:///nonexistent")...)
	y.alone(nil, agent("third", "--docker.host=unix:///nonexistent")...)

	leader, other := exactly(t, a, b)
	t.Logf("%s leads %v after the start", leader.name, time.Since(began).Round(100*time.Millisecond))
	const used = `rate(container_cpu_usage_seconds_total{container_label_com_docker_swarm_service_name="web"}[5s])`
	leader.eventually(time.Minute, used, some)
	other.eventually(time.Minute, used, some)

	// One scales, the other watches.
	calm := touch(t, load)
	awaitReplicas(t, e, "2", leader)
	if last := other.journal(); len(last) == 0 || last[len(last)-1].Mode != "standby" {
		t.Errorf("the journal of %s, which does not lead, ends with %+v", other.name, last[max(0, len(last)-1):])
	}
	if under, epoch := writtenUnder(t, e), leader.epoch(); under != epoch {
		t.Errorf("the service was written under epoch %v, %s leads in %v", under, leader.name, epoch)
	}

	// The leader is lost, and the other goes on.
	killed, survivor := leader, other
	first := killed.epoch()
	killed.kill()
	lost := time.Now()
	took := survivor.leads(failOverWait)
	t.Logf("%s leads %v after %s was killed; %v on a quiet machine", survivor.name, took.Round(100*time.Millisecond), killed.name, failOver)
	if second := survivor.epoch(); second <= first {
		t.Errorf("epoch %v follows %v", second, first)
	}
	awaitReplicas(t, e, "3", survivor)

	// What was lost comes back, and gets what it missed.
	pause(time.Until(lost.Add(20 * time.Second)))
	killed.start(t)
	back := time.Now()
	window := fmt.Sprintf("[%ds] @ %d", int(back.Sub(lost).Seconds())+3, back.Unix())
	if wait(time.Minute, func() bool { return maps.Equal(agentsSeries(killed, window), agentsSeries(survivor, window)) }) < 0 {
		differ(t, agentsSeries(killed, window), agentsSeries(survivor, window))
	}
	same := agentsSeries(killed, window)
	t.Logf("%d series of agents are the same in both stores over %s, %v after its return", len(same), window, time.Since(back).Round(100*time.Millisecond))
	if len(same) < 300 {
		t.Errorf("only %d series of agents in the window of the outage", len(same))
	}

	// The leader is stopped while a write of it is on its way to the engine.
	leader, other = survivor, killed
	if wait(time.Minute, func() bool { return other.metric("plimsoll_lease_voters") == 3 }) < 0 {
		t.Fatalf("%v agents answer to %s", other.metric("plimsoll_lease_voters"), other.name)
	}
	arrived, release := leader.engine.hold()
	calm()
	select {
	case <-arrived:
	case <-time.After(time.Minute):
		t.Fatalf("nothing is scaled in a minute after the load: %s", leader.explain("web"))
	}
	leader.signal(syscall.SIGSTOP)
	stopped := time.Now()
	took = other.leads(failOverWait)
	t.Logf("%s leads %v after %s was stopped", other.name, took.Round(100*time.Millisecond), leader.name)
	awaitReplicas(t, e, "2", other)
	under := writtenUnder(t, e)
	pause(time.Until(stopped.Add(3 * leaseTime)))
	since := time.Now()
	answer := release()
	leader.signal(syscall.SIGCONT)
	if answer.status/100 == 2 {
		t.Errorf("the engine took a write that another has overtaken: %d %s", answer.status, answer.body)
	}
	t.Logf("the write that was held back: %d %s", answer.status, strings.TrimSpace(answer.body))
	if wait(time.Minute, func() bool {
		j := leader.journal()
		return len(j) > 0 && j[len(j)-1].Mode == "standby"
	}) < 0 {
		t.Errorf("%s does not come to know that it leads no longer", leader.name)
	}
	awaitReplicas(t, e, "1", other)
	for _, s := range leader.journal() {
		if s.Since.After(stopped) && s.Result == "accepted" {
			t.Errorf("%s wrote after it was stopped and another led: %+v", leader.name, s)
		}
	}
	if now := writtenUnder(t, e); now != under || now != other.epoch() {
		t.Errorf("the service is written under epoch %v, it was %v, and %s leads in %v", now, under, other.name, other.epoch())
	}
	t.Logf("writes after %s went on: %v", leader.name, writes(t, e, since))

	// The agents lose their way to the leader, though all of them live.
	leader, other = other, leader
	calm = touch(t, load)
	leader.agents.Cut()
	took = other.leads(failOverWait)
	t.Logf("%s leads %v after the agents lost %s", other.name, took.Round(100*time.Millisecond), leader.name)
	if epoch := leader.epoch(); epoch != 0 {
		t.Errorf("%s still leads, in epoch %v, and no agent can reach it", leader.name, epoch)
	}
	awaitReplicas(t, e, "2", other)
	calm()

	all := writes(t, e, began)
	t.Logf("all writes: %v", all)
	once(t, all, slices.Concat(a.journal(), b.journal()))
}

// once sees to it that no step was done twice: each that a journal has is one of
// the engine's, and one that adds replicas comes no sooner than policies allow.
func once(t *testing.T, all []write, journals []step) {
	t.Helper()
	accepted := map[[2]int]int{}
	for _, s := range journals {
		if s.Result == "accepted" {
			accepted[[2]int{s.Decision.From, s.Decision.To}]++
		}
	}
	done := map[[2]int]int{}
	var grown time.Time
	for _, w := range all {
		done[[2]int{w.from, w.to}]++
		if w.to-w.from > 1 || w.to > 3 {
			t.Errorf("a write from %d to %d, which no single leader makes", w.from, w.to)
		}
		if w.to > w.from {
			// They are timed where they are decided, and this machine is shared.
			if gap := w.at.Sub(grown); gap < 3*time.Second {
				t.Errorf("a second step from %d to %d within %v", w.from, w.to, gap)
			}
			grown = w.at
		}
	}
	for of, n := range accepted {
		if n > done[of] {
			t.Errorf("journals have %d writes from %d to %d, the engine %d", n, of[0], of[1], done[of])
		}
	}
}

// agentsSeries are the samples of all that agents have sent, as the API prints
// them: two floats that print alike are the same. What a collector says of nodes
// is its own: its metrics, its alerts, and when it had what on its disk.
func agentsSeries(m *member, window string) map[string]string {
	m.t.Helper()
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Values json.RawMessage
			}
		}
	}
	if err := m.get("/api/v1/query?query="+escape(`{node=~"worker|second|third",job!="plimsoll-collector",__name__!~"ALERTS.*|plimsoll_ingest_durable_seq"}`+window), &answer); err != nil {
		m.t.Fatal(err)
	}
	all := map[string]string{}
	for _, s := range answer.Data.Result {
		all[fmt.Sprint(s.Metric)] = string(s.Values)
	}
	return all
}

// differ tells in which series two stores do.
func differ(t *testing.T, one, two map[string]string) {
	t.Helper()
	n := 0
	for _, series := range slices.Sorted(maps.Keys(one)) {
		if two[series] != one[series] {
			if n++; n <= 5 {
				t.Errorf("%s:\n%s\n%s", series, one[series], two[series])
			}
		}
	}
	for series := range two {
		if _, ok := one[series]; !ok {
			if n++; n <= 10 {
				t.Errorf("only the one that stayed has %s", series)
			}
		}
	}
	t.Fatalf("%d of %d and %d series differ", n, len(one), len(two))
}

// gate is the way of a collector to the engine, on which a write can be held.
type gate struct {
	host string

	mu      sync.Mutex
	arrived chan struct{} // nil unless the next write is to be held
	release chan struct{}
	answer  chan reply
}

type reply struct {
	status int
	body   string
}

func newGate(t *testing.T, e *engine.Engine) *gate {
	t.Helper()
	dir, err := os.MkdirTemp("", "plimsoll-gate-") // a socket's path has room for 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{host: "unix://" + filepath.Join(dir, "s")}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "engine"})
	proxy.FlushInterval = -1
	proxy.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(e.Host(), "unix://"))
	}}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.pass(proxy, w, r) })}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
		_ = os.RemoveAll(dir)
	})
	return g
}

func (g *gate) pass(to http.Handler, w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/update") {
		to.ServeHTTP(w, r)
		return
	}
	g.mu.Lock()
	arrived, release, answer := g.arrived, g.release, g.answer
	g.arrived = nil
	g.mu.Unlock()
	if arrived == nil {
		to.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	close(arrived)
	<-release
	r = r.WithContext(context.WithoutCancel(r.Context())) // it is on its way, whoever waits for the answer
	r.Body = io.NopCloser(bytes.NewReader(body))
	copied := &copied{ResponseWriter: w, reply: reply{status: http.StatusOK}}
	to.ServeHTTP(copied, r)
	answer <- copied.reply
}

// hold keeps the next write back until release is called, which returns what the
// engine says to it.
func (g *gate) hold() (arrived <-chan struct{}, release func() reply) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.arrived, g.release, g.answer = make(chan struct{}), make(chan struct{}), make(chan reply, 1)
	open, answer := g.release, g.answer
	return g.arrived, func() reply {
		close(open)
		return <-answer
	}
}

// copied notes what is answered.
type copied struct {
	http.ResponseWriter
	reply
}

func (c *copied) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *copied) Write(b []byte) (int, error) {
	c.body += string(b)
	return c.ResponseWriter.Write(b)
}
