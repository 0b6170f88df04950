package gpu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// grace is how long a reading may go on after the child was told to end.
const grace = 2 * time.Second

// absentError says why a node has no GPU to read. It is a fact, not a fault.
type absentError string

func (e absentError) Error() string { return string(e) }

// devices is what the child asks: NVML, or nothing.
type devices interface {
	// snapshot reads all devices, and what they reported since the last call.
	snapshot() (*Snapshot, []xidEvent, error)
	close()
}

// Serve is the child: for each request from in it writes a snapshot to out,
// until in ends, ctx ends, or nothing can be read. A driver that hangs cannot be
// told to stop, so Serve may leave a goroutine behind when ctx ends; the process
// is to end right after it.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	done := make(chan error, 1)
	go func() { done <- serve(open, in, out) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	last := time.NewTimer(grace)
	defer last.Stop()
	select {
	case err := <-done:
		return err
	case <-last.C:
		return nil // between requests, or stuck: the parent knows which
	}
}

// serve opens the devices at the first request, since that can take seconds,
// and the deadline of that request is made for it.
func serve(open func() (devices, error), in io.Reader, out io.Writer) error {
	var from devices
	defer func() {
		if from != nil {
			from.close()
		}
	}()
	var asked [1]byte
	for {
		if _, err := io.ReadFull(in, asked[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil // the parent is gone, or done
			}
			return fmt.Errorf("read request: %w", err)
		}
		if asked[0] != request {
			return fmt.Errorf("request %q: this program is run by the agent, not by people", asked[0])
		}
		a := new(answer)
		err := look(&from, open, a)
		var absent absentError
		switch {
		case errors.As(err, &absent):
			a = &answer{Absent: absent.Error()}
		case err != nil:
			a = &answer{Failed: err.Error()}
		}
		if werr := writeFrame(out, a); werr != nil {
			return fmt.Errorf("write answer: %w", werr)
		}
		if err != nil {
			return nil // it has been told
		}
	}
}

// look takes one snapshot. The bindings index into what the driver returns, so
// a driver that lies can make them panic.
func look(from *devices, open func() (devices, error), a *answer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("read devices: %v", p)
		}
	}()
	if *from == nil {
		if *from, err = open(); err != nil {
			*from = nil
			return err
		}
	}
	a.Snapshot, a.Events, err = (*from).snapshot()
	return err
}
