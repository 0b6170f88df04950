package ingest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// process is a program that is measured or helps to.
type process struct {
	b    *testing.B
	cmd  *exec.Cmd
	said bytes.Buffer // on standard error; and on standard output, if that is not out
	in   io.WriteCloser
	out  *bufio.Reader
	done chan struct{}
}

// start runs a program. talks says that it is spoken with.
func start(b *testing.B, talks bool, args ...string) *process {
	b.Helper()
	p := &process{b: b, cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{})}
	p.cmd.Stderr = &p.said
	var out io.ReadCloser
	if talks {
		var err, err2 error
		p.in, err = p.cmd.StdinPipe()
		out, err2 = p.cmd.StdoutPipe()
		must(b, err)
		must(b, err2)
		p.out = bufio.NewReader(out)
	} else {
		p.cmd.Stdout = &p.said
	}
	must(b, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	b.Cleanup(p.kill)
	return p
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// stop lets it end by itself.
func (p *process) stop() {
	if p.in != nil {
		_ = p.in.Close()
	} else {
		_ = p.cmd.Process.Signal(os.Interrupt)
	}
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.b.Errorf("%s does not end", p.cmd.Args[0])
		p.kill()
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// report is what a load generator says it has sent so far.
type report struct {
	Samples        int
	Sent, Answered int64
}

// hear is the next report of a load generator.
func (p *process) hear() report {
	p.b.Helper()
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		p.kill()
		p.b.Fatalf("%v: %v\n%s", p.cmd.Args, err, p.said.String())
	}
	var r report
	must(p.b, json.Unmarshal(line, &r))
	return r
}

// rounds has a load generator send so many.
func (p *process) rounds(n int) report {
	p.b.Helper()
	_, err := fmt.Fprintln(p.in, n)
	must(p.b, err)
	return p.hear()
}

// ready waits until a server takes requests, and tells how long that took.
func (p *process) ready(address string) time.Duration {
	p.b.Helper()
	for began := time.Now(); ; <-time.After(20 * time.Millisecond) {
		if resp, err := http.Get("http://" + address + "/-/ready"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return time.Since(began)
			}
		}
		select {
		case <-p.done:
			p.b.Fatalf("%v ended\n%s", p.cmd.Args, p.said.String())
		default:
		}
		if time.Since(began) > 2*time.Minute {
			p.kill()
			p.b.Fatalf("%v is not ready\n%s", p.cmd.Args, p.said.String())
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
		kB, _ := strconv.ParseFloat(f[1], 64)
		switch f[0] {
		case "VmRSS:":
			now = kB * 1024 / 1e6
		case "VmHWM:":
			most = kB * 1024 / 1e6
		}
	}
	return now, most
}

// metric is the sum of the samples of that name on a server's own page.
func metric(b *testing.B, address, name string) float64 {
	b.Helper()
	resp, err := http.Get("http://" + address + "/metrics")
	must(b, err)
	defer resp.Body.Close()
	sum, found := 0.0, false
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		l := lines.Text()
		if rest, ok := strings.CutPrefix(l, name); ok && (rest[0] == '{' || rest[0] == ' ') {
			v, err := strconv.ParseFloat(l[strings.LastIndexByte(l, ' ')+1:], 64)
			must(b, err)
			sum += v
			found = true
		}
	}
	if !found {
		b.Fatalf("%s shows no %s", address, name)
	}
	return sum
}

// freeAddress is one on loopback that nobody listens on.
func freeAddress(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	defer l.Close()
	return l.Addr().String()
}
