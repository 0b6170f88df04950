package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

// networkEngine is a network source on the containers of a real engine.
type networkEngine struct {
	*networkTree
	*engine.Engine
	t testing.TB
}

func newNetworkEngine(t *testing.T, opts ...engine.Option) *networkEngine {
	t.Helper()
	d := &networkEngine{t: t, Engine: engine.Start(t, opts...)}
	d.networkTree = newNetworkTree(t)
	d.source.Close()
	d.groups = "/sys/fs/cgroup"
	d.networkTree.open(NetworkOptions{Lanes: Lanes{First: 1, Second: 1, Third: 1, Fourth: 1}})
	return d
}

// run starts a container.
func (d *networkEngine) run(name string, flags ...string) {
	d.t.Helper()
	args := append([]string{"run", "--detach", "--name", name}, flags...)
	id := d.Docker(append(args, engine.Image, "sleep", "1000")...)
	d.list = append(d.list, discover.Container{Cgroup: networkCgroup(d.t, d.pid(name)), Runtime: "docker", ID: id, Known: true, Name: name})
	d.version++
}

func (d *networkEngine) pid(name string) string {
	d.t.Helper()
	return d.Docker("inspect", "--format", "{{.State.Pid}}", name)
}

// gone is what discovery says when a container has ended.
func (d *networkEngine) gone(name string) {
	for i := range d.list {
		if d.list[i].Name == name {
			d.list = append(d.list[:i:i], d.list[i+1:]...)
			d.version++
			return
		}
	}
}

func networkCgroup(t testing.TB, pid string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", pid, "cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if owner, ok := discover.Owner(strings.TrimSpace(line[strings.LastIndex(line, ":")+1:])); ok {
			return owner.Cgroup
		}
	}
	t.Fatalf("process %s is in no container: %s", pid, data)
	return ""
}

// networkWithin runs a command in the network of a process.
func networkWithin(t testing.TB, pid, command string) string {
	t.Helper()
	args := append([]string{"--net=/proc/" + pid + "/ns/net"}, strings.Fields(command)...)
	out, err := exec.Command("nsenter", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
	return string(out)
}

// networkLinks are the counters of the interfaces in the network of a process by the
// names of our metrics, as ip(8) shows them.
func networkLinks(t testing.TB, pid string) map[int]map[string]uint64 {
	t.Helper()
	var all []struct {
		Index int `json:"ifindex"`
		Stats struct {
			RX, TX struct{ Bytes, Packets, Errors, Dropped uint64 }
		} `json:"stats64"`
	}
	if err := json.Unmarshal([]byte(networkWithin(t, pid, "ip -stats -json link")), &all); err != nil {
		t.Fatal(err)
	}
	by := make(map[int]map[string]uint64)
	for _, l := range all {
		by[l.Index] = map[string]uint64{
			"receive_bytes": l.Stats.RX.Bytes, "receive_packets": l.Stats.RX.Packets,
			"transmit_bytes": l.Stats.TX.Bytes, "transmit_packets": l.Stats.TX.Packets,
		}
	}
	return by
}

func networkEventually(t testing.TB, ask func() error) {
	t.Helper()
	limit := time.After(20 * time.Second)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-limit:
			t.Fatal(err)
		}
	}
}

func TestAContainersTrafficIsThatOfItsOuterEndTheOtherWayRound(t *testing.T) {
	d := newNetworkEngine(t)
	d.run("web")
	d.Docker("exec", "web", "ping", "-c", "10", "-i", "0.1", "-s", "500", networkGateway(d, "web"))
	outer, err := strconv.Atoi(d.Docker("exec", "web", "cat", "/sys/class/net/eth0/iflink"))
	if err != nil {
		t.Fatal(err)
	}
	networkEventually(t, func() error { // the kernel of each end says hello now and then
		end := networkLinks(t, strconv.Itoa(d.Pid()))[outer]
		got := d.pass()
		for metric, of := range map[string]string{
			"receive_bytes": "transmit_bytes", "receive_packets": "transmit_packets",
			"transmit_bytes": "receive_bytes", "transmit_packets": "receive_packets",
		} {
			have := networkValue(got, "container_network_"+metric+"_total", `interface="eth0"`, `name="web"`)
			if want := fmt.Sprint(end[of]); have != want {
				return fmt.Errorf("%s is %s, the outer end has %s %s", metric, have, of, want)
			}
		}
		if end["transmit_bytes"] < 10*500 {
			t.Fatal("there was no traffic: the test does not test")
		}
		wantNetworkCarriers(t, got, "web")
		want(t, got, "1", "plimsoll_container_network_mode", `mode="own"`)
		return nil
	})
}

// networkValue is the one value of a series, or all there are.
func networkValue(got map[string]string, metric string, with ...string) string {
	return strings.Join(of(got, metric, with...), ",")
}

func networkGateway(d *networkEngine, name string) string {
	return d.Docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}", name)
}

func TestTheHostsNetworkIsNoContainers(t *testing.T) {
	d := newNetworkEngine(t, engine.HostNetwork())
	d.run("exporter", "--network", "host")
	d.run("batch", "--network", "none")
	got := d.pass()
	wantNetworkCarriers(t, got)
	want(t, got, "1", "plimsoll_container_network_mode", `name="exporter"`, `mode="host"`)
	want(t, got, "1", "plimsoll_container_network_mode", `name="batch"`, `mode="none"`)
	want(t, got, "", "container_sockets", `name="exporter"`)
	if n := networkValue(got, "container_sockets", `name="batch"`); n != "0" && n != "1" { // the engine may keep one inside
		t.Errorf("%q sockets in a network of nobody", n)
	}
}

func TestASharedNetworkCountsOnce(t *testing.T) {
	d := newNetworkEngine(t)
	d.run("web")
	d.run("sidecar", "--network", "container:web")
	d.list[0], d.list[1] = d.list[1], d.list[0]
	got := d.pass()
	wantNetworkCarriers(t, got, "web")
	want(t, got, "1", "plimsoll_container_network_mode", `name="web"`, `mode="own"`)
	want(t, got, "1", "plimsoll_container_network_mode", `name="sidecar"`, `mode="shared"`)

	d.Docker("rm", "--force", "web") // takes eth0 along
	d.gone("web")
	got = d.lane(2)
	wantNetworkCarriers(t, got)
	want(t, got, "1", "plimsoll_container_network_mode", `name="sidecar"`, `mode="none"`)
}

// The other end of a pair of interfaces goes with the network that one end is in,
// and with nothing else that the engine does.
func TestARemovedContainersNetworkIsGone(t *testing.T) {
	d := newNetworkEngine(t)
	witness := exec.Command("sleep", "1000")
	witness.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := witness.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = witness.Process.Kill()
		_ = witness.Wait()
	})
	pid := strconv.Itoa(witness.Process.Pid)
	d.run("web")
	networkWithin(t, d.pid("web"), "ip link add near0 type veth peer name far0 netns "+pid)
	for range 3 {
		wantNetworkCarriers(t, d.pass(), "web")
	}
	d.Docker("rm", "--force", "web")
	networkEventually(t, func() error {
		if left := networkLinks(t, pid); len(left) > 1 {
			return fmt.Errorf("the network is held: %v", left)
		}
		return nil
	})
	wantNetworkCarriers(t, d.pass()) // nor does its loopback pass for it
}

// BenchmarkNetwork is what a reading of a container's network costs, its share
// of the other lanes included.
func BenchmarkNetwork(b *testing.B) {
	if os.Getuid() != 0 {
		b.Skip("only root may make network namespaces")
	}
	const containers, ticks = 20, 15
	l := newNetworkTree(b)
	l.source.Close()
	inside := func() int { // a network of its own
		cmd := exec.Command("sleep", "1000")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		return cmd.Process.Pid
	}
	outer := inside()
	for i := range containers {
		pid, name := inside(), strconv.Itoa(i)
		networkWithin(b, strconv.Itoa(pid), "ip link add eth0 type veth peer name outer"+name+" netns "+strconv.Itoa(outer))
		l.container(name, pid)
	}
	l.open(NetworkOptions{})
	round := func() {
		for range ticks {
			l.batch.Reset(l.tick, time.Unix(int64(l.tick), 0))
			l.tick++
			if err := l.source.Collect(b.Context(), &l.batch); err != nil {
				b.Fatal(err)
			}
		}
	}
	round()
	b.ReportAllocs()
	for b.Loop() {
		round()
	}
	readings := b.N * containers * ticks / 5
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(readings), "ns/reading")
}
