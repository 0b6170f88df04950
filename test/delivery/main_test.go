// Package delivery sends what agents spool to a collector that is killed over and
// over, and to one behind a network that breaks, and counts what is stored.
package delivery

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/plimsoll-io/plimsoll/collector/ingest"
	"github.com/plimsoll-io/plimsoll/collector/store"
	"github.com/plimsoll-io/plimsoll/internal/lifecycle"
)

// The test's own binary is the collector, too: told by these where its data are
// and where to listen.
const (
	dirVariable     = "PLIMSOLL_TEST_COLLECTOR"
	addressVariable = "PLIMSOLL_TEST_ADDRESS"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(dirVariable); dir != "" {
		if err := collect(dir, os.Getenv(addressVariable)); err != nil {
			panic(err)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// collect is a collector without all that is not about delivery. It says where it
// listens, and ends with whoever started it.
func collect(dir, address string) error {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		end()
	}()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	st, err := store.Open(ctx, store.Options{Dir: dir, Log: log})
	if err != nil {
		return err
	}
	server, err := ingest.New(ingest.Options{
		Store: st, UncleanStop: st.UncleanStop(), Reopen: st.Reopen, HeadSeries: st.HeadSeries, Refuse: st.Refuse,
		Limits: ingest.Limits{BackfillRate: rate}, CommitInterval: 50 * time.Millisecond, Log: log,
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	g := grpc.NewServer(ingest.ServerOptions()...)
	server.Register(g)
	fmt.Println(l.Addr())
	err = lifecycle.Run(ctx,
		lifecycle.Loop{Name: "ingest", Run: server.Run},
		lifecycle.Loop{Name: "serve", Run: func(ctx context.Context) error {
			defer context.AfterFunc(ctx, g.Stop)()
			return g.Serve(l)
		}},
	)
	if closed := st.Close(); err == nil {
		err = closed
	}
	return err
}

// collector is such a process.
type collector struct {
	t       *testing.T
	dir     string
	before  []string // the command that becomes the collector
	listens string   // where it is to
	process *exec.Cmd
	stdin   io.Closer
	read    sync.WaitGroup // of its log

	mu      sync.Mutex
	address string // where it does; empty while it does not
	log     []line
}

// line is one of its log, with when it came.
type line struct {
	at   time.Time
	text string
}

// start starts the collector and waits until it listens.
func (c *collector) start() {
	c.t.Helper()
	self, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	command := append(c.before[:len(c.before):len(c.before)], self)
	c.process = exec.Command(command[0], command[1:]...)
	c.process.Env = append(os.Environ(), dirVariable+"="+c.dir, addressVariable+"="+c.listens)
	stdout, err := c.process.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	stderr, err := c.process.StderrPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if c.stdin, err = c.process.StdinPipe(); err != nil {
		c.t.Fatal(err)
	}
	if err := c.process.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.read.Go(func() {
		for s := bufio.NewScanner(stderr); s.Scan(); {
			c.mu.Lock()
			c.log = append(c.log, line{time.Now(), s.Text()})
			c.mu.Unlock()
		}
	})
	s := bufio.NewScanner(stdout)
	if !s.Scan() {
		c.kill()
		c.t.Fatalf("the collector did not start:\n%v", c.said(""))
	}
	c.mu.Lock()
	c.address = s.Text()
	c.mu.Unlock()
}

// kill leaves it no time for anything.
func (c *collector) kill() {
	c.mu.Lock()
	c.address = ""
	c.mu.Unlock()
	_ = c.process.Process.Kill()
	c.read.Wait()
	_ = c.process.Wait()
	c.stdin.Close()
}

// dial connects to wherever it listens now.
func (c *collector) dial(ctx context.Context, _ string) (net.Conn, error) {
	c.mu.Lock()
	address := c.address
	c.mu.Unlock()
	if address == "" {
		return nil, fmt.Errorf("connection refused")
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", address)
}

// said are the lines of its log with a text in them.
func (c *collector) said(text string) (found []line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.log {
		if strings.Contains(l.text, text) {
			found = append(found, l)
		}
	}
	return found
}
