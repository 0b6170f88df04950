package main

import (
	"context"
	"net"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"google.golang.org/grpc"

	"github.com/plimsoll-io/plimsoll/collector/identity"
	"github.com/plimsoll-io/plimsoll/collector/ingest"
	"github.com/plimsoll-io/plimsoll/internal/door"
)

// identityFlags say how a collector knows whose streams it gets.
type identityFlags struct {
	tls       string
	advertise string
	socket    string
	lifetime  time.Duration
}

func (f *identityFlags) add(k *kingpin.CmdClause) {
	k.Flag("grpc.tls", "Whether streams are encrypted and agents prove who they are: auto for on wherever other machines can connect; off is for loopback alone.").
		Default("auto").EnumVar(&f.tls, "auto", "on", "off")
	k.Flag("grpc.advertise-address", "Where agents reach the collector, for what plimsoll token create prints; worked out from the other addresses if empty.").
		PlaceHolder("HOST[:PORT]").StringVar(&f.advertise)
	durationVar(k, "grpc.certificate-lifetime", "How long an agent's certificate is good, 24h at most; agents renew theirs after two thirds of it.", &f.lifetime, "24h", time.Second)
	k.Flag("admin.socket", "Where plimsoll token, node and ca give their commands; admin.sock among the authority's files if empty.").PlaceHolder("PATH").StringVar(&f.socket)
}

// proven tells whether agents have to prove who they are.
func (f *identityFlags) proven(listen string) bool {
	return f.tls == "on" || f.tls == "auto" && !door.Loopback(listen)
}

// makeAuthority makes what agents get their certificates from, if they need any.
func (p *collectorParts) makeAuthority() (err error) {
	f := p.flags.identity
	if !f.proven(p.flags.grpc) {
		return nil
	}
	address, names := identity.Reach(p.server.GRPCAddress(), f.advertise, p.flags.externalURL)
	p.authority, err = identity.Open(identity.Options{
		Dir: authorityIn(p.flags.data), Names: names, Advertise: address, Socket: f.socket, Lifetime: f.lifetime,
		Log: p.log.With("component", "identity"), Registerer: p.registry,
	})
	if err != nil {
		return err
	}
	p.opened = append(p.opened, p.authority)
	p.add("commands", p.authority.Run) // of plimsoll token, node and ca
	return nil
}

// makeAgents makes what agents connect to.
func (p *collectorParts) makeAgents() error {
	opts := ingest.ServerOptions()
	if p.authority != nil {
		opts = append(opts, p.authority.ServerOptions()...)
	}
	p.agents = grpc.NewServer(opts...)
	p.ingest.Register(p.agents)
	if p.authority != nil {
		p.authority.Register(p.agents)
	}
	return nil
}

// externalHost is what people and proxies call this machine, "" if nobody said.
func (p *collectorParts) externalHost() string {
	if p.flags.externalURL == nil {
		return ""
	}
	return p.flags.externalURL.Hostname()
}

// invitation is a word about how nodes join, for who has started a collector.
func (p *collectorParts) invitation() string {
	if p.authority == nil {
		return ""
	}
	command := "plimsoll token create"
	if p.flags.identity.socket != "" {
		command += " --admin.socket=" + p.flags.identity.socket
	} else if p.flags.data != "data" {
		command += " --data.path=" + p.flags.data
	}
	return "To let a node join, run here: " + command + "\n"
}

// ownToken is for how long the agent of the same process may take to join.
const ownToken = time.Minute

// own is how the agent of the same process connects: the address, and the join
// string if it needs one. It gets a new one at each start, so that it depends on
// nothing that was.
func (p *collectorParts) own(ctx context.Context, node string) (address string, joins []string, err error) {
	address = p.server.GRPCAddress()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", nil, err
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	if p.authority == nil {
		return address, nil, nil
	}
	i, _, err := p.authority.CreateToken(ctx, identity.TokenOptions{Node: node, TTL: ownToken, Address: address})
	return address, []string{i.Text()}, err
}
