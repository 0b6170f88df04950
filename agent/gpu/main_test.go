package gpu

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// asChild is the argument with which the test becomes its own child, as the
// program does.
const asChild = "gpu-helper"

// asParent makes it an agent that has nothing but a helper.
const asParent = "gpu-parent"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asChild {
		ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer cancel()
		if err := Serve(ctx, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return
	}
	if len(os.Args) > 1 && os.Args[1] == asParent {
		h, err := New(Options{Args: []string{asChild}})
		if err == nil {
			err = h.Run(context.Background())
		}
		fmt.Fprintln(os.Stderr, err)
		return
	}
	goleak.VerifyTestMain(m)
}
