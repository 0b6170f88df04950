package alerting

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// process is a program that is measured or helps to.
type process struct {
	b    *testing.B
	cmd  *exec.Cmd
	said said
	done chan struct{}
}

// said is what a process has written.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// start runs a program until the benchmark ends.
func start(b *testing.B, args ...string) *process {
	b.Helper()
	p := &process{b: b, cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	must(b, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	b.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// ready waits until a server takes requests.
func (p *process) ready(address string) {
	p.b.Helper()
	for late := time.After(2 * time.Minute); ; <-time.After(50 * time.Millisecond) {
		if resp, err := http.Get("http://" + address + "/-/ready"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-p.done:
			p.b.Fatalf("%v ended\n%s", p.cmd.Args, p.said.String())
		case <-late:
			p.b.Fatalf("%v is not ready\n%s", p.cmd.Args, p.said.String())
		default:
		}
	}
}

// cpu is the processor time it has used, by clock_gettime(2) on its clock as
// clock_getcpuclockid(3) makes it.
func (p *process) cpu() time.Duration {
	p.b.Helper()
	var used unix.Timespec
	must(p.b, unix.ClockGettime(int32(^p.cmd.Process.Pid<<3|2), &used))
	return time.Duration(used.Nano())
}

// memory is what is resident, now and at most so far, in MB of 10^6 bytes.
func (p *process) memory() (now, most float64) {
	p.b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	must(p.b, err)
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, _ := strconv.ParseFloat(f[1], 64)
		switch f[0] {
		case "VmRSS:":
			now = kib * 1024 / 1e6
		case "VmHWM:":
			most = kib * 1024 / 1e6
		}
	}
	return now, most
}
