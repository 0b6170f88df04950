package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/plimsoll-io/plimsoll/agent/enroll"
	"github.com/plimsoll-io/plimsoll/agent/shard"
	"github.com/plimsoll-io/plimsoll/internal/join"
	"github.com/plimsoll-io/plimsoll/internal/lifecycle"
)

// joinFlags say which collector an agent streams to, and what lets it in.
type joinFlags struct {
	collectors []string
	joins      []string
	joinFile   string
	shards     []shard.Shard // of which one is this node's; nil for none
}

const localCollector = "127.0.0.1:9901"

func (f *joinFlags) add(k *kingpin.CmdClause) {
	k.Flag("collector.address", "Where the collector listens for agents; what the join string says, or the collector joined before, or "+localCollector+" if empty. Repeatable: each collector gets everything.").
		PlaceHolder("HOST:PORT").StringsVar(&f.collectors)
	k.Flag("collector.shards", "Several collectors, with the names by which nodes are dealt out to them: east=c1:9901,west=c2:9901+c3:9901; + joins a pair. Takes the place of --collector.address.").
		PlaceHolder("LIST").SetValue(shards{&f.shards})
	k.Flag("join", "What plimsoll token create has printed on the collector, to join it once; it may stay afterwards. Repeatable.").
		PlaceHolder("STRING").StringsVar(&f.joins)
	k.Flag("join-file", "File with such strings, one a line.").PlaceHolder("FILE").StringVar(&f.joinFile)
}

// joinStrings are the join strings, from wherever.
func (f *joinFlags) joinStrings() ([]string, error) {
	if f.joinFile == "" {
		return f.joins, nil
	}
	data, err := os.ReadFile(f.joinFile)
	if err != nil {
		return nil, fmt.Errorf("--join-file: %w", err)
	}
	lines := strings.Fields(string(data))
	if len(lines) == 0 {
		return nil, fmt.Errorf("--join-file=%s is empty; put into it what plimsoll token create has printed on the collector", f.joinFile)
	}
	return slices.Concat(f.joins, lines), nil
}

// addresses are those that flags name.
func (f *joinFlags) addresses() []string {
	return slices.DeleteFunc(slices.Clone(f.collectors), func(a string) bool { return a == "" })
}

// likely is the collector that is meant, as far as flags tell.
func (f *joinFlags) likely() string {
	if named := f.addresses(); len(named) > 0 {
		return named[0]
	}
	if joins, err := f.joinStrings(); err == nil && len(joins) > 0 {
		if i, err := join.Parse(joins[0]); err == nil {
			return i.Address
		}
	}
	return localCollector
}

// nodeName is what this node is called.
func (f *agentFlags) nodeName() (string, error) {
	if f.node != "" {
		return f.node, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", errors.Join(errors.New("no host name; give the node a name with --node.name"), err)
	}
	return name, nil
}

// identityIn is where an agent keeps its certificates.
func identityIn(data string) string { return filepath.Join(data, "identity") }

// addIdentity works out which collectors there are, and who this node is to them.
func (p *agentParts) addIdentity() (err error) {
	opts := enroll.Options{
		Dir: p.identity, Node: p.node, Addresses: p.collectors, Joins: p.joins, Default: localCollector,
		Log: p.log, Registerer: p.registerer,
	}
	if len(p.shards) > 0 {
		mine := shard.Of(p.node, p.shards)
		p.log.Info("this node belongs to a shard", "shard", mine.Name, "of", len(p.shards), "collectors", mine.Addresses)
		opts.Addresses, opts.Joins = mine.Addresses, joinsOf(p.joins, mine.Addresses)
	}
	if p.identities, err = enroll.Open(opts); err != nil {
		return err
	}
	p.loops = append(p.loops, lifecycle.Loop{Name: "identity", Run: p.identities.Run})
	return nil
}

// joinsOf leaves out the join strings of other shards. One that is none is kept,
// for the complaint about it.
func joinsOf(joins, addresses []string) []string {
	return slices.DeleteFunc(slices.Clone(joins), func(text string) bool {
		i, err := join.Parse(text)
		return err == nil && !slices.Contains(addresses, i.Address)
	})
}
