package agent

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/push"
	"github.com/plimsoll-io/plimsoll/agent/push/statsd"
	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

// pushNode is a node whose applications push.
type pushNode struct {
	t          *testing.T
	table      *push.Table
	feed       *push.Feed
	version    uint64
	containers []discover.Container
	source     Source
	tick       uint64
}

func newPushNode(t *testing.T) *pushNode {
	n := &pushNode{t: t, table: push.NewTable(push.Options{}), tick: 1}
	n.feed = n.table.Feed("test", 1e6, 1e6)
	var err error
	n.source, err = PushSource(PushOptions{
		Table:      n.table,
		Containers: func() (uint64, []discover.Container) { return n.version, n.containers },
		Labels:     []string{"team"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *pushNode) set(o push.Origin, v float64) {
	n.feed.Begin()
	defer n.feed.End()
	p, why := n.feed.From(o).Point(&push.Metric{Name: "level", Kind: push.Gauge, Held: true}, new(push.Labels))
	if why != 0 {
		n.t.Fatal(why)
	}
	p.Set(v)
}

// next is what the next tick has of level, and how many groups it ends.
func (n *pushNode) next() (samples []string, ended int) {
	var b sample.Batch
	b.Reset(n.tick, time.Time{})
	n.tick++
	if err := n.source.Collect(n.t.Context(), &b); err != nil {
		n.t.Fatal(err)
	}
	for name, v := range values(&b) {
		if strings.HasPrefix(name, "level") {
			samples = append(samples, name+" "+v)
		}
	}
	slices.Sort(samples)
	return samples, len(b.Ended)
}

func (n *pushNode) wants(what string, ended int, samples ...string) {
	n.t.Helper()
	got, gone := n.next()
	if diff := cmp.Diff(samples, got); diff != "" || gone != ended {
		n.t.Errorf("%s: %d groups end, want %d; %s", what, gone, ended, diff)
	}
}

func TestPushedSeriesCarryTheLabelsOfTheirContainer(t *testing.T) {
	n := newPushNode(t)
	n.containers = []discover.Container{{
		Cgroup: "/docker/" + trainID, ID: trainID, Runtime: "docker", Known: true, Name: "train", Image: "torch:2",
		Labels: map[string]string{"team": "blue", "other": "x"},
	}}
	n.set(push.Origin{Job: "statsd", Container: trainID}, 1)
	n.set(push.Origin{Job: "shop/cart", Instance: "i-1"}, 2)
	n.wants("the first tick", 0,
		`level{container_label_team="blue",id="/docker/`+trainID+`",image="torch:2",job="statsd",name="train"} 1`,
		`level{exported_instance="i-1",job="shop/cart"} 2`)

	n.containers, n.version = nil, 1
	n.set(push.Origin{Job: "statsd", Container: trainID}, 3)
	n.wants("the container has left", 1,
		`level{container_label_team="blue",id="/docker/`+trainID+`",image="torch:2",job="statsd",name="train"} 3`)
	n.wants("after that", 0)
}

func TestNoPushedSeriesHasALabelTwice(t *testing.T) {
	n := newPushNode(t)
	n.containers = []discover.Container{{
		Cgroup: "/kubepods/" + trainID, ID: trainID, Runtime: "containerd", Known: true, Name: "train", Image: "torch:2",
		Namespace: "ml", PodName: "train-0", PodUID: "u", ContainerName: "train", Labels: map[string]string{"team": "blue"},
	}}
	var own push.Labels
	for _, name := range []string{
		"job", "instance", "exported_instance", "id", "name", "image", "container", "pod", "namespace", "container_id", "container_label_team", "x",
	} {
		own.Add(name, name, "own")
	}
	for _, container := range []string{trainID, ""} {
		n.feed.Begin()
		p, why := n.feed.From(push.Origin{Job: "shop", Instance: "i-1", Container: container}).Point(&push.Metric{Name: "level", Kind: push.Gauge}, &own)
		if why != 0 {
			t.Fatal(why)
		}
		p.Set(1)
		n.feed.End()
	}
	var b sample.Batch
	if err := n.source.Collect(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	for _, c := range b.Columns {
		for i := 1; i < len(c.Group.Labels); i++ {
			if c.Group.Labels[i-1].Name == c.Group.Labels[i].Name {
				t.Errorf("%s twice in %v", c.Group.Labels[i].Name, c.Group.Labels)
			}
		}
	}
}

func TestASenderWaitsForItsContainerToBeNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newPushNode(t)
		nameless := discover.Container{Cgroup: "/docker/" + trainID, ID: trainID, Runtime: "docker"}
		n.set(push.Origin{Job: "statsd", Container: trainID}, 1)
		n.wants("before the container is there", 0)
		n.containers, n.version = []discover.Container{nameless}, 1
		n.wants("before it has its name", 0)
		named := nameless
		named.Known, named.Name = true, "train"
		n.containers, n.version = []discover.Container{named}, 2
		n.wants("with its name", 0, `level{id="/docker/`+trainID+`",job="statsd",name="train"} 1`)

		n.set(push.Origin{Job: "a", Container: "made-up"}, 5)
		n.wants("a container that may still come", 0)
		<-time.After(patience)
		n.wants("one that does not", 0, `level{container_id="made-up",job="a"} 5`)
		n.version++
		n.wants("whatever else changes", 0)
	})
}

func TestAProcessIsInTheContainerOfItsCgroup(t *testing.T) {
	proc := t.TempDir()
	for pid, lines := range map[int]string{
		10: "4:memory:/docker/" + trainID + "\n1:name=systemd:/docker/" + trainID + "\n0::/\n",
		11: "0::/system.slice/docker-" + serveID + ".scope\n",
		12: "0::/user.slice\n",
		13: "0::/../" + "docker-" + serveID + ".scope\n", // seen from a cgroup namespace
	} {
		dir := filepath.Join(proc, strconv.Itoa(pid))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup"), []byte(lines), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	owner := ProcessOwner(proc)
	for pid, want := range map[int]string{10: trainID, 11: serveID, 12: "", 13: serveID, 14: ""} {
		if got := owner(pid); got != want {
			t.Errorf("process %d is in %q, want %q", pid, got, want)
		}
	}
}

// The whole way: a process in a real container sends to the socket that is mounted
// into it, and what it sent carries the container's name until it is removed.
func TestWhatARealContainerSendsIsKnownToBeItsOwn(t *testing.T) {
	e := engine.Start(t)
	dir := t.TempDir()
	n := newPushNode(t)
	l, err := statsd.Listen(statsd.Options{Table: n.table, Address: "unix://" + dir + "/statsd.sock", Owner: ProcessOwner("")})
	if err != nil {
		t.Fatal(err)
	}
	w, err := discover.New(discover.Options{CgroupRoot: "/sys/fs/cgroup", DockerHost: e.Host()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- l.Run(ctx) }()
	go func() { ended <- w.Run(ctx) }()
	defer func() {
		stop()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}()
	n.source.(*pushSource).opts.Containers = w.Containers

	e.Docker("run", "-d", "--name", "sender", "-v", "/:/host", engine.Image, "chroot", "/host", "perl", "-MSocket", "-e", `
socket(my $s, PF_UNIX, SOCK_DGRAM, 0) or die $!;
select(undef, undef, undef, 0.1) until -e $ARGV[1];
while (1) {
	send($s, "level:7|g|#name:somebody-else", 0, pack_sockaddr_un($ARGV[0])) or die $!;
	select(undef, undef, undef, 0.1);
}`, dir+"/statsd.sock", dir+"/named")
	host, err := net.Dial("unixgram", dir+"/statsd.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	if _, err := host.Write([]byte("level:1|g")); err != nil {
		t.Fatal(err)
	}

	told, gone := map[string]bool{}, 0
	until := func(what string, done func() bool) {
		t.Helper()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for limit := time.Now().Add(30 * time.Second); !done(); <-tick.C {
			if time.Now().After(limit) {
				t.Fatalf("%s: not within 30 s, told %v; the container says %s", what, told, e.Docker("logs", "sender"))
			}
			samples, ended := n.next()
			gone += ended
			for _, s := range samples {
				told[s] = true
			}
		}
	}
	ofContainer := func() bool {
		for s := range told {
			if strings.HasPrefix(s, `level{exported_name="somebody-else",id="/docker/`) && strings.HasSuffix(s, `,image="`+engine.Image+`",job="statsd",name="sender"} 7`) {
				return true
			}
		}
		return false
	}
	until("the container's name", func() bool {
		_, list := n.source.(*pushSource).opts.Containers()
		return slices.ContainsFunc(list, func(c discover.Container) bool { return c.Name == "sender" })
	})
	// Only now does it send: what waits too long for a name has series without.
	if err := os.WriteFile(dir+"/named", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	until("the container's", ofContainer)
	until("that of a process in none", func() bool { return told[`level{job="statsd"} 1`] })
	if len(told) != 2 {
		t.Errorf("told %v", told)
	}
	e.Docker("rm", "--force", "sender")
	until("its end", func() bool { return gone == 1 })
}
