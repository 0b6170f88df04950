// Command plimsoll watches the load of containers and of the hosts below them,
// and adds replicas before the line goes under water.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // for schedules, on machines without it

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Exit codes, as documented in docs/operations.md.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitFindings    = 3
	exitGate        = 4
	exitUnreachable = 5
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, hangup))
}

// exitError is an error that knows how the process should end.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string { return e.err.Error() }
func (e exitError) Unwrap() error { return e.err }

// usage wraps a mistake in what the user typed.
func usage(err error) error { return exitError{exitUsage, err} }

// run does what args say and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, hangup <-chan os.Signal) int {
	err := newCLI(stdout, stderr, hangup).run(ctx, args)
	if err == nil {
		return exitOK
	}
	problems, inFiles := errors.AsType[conf.Problems](err)
	var e exitError
	switch {
	case errors.As(err, &e):
	case inFiles:
		e.code = exitUsage
	default:
		e.code = exitFailure
	}
	if inFiles {
		fmt.Fprintln(stderr, strings.TrimRight(problems.Render(), "\n"))
	} else {
		fmt.Fprintf(stderr, "plimsoll: %v\n", err)
	}
	return e.code
}
