package main

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/agent/doctor"
	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

// deployment is an agent's container, as somebody deploys it who knows nothing of
// what it needs.
type deployment struct {
	engine  *engine.Engine
	program string   // static
	docker  []string // flags of docker run
	agent   []string // flags of the agent
}

// doctor runs doctor in the container that the deployment is by now.
func (d *deployment) doctor(t *testing.T) []doctor.Finding {
	t.Helper()
	// Its exit code is an error to docker run. What it wrote is the result.
	args := slices.Concat([]string{"run", "--rm", "-v", d.program + ":/plimsoll:ro"}, d.docker,
		[]string{engine.Image, "sh", "-c", `/plimsoll doctor -o json "$@"; code=$?; test $code = 0 -o $code = 3`, "sh"}, d.agent)
	var findings []doctor.Finding
	if err := json.Unmarshal([]byte(d.engine.Docker(args...)), &findings); err != nil {
		t.Fatal(err)
	}
	return findings
}

// apply adds what a remedy says, word by word, and returns false if it says
// nothing that is for a container.
func (d *deployment) apply(remedy string) (applied bool) {
	for line := range strings.Lines(remedy) {
		line = strings.TrimSpace(line)
		if flags, ok := strings.CutPrefix(line, "docker run "); ok {
			// The engine of the test has its socket elsewhere.
			flags = strings.Replace(flags, "-v /var/run/docker.sock:", "-v "+strings.TrimPrefix(d.engine.Host(), "unix://")+":", 1)
			d.docker = addFlags(d.docker, strings.Fields(flags))
			applied = true
		}
		if flags, ok := strings.CutPrefix(line, "plimsoll agent "); ok {
			d.agent = addFlags(d.agent, strings.Fields(flags))
		}
	}
	return applied
}

// addFlags adds flags, with their values, that are not there yet.
func addFlags(to, flags []string) []string {
	for len(flags) > 0 {
		n := 1
		if len(flags) > 1 && !strings.HasPrefix(flags[1], "-") {
			n = 2
		}
		if !strings.Contains(" "+strings.Join(to, " ")+" ", " "+strings.Join(flags[:n], " ")+" ") {
			to = append(to, flags[:n]...)
		}
		flags = flags[n:]
	}
	return to
}

// staticProgram builds the program as it is in an image.
func staticProgram(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "plimsoll")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// lacking are the findings that are ones, by source and check.
func lacking(findings []doctor.Finding) map[string]doctor.Finding {
	lack := map[string]doctor.Finding{}
	for _, f := range findings {
		if f.Found() {
			lack[f.Source+" "+f.Check] = f
		}
	}
	return lack
}

// mayGive tells whether this machine could give a container a capability.
func mayGive(number uintptr) bool {
	has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, number, 0, 0, 0)
	return err == nil && has == 1
}

// A container that is given nothing lacks nearly everything. With each remedy that
// is applied, word by word, the finding that it is for is gone; in the end there
// is nothing left that a container could be given.
func TestTheRemediesOfDoctorMakeItsFindingsVanish(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program and starts an engine")
	}
	e := engine.Start(t)
	d := &deployment{engine: e, program: staticProgram(t), agent: []string{}}
	// To look into one that may more than most takes more.
	e.Docker("run", "-d", "--name", "web", "--cap-add", "NET_ADMIN",
		"--label", "prometheus.io/scrape=true", "--label", "prometheus.io/port=80", engine.Image, "sleep", "1000")

	first := d.doctor(t)
	left := lacking(first)
	for _, name := range []string{
		"cgroup root", "cgroup files", "discover containers", "discover engine", "node proc", "host rootfs",
		"network processes", "disk layers", "exit pidfd", "exit priority", "scrape namespaces", "agent spool",
	} {
		if _, found := left[name]; !found {
			t.Errorf("a bare container lacks no %s", name)
		}
	}
	// What no container can be given: the machine's clock, a right that the machine
	// has not, names of containers of other engines that may run here, a collector
	// where there is none.
	hopeless := []string{"host clock", "discover containers", "discover files", "stream collector"}
	if !mayGive(unix.CAP_SYS_RESOURCE) {
		hopeless = append(hopeless, "burst triggers")
	}
	// In the order of its lines, as a reader does. One may come twice: what lies
	// behind a first obstacle shows when that is gone.
	for range 2 {
		for _, line := range first {
			source := line.Source + " " + line.Check
			f, lacks := left[source]
			if !lacks || slices.Contains(hopeless, source) || !d.apply(f.Remedy) {
				continue
			}
			left = lacking(d.doctor(t))
			t.Logf("%s: %s; now there remain %v", source, f.Remedy, slices.Sorted(maps.Keys(left)))
			if again, lacks := left[source]; lacks && again.Detail == f.Detail {
				t.Errorf("%s: %s\nremains with docker run %v, plimsoll agent %v", source, f.Detail, d.docker, d.agent)
			}
		}
	}
	for source, f := range left {
		if !slices.Contains(hopeless, source) {
			t.Errorf("left in the end: %+v", f)
		}
	}
	if flags := strings.Join(d.docker, " "); !strings.Contains(flags, "SYS_PTRACE") || !strings.Contains(flags, "SYS_ADMIN") {
		t.Errorf("both rights to enter the network of a container are needed, applied are %s", flags)
	}
}
