package doctor

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/node"
)

// write makes files, of which a name that ends in a slash is a directory.
func write(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// find looks with one check, after the survey if it is about containers.
func find(t *testing.T, source, name string, opts Options) Finding {
	t.Helper()
	opts.Limit = 5 * time.Second
	e := newExam(opts)
	if slices.Contains([]string{"cgroup", "discover", "network"}, source) {
		ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		defer cancel()
		e.survey(ctx)
	}
	for _, c := range checks() {
		if c.source == source && c.name == name {
			return c.run(t.Context(), e)
		}
	}
	t.Fatalf("there is no check %s %s", source, name)
	return Finding{}
}

// expect compares a finding with a status, a part of what was seen and one of the
// remedy.
func expect(t *testing.T, f Finding, status Status, seen, fix string) {
	t.Helper()
	if f.Status != status || !strings.Contains(f.Detail, seen) || !strings.Contains(f.Remedy, fix) {
		t.Errorf("found %+v\nwant %s, with %q seen and %q as remedy", f, status, seen, fix)
	}
	if f.Found() && (f.Loss == "" || f.Remedy == "" || f.Detail == "") {
		t.Errorf("a finding does not say all: %+v", f)
	}
}

func TestADirectoryThatIsNoProcOrSysIsNotTakenForOne(t *testing.T) {
	empty := t.TempDir()
	opts := Options{Roots: node.Roots{Proc: empty, Sys: empty}}
	expect(t, find(t, "node", "proc", opts), Missing, "no proc file system", "--path.procfs=/proc")
	expect(t, find(t, "node", "files", opts), Missing, "proc/stat", "--path.procfs")
	expect(t, find(t, "host", "sys", opts), Missing, "no sys file system", "--path.sysfs=/host/sys")
	expect(t, find(t, "host", "rootfs", Options{Roots: node.Roots{Root: empty}}), Missing, "not the root of the node", "--path.rootfs=/host")
}

// A node without pressure has no such folder.
func TestAKernelThatDoesNotAccountPressureIsTold(t *testing.T) {
	opts := Options{Roots: node.Roots{Proc: t.TempDir()}, Bursts: true}
	expect(t, find(t, "node", "pressure", opts), Missing, "cannot account pressure", "CONFIG_PSI")
	expect(t, find(t, "burst", "triggers", opts), Missing, "no such file", "CONFIG_PSI")
}

func TestACheckThatHangsOrPanicsIsAFinding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		e := newExam(Options{Limit: 5 * time.Second})
		stuck := check{"disk", "layers", "a loss", func(context.Context, *exam) Finding { <-over; return ok("") }}
		expect(t, stuck.run(t.Context(), e), Missing, "no answer within 5s", "find out what hangs")
		close(over)

		broken := check{"disk", "layers", "a loss", func(context.Context, *exam) Finding { panic("x") }}
		if f := broken.run(t.Context(), e); f.Status != Missing || f.Loss != "a loss" || !strings.Contains(f.Detail, "panicked: x") {
			t.Errorf("a panic is %+v", f)
		}
	})
}

func TestTheSpoolIsTriedAndNothingIsLeft(t *testing.T) {
	dir := t.TempDir()
	at := func(path string, size int64) Finding {
		return find(t, "agent", "spool", Options{DataPath: path, SpoolSize: size})
	}
	f := at(filepath.Join(dir, "not/made/yet"), 1<<20)
	if f.Status != OK && !strings.Contains(f.Detail, "in memory") { // where /tmp is
		t.Errorf("a directory that can be made: %+v", f)
	}
	expect(t, at(dir, 1<<60), Limited, "MiB left", "--spool.max-size=")
	expect(t, at("doctor.go", 1), Missing, "not a directory", "-v plimsoll:/data")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v is left, %v", entries, err)
	}
}

func TestAnAddressInUseIsTold(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := func(address string) Finding {
		return find(t, "agent", "listeners", Options{Listeners: []Listener{{"web.listen-address", "tcp", address}}})
	}
	expect(t, at(l.Addr().String()), Limited, "--web.listen-address=127.0.0.1:", "stop whoever listens")
	expect(t, at("192.0.2.1:80"), Missing, "cannot assign", "an address of this machine")
	expect(t, at("127.0.0.1:0"), OK, "1 free", "")
	expect(t, at(""), Off, "", "")
	udp := find(t, "agent", "listeners", Options{Listeners: []Listener{{"statsd.listen-address", "udp", "127.0.0.1:0"}, {"x", "udp", "unix:///no/such/s"}}})
	expect(t, udp, Missing, "write to /no/such", "directory of a socket")
}

func TestACollectorIsToldFromOtherServers(t *testing.T) {
	at := func(address string) Finding { return find(t, "stream", "collector", Options{Collector: address}) }
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer() // which has no service at all
	go func() { _ = s.Serve(l) }()
	defer s.Stop()
	expect(t, at(l.Addr().String()), OK, l.Addr().String(), "")

	secure := httptest.NewUnstartedServer(grpc.NewServer()) // with a certificate that nobody knows here
	secure.EnableHTTP2 = true
	secure.StartTLS()
	defer secure.Close()
	expect(t, at(secure.Listener.Addr().String()), OK, secure.Listener.Addr().String(), "")

	page := httptest.NewServer(http.NotFoundHandler())
	defer page.Close()
	expect(t, at(page.Listener.Addr().String()), Missing, "", "9901")
	expect(t, at("127.0.0.1:1"), Missing, "refused", "start a collector here")
	expect(t, at("no-such-host.invalid:9901"), Missing, "no-such-host", "resolve")
	expect(t, at(""), Off, "", "")
}

// A card on the bus is reason enough to want what reads it.
func TestAGPUThatCannotBeReadIsTold(t *testing.T) {
	sys := write(t, map[string]string{
		"bus/pci/devices/0000:3b:00.0/vendor": "0x10de\n", "bus/pci/devices/0000:3b:00.0/class": "0x030200\n",
		"bus/pci/devices/0000:3b:00.1/vendor": "0x10de\n", "bus/pci/devices/0000:3b:00.1/class": "0x040300\n", // its sound
	})
	with := Options{GPU: []string{asHelper}, Roots: node.Roots{Sys: sys, Proc: t.TempDir()}}
	f := find(t, "gpu", "nvml", with)
	if f.Status == OK {
		t.Skip("there is a GPU here")
	}
	expect(t, f, Missing, "1 NVIDIA GPUs on the bus", "node:")
	if !strings.Contains(f.Remedy, "--gpus all") && !strings.Contains(f.Remedy, "CGO_ENABLED=1") {
		t.Errorf("the remedy is %s", f.Remedy)
	}
	expect(t, find(t, "gpu", "nvml", Options{Roots: with.Roots}), Off, "--no-gpu", "")
	with.Roots.Sys = t.TempDir()
	if !there("/dev/nvidiactl") {
		expect(t, find(t, "gpu", "nvml", with), Off, "no sign of an NVIDIA GPU", "")
	}
}

func TestTextFilesAreReadAsTheAgentDoes(t *testing.T) {
	at := func(dir string) Finding { return find(t, "host", "textfile", Options{TextfileDir: dir}) }
	expect(t, at(""), Off, "", "")
	expect(t, at("/no/such"), Missing, "no such file", "-v /no/such:/no/such:ro")
	expect(t, at(write(t, map[string]string{"a.prom": "x 1\n"})), OK, "1 files", "")
	expect(t, at(write(t, map[string]string{"a.prom": "x y z\n"})), Limited, "a.prom", "correct the files")
}

// asUser runs doctor as somebody without rights but for some capabilities.
func asUser(t *testing.T, host string, capabilities ...uintptr) map[string]Finding {
	t.Helper()
	if os.Getuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("only root can become another user")
		}
		t.Skip("only root can become another user")
	}
	data, err := os.MkdirTemp("", "plimsoll-doctor-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(data) })
	const nobody = 65534
	if err := os.Chown(data, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", asDoctor, host, data)
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: capabilities}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var findings []Finding
	if err := json.Unmarshal(out, &findings); err != nil {
		t.Fatal(err)
	}
	found := map[string]Finding{}
	for _, f := range findings {
		found[f.Source+" "+f.Check] = f
	}
	return found
}

// What it says for systemd is proven here, for containers in cmd/plimsoll.
func TestAUserWithoutRightsIsToldWhichAndHasThemThen(t *testing.T) {
	host := serve(t, func(w http.ResponseWriter, _ *http.Request) {})
	socket := strings.TrimPrefix(host, "unix://")
	for path, mode := range map[string]os.FileMode{filepath.Dir(socket): 0o755, socket: 0o660} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	const group = 4711
	if err := os.Chown(socket, -1, group); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("only root can give a file away")
	}
	bare := asUser(t, host)
	expect(t, bare["discover engine"], Missing, "permission denied", "docker run --group-add 4711")
	for _, name := range []string{"cgroup root", "node proc", "node files", "agent spool"} {
		if f := bare[name]; f.Status == Missing {
			t.Errorf("every user can have what %s is about: %+v", name, f)
		}
	}
	expect(t, bare["exit priority"], Limited, "operation not permitted", "AmbientCapabilities=CAP_SYS_NICE")
	if f := asUser(t, "", unix.CAP_SYS_NICE)["exit priority"]; f.Status != OK {
		t.Errorf("with that capability: %+v", f)
	}
}

func TestTheOrderIsAlwaysTheSameAndEveryCheckSaysWhatIsLost(t *testing.T) {
	opts := Options{Discover: discover.Options{CgroupRoot: t.TempDir()}, Limit: 2 * time.Second}
	names := func() (all []string) {
		for _, f := range Run(t.Context(), opts) {
			all = append(all, f.Source+" "+f.Check)
		}
		return all
	}
	first := names()
	if second := names(); !slices.Equal(first, second) {
		t.Errorf("%v, then %v", first, second)
	}
	seen := map[string]bool{}
	for _, c := range checks() {
		if c.loss == "" || seen[c.source+c.name] {
			t.Errorf("check %s %s is not named once with its loss", c.source, c.name)
		}
		seen[c.source+c.name] = true
	}
}

func TestATableIsForPeople(t *testing.T) {
	findings := []Finding{
		{Source: "cgroup", Check: "root", Status: OK, Detail: "v2"},
		{
			Source: "network", Check: "processes", Status: Missing, Loss: "container_network_*",
			Detail: "none of the processes of 3 \x1b[31mcontainers can be seen", Remedy: hostPID().String(),
		},
		{Source: "exit", Check: "pidfd", Status: Limited, Loss: "a loss", Detail: "one line\n" + strings.TrimSpace(strings.Repeat("a detail ", 12)), Remedy: hostPID().String()},
		{Source: "gpu", Check: "nvml", Status: Off, Detail: "--no-gpu"},
	}
	var b strings.Builder
	if err := Write(&b, findings); err != nil {
		t.Fatal(err)
	}
	const want = `SOURCE              STATUS   WHAT YOU LOSE
cgroup root         ok       nothing: v2
network processes   missing  container_network_*
    seen: none of the processes of 3 ?[31mcontainers can be seen
    fix:  docker run --pid=host
    fix:  Kubernetes: hostPID: true
exit pidfd          limited  a loss
    seen: one line a detail a detail a detail a detail a detail a detail a detail a detail a detail
          a detail a detail a detail
    fix:  as for network processes
gpu nvml            off      nothing: --no-gpu
`
	if b.String() != want {
		t.Errorf("written\n%s\nwant\n%s", b.String(), want)
	}
}
