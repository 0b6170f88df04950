// Package lifecycle runs the loops of a process side by side and ends them
// together.
package lifecycle

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// Loop is something that runs until it is told to stop.
type Loop struct {
	Name string
	Run  func(context.Context) error
}

// errEnded tells a loop that stopped on its own from one that was told to.
var errEnded = errors.New("ended by itself")

// Run starts every loop and waits for all of them. It returns nil if ctx ended
// and they followed, else the first failure under the name of its loop. A loop
// that returns early takes the others down: a process that is half alive is
// harder to notice than one that restarts.
func Run(ctx context.Context, loops ...Loop) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, l := range loops {
		g.Go(func() error {
			err := l.Run(gctx)
			if told := gctx.Err(); told != nil && (err == nil || errors.Is(err, told)) {
				return nil
			}
			if err == nil {
				err = errEnded
			}
			return fmt.Errorf("%s: %w", l.Name, err)
		})
	}
	return g.Wait()
}
