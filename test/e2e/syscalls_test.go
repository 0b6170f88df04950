//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The budget of system calls. Of a container of a hybrid tree the first lane
// reads three files at each tick, the second four at every fifth, the third some
// twenty at every fifteenth, the fourth two at every sixtieth: 5.2 at a tick. Its
// network and its processes, which are looked for, make it 5.9. On a machine that
// is shared, containers of others may come while it is counted.
const (
	readsPerContainer = 8.0
	callsPerContainer = 13.0 // 9.2 were seen, as the files of slow lanes are opened and closed
)

// counted is what strace counted over some ticks of an agent.
type counted struct {
	calls map[string]float64
	ticks float64
}

func (c counted) all() (n float64) {
	for _, calls := range c.calls {
		n += calls
	}
	return n
}

// reads are those of kernel files at each tick.
func (c counted) reads() float64 { return (c.calls["pread64"] + c.calls["read"]) / c.ticks }

// The cost of a tick grows with the containers and with nothing else. What
// cAdvisor does is to ask for each file system for each container.
func TestSystemCallsGrowWithContainersAndNotFaster(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	y := newYard(t)
	c := serve(t, "collector", "--data.path="+t.TempDir())
	// A busy machine would have some of them read each 100 ms.
	a := y.alone(nil, "--data.path="+t.TempDir(), "--collector.address="+c.grpc, "--docker.host=", "--interval=250ms", "--no-gpu", "--no-disk", "--burst.triggers=-1")
	const step = 20
	mounts := lines(t, "/proc/self/mountinfo")
	list := y.startMany(step)
	y.awaitFollowing(c, step)
	few := y.count(strace, c, a)
	list = append(list, y.startMany(step)...)
	y.awaitFollowing(c, 2*step)
	many := y.count(strace, c, a)
	endAll(list)

	each := (many.all()/many.ticks - few.all()/few.ticks) / step
	reads := (many.reads() - few.reads()) / step
	t.Logf("%d containers: %.1f calls a tick, %.1f of them reads; %d: %.1f, %.1f; so a container costs %.2f calls and %.2f reads",
		step, few.all()/few.ticks, few.reads(), 2*step, many.all()/many.ticks, many.reads(), each, reads)
	for name, n := range many.calls {
		t.Logf("%s: %.2f → %.2f a tick", name, few.calls[name]/few.ticks, n/many.ticks)
	}
	if reads > readsPerContainer {
		t.Errorf("%.2f reads for a container at a tick, budget %v", reads, readsPerContainer)
	}
	if reads < 3 {
		t.Errorf("%.2f reads for a container at a tick: so few cannot be", reads)
	}
	if each > callsPerContainer {
		t.Errorf("%.2f system calls for a container at a tick, budget %v", each, callsPerContainer)
	}
	if many.all()/many.ticks > 2.2*few.all()/few.ticks {
		t.Error("twice as many containers cost more than twice as much")
	}
	// Each file system is asked at every sixtieth tick. At every fifteenth procfs,
	// which reads some files for us, looks whether /proc is one, for each of them.
	const ofProcfs = 10
	for _, n := range []counted{few, many} {
		if most := float64(mounts)*(n.ticks/60+1) + ofProcfs*(n.ticks/15+1); n.calls["statfs"] > most {
			t.Errorf("%v times statfs in %v ticks, budget %.0f with %d mounts", n.calls["statfs"], n.ticks, most, mounts)
		}
	}
	if grown := many.calls["statfs"]/many.ticks - few.calls["statfs"]/few.ticks; grown*15 > float64(mounts) {
		t.Errorf("%.2f times statfs more a tick for %d containers", grown, step)
	}
}

// count has strace count over two rounds of all lanes. The collector is asked how
// far the agent is: to answer would cost the agent system calls.
func (y *yard) count(strace string, c, a *process) counted {
	y.t.Helper()
	report := filepath.Join(y.t.TempDir(), "calls")
	cmd := exec.Command(strace, "-f", "-c", "-o", report, "-p", strconv.Itoa(a.cmd.Process.Pid))
	said, err := cmd.StderrPipe()
	if err != nil {
		y.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		y.t.Fatal(err)
	}
	for s := bufio.NewScanner(said); s.Scan(); {
		if strings.Contains(s.Text(), "attached") {
			break
		}
	}
	const ticks = 120
	first := a.own("plimsoll_agent_ticks_total")
	c.eventually(3*time.Minute, fmt.Sprintf("plimsoll_agent_ticks_total >= %v", first+ticks), some)
	n := counted{map[string]float64{}, a.own("plimsoll_agent_ticks_total") - first}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		y.t.Fatal(err)
	}
	_ = cmd.Wait() // interrupted
	data, err := os.ReadFile(report)
	if err != nil {
		y.t.Fatal(err)
	}
	// % time     seconds  usecs/call     calls    errors syscall
	//  51.20    0.024718           5      4943           pread64
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 5 || f[len(f)-1] == "total" {
			continue
		}
		if calls, err := strconv.ParseFloat(f[3], 64); err == nil {
			n.calls[f[len(f)-1]] = calls
		}
	}
	if len(n.calls) == 0 || n.ticks <= 0 {
		y.t.Fatalf("strace counted nothing:\n%s", data)
	}
	for _, idle := range []string{"futex", "epoll_pwait", "nanosleep", "sched_yield", "rt_sigreturn", "getpid", "tgkill"} {
		delete(n.calls, idle) // of Go's scheduler and collector, which depend on how busy the machine is
	}
	return n
}

func lines(t *testing.T, file string) int {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(data), "\n")
}
