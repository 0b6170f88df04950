package main

import (
	"context"
	"fmt"

	"github.com/prometheus/common/version"
)

// versionCommand prints what this binary is.
type versionCommand struct {
	*cli
	short bool
}

func (c *cli) version() {
	cmd := &versionCommand{cli: c}
	k := c.command("version", "Print the version and what it was built from.", cmd.run)
	k.Flag("short", "Only the number.").BoolVar(&cmd.short)
}

func (c *versionCommand) run(context.Context) error {
	if c.short {
		_, err := fmt.Fprintln(c.stdout, version.Version)
		return err
	}
	_, err := fmt.Fprintln(c.stdout, version.Print("plimsoll"))
	return err
}
