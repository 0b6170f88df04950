package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/plimsoll-io/plimsoll/collector/identity"
)

// authorityIn is where a collector keeps what it vouches for nodes with.
func authorityIn(data string) string { return filepath.Join(data, "authority") }

// adminFlags say which collector of this machine takes a command.
type adminFlags struct{ data, socket string }

func (f *adminFlags) add(k *kingpin.CmdClause) {
	k.Flag("data.path", "Directory of the collector that runs.").Default("data").StringVar(&f.data)
	k.Flag("admin.socket", "The socket at which it takes commands; in its directory if empty.").PlaceHolder("PATH").StringVar(&f.socket)
}

// client gives commands to that collector.
func (f *adminFlags) client() *identity.Client {
	if f.socket != "" {
		return identity.NewClient(f.socket)
	}
	return identity.NewClient(identity.SocketIn(authorityIn(f.data)))
}

// away gives an error its exit code.
func away(err error) error {
	if errors.Is(err, identity.ErrNotRunning) {
		return exitError{exitUnreachable, err}
	}
	return err
}

// tokenCommand makes tokens that let nodes in.
type tokenCommand struct {
	*cli
	adminFlags
	identity.TokenOptions
}

const tokenHelp = `Make a token, and print it as a join string, with which an agent is started on the node:

    plimsoll agent --join=STRING

It holds the collector's address, a secret that is good for a while, and how to know the right collector. The agent gets a certificate for it, and renews that by itself.`

func (c *cli) tokens() {
	group := c.app.Command("token", "Let nodes join the collector that runs on this machine.")
	cmd := &tokenCommand{cli: c}
	k := group.Command("create", tokenHelp)
	c.commands["token create"] = cmd.create
	cmd.adminFlags.add(k)
	k.Flag("node", "The node that may use it, even if one of that name has joined before; any new one if empty.").PlaceHolder("NAME").StringVar(&cmd.Node)
	durationVar(k, "ttl", "How long it may be used, 1h at most.", &cmd.TTL, "1h", time.Second)
	k.Flag("uses", "How many nodes it lets in.").Default("1").SetValue(number{&cmd.Uses, 1, 1000})
	k.Flag("address", "Where agents reach the collector, if not where it says by itself.").PlaceHolder("HOST:PORT").StringVar(&cmd.Address)
}

// create prints the join string alone on standard output, so that a script can
// take it from there.
func (c *tokenCommand) create(ctx context.Context) error {
	join, expires, err := c.client().CreateToken(ctx, c.TokenOptions)
	if err != nil {
		return away(err)
	}
	who := "a new node"
	switch {
	case c.Node != "":
		who = "node " + c.Node
	case c.Uses > 1:
		who = fmt.Sprintf("%d new nodes", c.Uses)
	}
	fmt.Fprintf(c.stderr, "Lets in %s until %s: plimsoll agent --join=…\n", who, expires.UTC().Format(time.RFC3339))
	_, err = fmt.Fprintln(c.stdout, join)
	return err
}
