package gpu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"
)

// Options say how a Helper runs its child.
type Options struct {
	// Args are the arguments with which this program becomes the child, that
	// is, calls Serve with its standard input and output.
	Args     []string
	Interval time.Duration // between snapshots; 1 s if 0
	Deadline time.Duration // of one snapshot; 5 s if 0
	// Start is the deadline of the first one. A driver that is not kept loaded
	// takes seconds per GPU to start. 1 min if 0.
	Start time.Duration
	Log   *slog.Logger // none if nil
}

// How long the helper waits before it tries again.
const (
	absentRetry  = 10 * time.Minute // for a GPU to be there
	firstRetry   = time.Second      // after a failure; doubled each time
	longestRetry = 5 * time.Minute
)

// Helper keeps a child process that reads GPUs, and its last snapshot.
type Helper struct {
	opts  Options
	start func() (*child, error)
	state atomic.Pointer[State]
	xids  xidTally
}

// State is what a Helper knows now. It does not change once it is out.
type State struct {
	// Expected tells whether this node has a GPU driver, as far as is known:
	// only then is it a fault if there are no readings.
	Expected bool
	Up       bool      // the child answered the last request in time
	Snapshot *Snapshot // the last; nil before the first
	Taken    time.Time // when Snapshot was asked for
	Starts   uint64    // times that a child was started
}

// New completes opts and complains of what is missing. It starts nothing.
func New(opts Options) (*Helper, error) {
	if len(opts.Args) == 0 {
		return nil, errors.New("a gpu helper needs the arguments that make this program one")
	}
	opts.Interval = cmp.Or(opts.Interval, time.Second)
	opts.Deadline = cmp.Or(opts.Deadline, 5*time.Second)
	opts.Start = cmp.Or(opts.Start, time.Minute)
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	h := &Helper{opts: opts, xids: make(xidTally)}
	h.start = func() (*child, error) { return startChild(opts.Args) }
	h.state.Store(&State{})
	return h, nil
}

// State is the newest there is. It waits for nothing.
func (h *Helper) State() State { return *h.state.Load() }

// Run keeps a child until ctx ends. A node without a GPU is no error, and
// neither is a child that fails: State tells.
func (h *Helper) Run(ctx context.Context) error {
	if !inBuild {
		h.opts.Log.Info("gpu metrics are not in this build, which was made without cgo")
		<-ctx.Done()
		return nil
	}
	return h.run(ctx)
}

func (h *Helper) run(ctx context.Context) error {
	// The kernel ends the child with the thread that started it (PDEATHSIG).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	var said string // why there is no GPU
	retry := firstRetry
	for {
		answers, err := h.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if answers > 0 {
			said, retry = "", firstRetry
		}
		var absent absentError
		wait := retry
		if errors.As(err, &absent) && !h.State().Expected {
			wait = absentRetry
			if said != absent.Error() {
				said = absent.Error()
				h.opts.Log.Info("no gpu to read", "reason", said, "next", wait)
			}
		} else {
			h.change(func(s *State) { s.Expected = true })
			h.opts.Log.Warn("gpu helper failed", "err", err, "next", wait)
			retry = min(2*retry, longestRetry)
		}
		if !pause(ctx, wait) {
			return nil
		}
	}
}

// session asks one child until it fails or ctx ends, and tells how many answers
// it gave. It returns when the child has ended: a second one beside a first that
// hangs would hang as well.
func (h *Helper) session(ctx context.Context) (answers int, err error) {
	c, err := h.start()
	if err != nil {
		return 0, err
	}
	h.change(func(s *State) { s.Starts++ })
	defer func() {
		h.change(func(s *State) { s.Up = false })
		if said := h.end(ctx, c); said != "" && err != nil {
			err = fmt.Errorf("%w; it said: %s", err, said)
		}
	}()
	for limit := h.opts.Start; ; limit = h.opts.Deadline {
		asked := time.Now()
		a, err := c.ask(ctx, asked.Add(limit))
		switch {
		case err != nil:
			return answers, err
		case a.Absent != "":
			return answers, absentError(a.Absent)
		case a.Failed != "":
			return answers, errors.New(a.Failed)
		case a.Snapshot == nil:
			return answers, fmt.Errorf("%w: neither snapshot nor reason", errFrame)
		}
		if answers == 0 {
			h.opts.Log.Info("gpus found", "gpus", len(a.Snapshot.Devices), "driver", a.Snapshot.Driver)
		}
		answers++
		h.publish(a, asked)
		if !pause(ctx, time.Until(asked.Add(h.opts.Interval))) {
			return answers, nil
		}
	}
}

func (h *Helper) publish(a *answer, asked time.Time) {
	h.xids.add(a.Events)
	for i := range a.Snapshot.Devices {
		h.xids.fill(&a.Snapshot.Devices[i])
	}
	h.change(func(s *State) {
		s.Expected, s.Up, s.Snapshot, s.Taken = true, true, a.Snapshot, asked
	})
}

// change is for the goroutine of Run alone.
func (h *Helper) change(do func(*State)) {
	s := h.State()
	do(&s)
	h.state.Store(&s)
}

// end sees a child off and returns what it said last. One that is stuck in the
// driver ends when the driver lets go of it. Until then there is none, and after
// ctx only the kernel waits for it.
func (h *Helper) end(ctx context.Context, c *child) string {
	c.stop()
	timer := time.NewTimer(2 * grace)
	defer timer.Stop()
	select {
	case <-c.ended:
		return c.said.first()
	case <-timer.C:
	}
	h.opts.Log.Warn("gpu helper does not end, its driver hangs; look at dmesg for NVRM, GPU metrics return when it does or after a reboot")
	select {
	case <-c.ended:
	case <-ctx.Done():
	}
	return c.said.first()
}

// pause waits and tells whether ctx is still on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}
