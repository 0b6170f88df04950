package gpu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// child is the other end of Serve.
type child struct {
	in    deadlined // requests
	out   deadlined // answers
	stop  func()    // asks it to end; does not wait
	ended <-chan struct{}
	said  *tail // to its standard error
}

// deadlined is a pipe's end, of a process or of a test.
type deadlined interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
}

// startChild runs this program again. It ends with the thread that calls this.
func startChild(args []string) (*child, error) {
	// Not the path of the program: an upgrade may have put another one there.
	const self = "/proc/self/exe"
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start gpu helper: %w", err)
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		inRead.Close()
		inWrite.Close()
		return nil, fmt.Errorf("start gpu helper: %w", err)
	}
	said := new(tail)
	//nolint:noctx // A child is never killed, SIGKILL has frozen GPUs: stop asks it to end.
	cmd := exec.Command(self, args...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inRead, outWrite, said
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	err = cmd.Start()
	inRead.Close()
	outWrite.Close()
	if err != nil {
		inWrite.Close()
		outRead.Close()
		return nil, fmt.Errorf("start gpu helper: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ended is in what it said
	}()
	return &child{
		in: inWrite, out: outRead, ended: ended, said: said,
		stop: func() {
			inWrite.Close()
			outRead.Close()
			_ = cmd.Process.Signal(syscall.SIGTERM) // or it has ended
		},
	}, nil
}

// ask requests a snapshot and waits for the answer until the deadline or the
// end of ctx.
func (c *child) ask(ctx context.Context, deadline time.Time) (*answer, error) {
	for _, end := range []deadlined{c.in, c.out} {
		if err := end.SetDeadline(deadline); err != nil {
			return nil, fmt.Errorf("ask gpu helper: %w", err)
		}
	}
	defer context.AfterFunc(ctx, func() { _ = c.out.SetDeadline(time.Unix(1, 0)) })()
	if _, err := c.in.Write([]byte{request}); err != nil {
		return nil, fmt.Errorf("ask gpu helper: %w", err)
	}
	a, err := readFrame(c.out)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errors.New("gpu helper did not answer in time, its driver hangs")
	case errors.Is(err, io.EOF):
		return nil, errors.New("gpu helper ended")
	case err != nil:
		return nil, fmt.Errorf("read answer of gpu helper: %w", err)
	}
	return a, nil
}
