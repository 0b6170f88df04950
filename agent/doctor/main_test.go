package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/gpu"
)

// Arguments with which the test becomes a child that reads GPUs, and a doctor as
// another user.
const (
	asHelper = "gpu-helper"
	asDoctor = "doctor"
)

func TestMain(m *testing.M) {
	if len(os.Args) < 2 {
		goleak.VerifyTestMain(m)
		return
	}
	switch os.Args[1] {
	case asHelper:
		ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer cancel()
		if err := gpu.Serve(ctx, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	case asDoctor:
		findings := Run(context.Background(), Options{
			Discover: discover.Options{DockerHost: os.Args[2]}, Disk: true, Bursts: true, Scrape: true, DataPath: os.Args[3], SpoolSize: 1,
		})
		if err := json.NewEncoder(os.Stdout).Encode(findings); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	default:
		goleak.VerifyTestMain(m)
	}
}
