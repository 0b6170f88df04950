package main

import (
	"context"
	"os"

	"github.com/plimsoll-io/plimsoll/agent/gpu"
	"github.com/plimsoll-io/plimsoll/internal/trim"
)

// gpuHelper is the command that an agent starts for itself, so that a driver
// that hangs takes down that process and nothing else.
const gpuHelper = "gpu-helper"

func (c *cli) gpuHelper() {
	c.command(gpuHelper, "Read GPUs for an agent, over standard input and output.", func(ctx context.Context) error {
		if err := trim.Executable(); err != nil {
			c.log().Debug("the program's start stays in memory", "err", err)
		}
		return gpu.Serve(ctx, os.Stdin, os.Stdout)
	}).Hidden()
}
