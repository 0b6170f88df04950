package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// readyLimit is how long an engine may take to answer. It takes 0.2 s on an
// idle machine.
const readyLimit = time.Minute

// daemon is a dockerd process.
type daemon struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is gone
}

// startDaemon starts dockerd on a network and appends what it says to a file.
func startDaemon(n *network, log string, args ...string) (*daemon, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("dockerd", args...)
	cmd.Stdout, cmd.Stderr = out, out
	// When the test process is killed, by go test's time limit say, the engine
	// goes too and takes its containers along.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}

	d := &daemon{cmd: cmd, ended: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		defer close(d.ended)
		defer out.Close()
		// A child inherits the network of the thread that starts it, and hears
		// of the death of that thread, not of the process. So the thread stays
		// until the child is gone; never unlocked, it ends with this goroutine.
		runtime.LockOSThread()
		err := n.enter()
		if err == nil {
			err = cmd.Start()
		}
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is told by its log
		}
	}()
	if err := <-started; err != nil {
		<-d.ended
		return nil, fmt.Errorf("start dockerd: %w", err)
	}
	return d, nil
}

// ready waits until the engine answers.
func (d *daemon) ready(socket string) error {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}
	client := &http.Client{Transport: transport, Timeout: time.Second}
	limit := time.After(readyLimit)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		if answer, err := client.Get("http://engine/_ping"); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-d.ended:
			return errors.New("dockerd ended by itself")
		case <-limit:
			return fmt.Errorf("dockerd does not answer after %v", readyLimit)
		case <-again.C:
		}
	}
}
