package enroll

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/plimsoll-io/plimsoll/internal/door"
	"github.com/plimsoll-io/plimsoll/internal/durable"
	"github.com/plimsoll-io/plimsoll/internal/join"
	"github.com/plimsoll-io/plimsoll/internal/lifecycle"
)

// Options say which collectors there are, and what lets this node in.
type Options struct {
	Dir  string // of what is held of each collector; nothing is if empty
	Node string // this node's name
	// Joins are join strings. One that was used before is not used again, so
	// that it may stay where it is written.
	Joins []string
	// Addresses are collectors, "host:port" or any gRPC target, and join strings
	// of others are left alone. Without any, those of the join strings and of Dir
	// are meant, and without these Default.
	Addresses []string
	Default   string

	DialOptions []grpc.DialOption // further ones, of the calls that get certificates
	Log         *slog.Logger
	Registerer  prometheus.Registerer
}

// Identities are an agent's, one for each collector.
type Identities []*Identity

// Open reads what is held, and works out what is missing: its errors say what to
// do about it. It starts nothing.
func Open(opts Options) (Identities, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if err := join.CheckNode(opts.Node); err != nil {
		return nil, err
	}
	m, err := newMetrics(opts.Registerer)
	if err != nil {
		return nil, err
	}
	all, err := loadAll(opts.Dir)
	if err != nil {
		return nil, err
	}
	if opts.Dir == "" && len(opts.Joins) > 0 {
		return nil, errors.New("who joins needs a directory to keep the certificate in")
	}
	invitations, addresses, err := opts.collectors(all)
	if err != nil {
		return nil, err
	}
	var ids Identities
	for _, address := range addresses {
		id := newIdentity(&opts, address, m)
		if i := slices.IndexFunc(all, func(h *held) bool { return h.Collector == address }); i >= 0 {
			id.held = all[i]
		} else if len(all) == 1 && len(addresses) == 1 && !local(address) {
			id.held = all[0] // the collector has got another address
		}
		if err := id.dropTorn(); err != nil {
			return nil, err
		}
		if i, ok := invitations[address]; ok && (id.held == nil || id.held.Joined != hashOf(i)) {
			id.invitation = &i
		}
		if err := id.complete(); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// collectors are the addresses that are meant, and the invitations to them.
func (o *Options) collectors(all []*held) (map[string]join.Invitation, []string, error) {
	invitations := map[string]join.Invitation{}
	addresses := slices.Clone(o.Addresses)
	for _, text := range o.Joins {
		i, err := join.Parse(text)
		if err != nil {
			return nil, nil, fmt.Errorf("--join: %w", err)
		}
		at := i.Address
		if len(o.Joins) == 1 && len(o.Addresses) == 1 {
			at = o.Addresses[0] // who says it knows a better way there
		}
		if len(o.Addresses) > 0 && !slices.Contains(o.Addresses, at) {
			continue // of a collector that other nodes stream to
		}
		if _, twice := invitations[at]; twice {
			return nil, nil, fmt.Errorf("--join: two join strings of the collector %s; give the newer one alone", at)
		}
		invitations[at] = i
		if !slices.Contains(addresses, at) {
			addresses = append(addresses, at)
		}
	}
	for _, h := range all {
		if len(o.Addresses) == 0 && !slices.Contains(addresses, h.Collector) {
			addresses = append(addresses, h.Collector)
		}
	}
	if len(addresses) == 0 {
		addresses = []string{o.Default}
	}
	return invitations, addresses, nil
}

func hashOf(i join.Invitation) string {
	h := sha256.Sum256([]byte(i.Text()))
	return hex.EncodeToString(h[:])
}

// complete settles how the collector is spoken to.
func (id *Identity) complete() error {
	switch {
	case id.invitation == nil && id.held == nil:
		if !local(id.address) {
			return fmt.Errorf("the collector %s is on another machine, and this node has no certificate for it; there, run: plimsoll token create --node=%s "+
				"— and here: plimsoll agent --join=… with what it prints", id.address, id.opts.Node)
		}
		id.plain = true
	case id.invitation == nil && id.held.node != id.opts.Node:
		return fmt.Errorf("%s is of node %s, and this node is %s; give --node.name=%s, or join again: plimsoll token create --node=%s, where the collector runs",
			id.held.path, id.held.node, id.opts.Node, id.held.node, id.opts.Node)
	case id.invitation == nil && id.held.due(time.Now()).After(time.Now()):
		id.admit()
	}
	if id.held != nil {
		id.metrics.expires.WithLabelValues(id.address).Set(float64(id.held.certificate.Leaf.NotAfter.Unix()))
	}
	return nil
}

// local tells whether a gRPC target is on this machine for certain.
func local(target string) bool {
	if strings.HasPrefix(target, "unix:") {
		return true
	}
	if _, rest, ok := strings.Cut(target, "://"); ok { // scheme://resolver/address
		if _, target, ok = strings.Cut(rest, "/"); !ok {
			return false
		}
	}
	return door.Loopback(target)
}

// Addresses are the collectors'.
func (ids Identities) Addresses() []string {
	var all []string
	for _, id := range ids {
		all = append(all, id.address)
	}
	return all
}

// DialOptions make connections to one of the collectors what they should be: TLS
// with this node's certificate, or plain text.
func (ids Identities) DialOptions(address string) []grpc.DialOption {
	for _, id := range ids {
		switch {
		case id.address != address:
		case id.plain:
			return []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
		default:
			return []grpc.DialOption{grpc.WithTransportCredentials(id.credentials()), grpc.WithChainStreamInterceptor(id.watch)}
		}
	}
	// An address that is none of these is trusted in nothing.
	return []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13}))}
}

// Run joins and renews until ctx ends. It fails if a collector does not let this
// node in, and nothing but a person can change that.
func (ids Identities) Run(ctx context.Context) error {
	loops := make([]lifecycle.Loop, len(ids))
	for i, id := range ids {
		loops[i] = lifecycle.Loop{Name: "identity for " + id.address, Run: id.run}
	}
	return lifecycle.Run(ctx, loops...)
}

type metrics struct {
	expires  *prometheus.GaugeVec   // by collector
	renewals *prometheus.CounterVec // by collector and result
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		expires: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "plimsoll_agent_identity_expires_timestamp_seconds", Help: "When this node's certificate for the collector expires.",
		}, []string{"collector"}),
		renewals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plimsoll_agent_identity_renewals_total", Help: "Attempts to get a certificate from the collector.",
		}, []string{"collector", "result"}),
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(m.expires), r.Register(m.renewals))
}

// dropTorn removes what a crash has left of the file: there is a key in it.
func (id *Identity) dropTorn() error {
	path := fileFor(id.opts.Dir, id.address)
	if id.held != nil {
		path = id.held.path
	}
	if id.opts.Dir == "" {
		return nil
	}
	return durable.DropTorn(path)
}
