package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"
)

// nodeCommand looks after the nodes that have joined.
type nodeCommand struct {
	*cli
	adminFlags
	what   string
	output string
}

func (c *cli) nodes() {
	group := c.app.Command("node", "Look after the nodes that have joined the collector that runs on this machine.")
	cmd := &nodeCommand{cli: c}

	k := group.Command("certificates", "List the nodes' certificates.")
	c.commands["node certificates"] = cmd.certificates
	cmd.adminFlags.add(k)
	k.Flag("output", "text or json.").Short('o').Default("text").EnumVar(&cmd.output, "text", "json")

	k = group.Command("revoke", "Take a node's certificates from it and end its stream; it can join again only with a token for it by name.")
	c.commands["node revoke"] = cmd.revoke
	cmd.adminFlags.add(k)
	k.Arg("node", "The node, or the serial number of one of its certificates.").Required().StringVar(&cmd.what)
}

func (c *nodeCommand) certificates(ctx context.Context) error {
	list, err := c.client().List(ctx)
	if err != nil {
		return away(err)
	}
	if c.output == "json" {
		e := json.NewEncoder(c.stdout)
		e.SetIndent("", "  ")
		return e.Encode(list)
	}
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NODE\tSTATE\tSTREAMS\tEXPIRES\tFROM\tSERIAL")
	for _, l := range list {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", printable(l.Node), l.State, l.Streams, l.Expires.UTC().Format(time.RFC3339), l.From, l.Serial)
	}
	return w.Flush()
}

func (c *nodeCommand) revoke(ctx context.Context) error {
	node, revoked, err := c.client().Revoke(ctx, c.what)
	if err != nil {
		return away(err)
	}
	_, err = fmt.Fprintf(c.stdout, "Revoked %s of node %s.\n", count(revoked, "certificate"), printable(node))
	return err
}

// printable keeps a terminal from taking a name for commands.
func printable(name string) string {
	if q := strconv.Quote(name); q != `"`+name+`"` {
		return q
	}
	return name
}

// authorityCommand looks after the authority that gives out certificates.
type authorityCommand struct {
	*cli
	adminFlags
}

func (c *cli) authority() {
	group := c.app.Command("ca", "Look after the authority of the collector that runs on this machine.")
	cmd := &authorityCommand{cli: c}
	k := group.Command("rotate", "Make a new authority. Nodes learn of it when they renew; the one before is trusted for a month more.")
	c.commands["ca rotate"] = cmd.rotate
	cmd.adminFlags.add(k)
}

func (c *authorityCommand) rotate(ctx context.Context) error {
	until, err := c.client().Rotate(ctx)
	if err != nil {
		return away(err)
	}
	_, err = fmt.Fprintf(c.stdout, "A new authority signs from now on; the one before is trusted until %s.\n", until.UTC().Format(time.RFC3339))
	return err
}
