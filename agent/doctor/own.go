package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/agent/node"
)

// What the agent needs for itself.
func ownChecks() []check {
	return []check{
		{"agent", "descriptors", "nothing yet: files are opened for each reading, which costs CPU time", descriptors},
		{"agent", "spool", "all samples, as an agent does not start without", spooling},
		{"agent", "listeners", "what is pushed or scraped there, as an agent does not start without", listeners},
		{"stream", "collector", "nothing yet: samples wait in the spool until it is full", collector},
	}
}

// descriptors compares how many files may be open with how many containers there
// are. What cgroups, networks, ends and pressure keep open of one are some ten,
// and each of these uses a share of the limit at most.
func descriptors(_ context.Context, e *exam) Finding {
	const own, each = 256, 20
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return limited(err.Error(), remedy{})
	}
	need := uint64(own + each*len(e.containers))
	if limit.Cur < need {
		return limited(fmt.Sprintf("%d files may be open, %d containers want %d", limit.Cur, len(e.containers), need), remedy{
			docker: "--ulimit nofile=65536:65536",
			kube:   "LimitNOFILE= of the runtime's unit on the node, such as containerd.service",
			unit:   "LimitNOFILE=65536",
			node:   "ulimit -n 65536 in the shell that starts it",
		})
	}
	return ok(fmt.Sprintf("%d may be open", limit.Cur))
}

// spooling writes a byte where the spool is to be, and removes it.
func spooling(_ context.Context, e *exam) Finding {
	if e.opts.DataPath == "" {
		return off("no --data.path")
	}
	dir, err := filepath.Abs(filepath.Join(e.opts.DataPath, "spool"))
	if err != nil {
		return missing(err.Error(), mountData())
	}
	held := held(dir)
	for errors.Is(err, fs.ErrNotExist) || !there(dir) { // the agent makes it, and doctor does not
		up := filepath.Dir(dir)
		if up == dir {
			break
		}
		dir = up
	}
	if err := probe(dir); err != nil {
		r := mountData()
		if errors.Is(err, fs.ErrPermission) {
			r.node = fmt.Sprintf("or let user %d write to %s", os.Geteuid(), dir)
		}
		return missing(err.Error(), r)
	}
	var at unix.Statfs_t
	space, err := node.Statfs(dir)
	if err == nil {
		err = unix.Statfs(dir, &at)
	}
	if err != nil {
		return missing(err.Error(), mountData())
	}
	want := max(e.opts.SpoolSize-held, 0)
	switch {
	case space.AvailBytes < uint64(want):
		return limited(fmt.Sprintf("%s has %d MiB left, the spool may take %d more", dir, space.AvailBytes>>20, want>>20), remedy{
			agent: fmt.Sprintf("--spool.max-size=%dMiB", max(space.AvailBytes>>21, 1)),
			node:  "or make room",
		}).costing("samples of a long time without a collector")
	case at.Type == unix.OVERLAYFS_SUPER_MAGIC, at.Type == unix.TMPFS_MAGIC, at.Type == unix.RAMFS_MAGIC:
		return limited("the spool would be in memory or in the container's own layer, at "+dir, mountData()).
			costing("what a collector has not got yet when the agent is replaced")
	}
	return ok(fmt.Sprintf("%s, %d MiB left", dir, space.AvailBytes>>20))
}

// held is how much the files in a directory take.
func held(dir string) (bytes int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

func probe(dir string) error {
	f, err := os.CreateTemp(dir, ".plimsoll-doctor-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString("\n")
	return errors.Join(err, f.Close())
}

// listeners takes each address for a moment.
func listeners(ctx context.Context, e *exam) Finding {
	var taken, refused []string
	free := 0
	for _, l := range e.opts.Listeners {
		if l.Address == "" {
			continue
		}
		switch err := l.try(ctx); {
		case err == nil:
			free++
		case errors.Is(err, syscall.EADDRINUSE):
			taken = append(taken, fmt.Sprintf("--%s=%s", l.Flag, l.Address))
		default:
			refused = append(refused, fmt.Sprintf("--%s=%s (%v)", l.Flag, l.Address, err))
		}
	}
	switch {
	case len(refused) > 0:
		return missing("cannot be listened on: "+list(refused), remedy{node: "give an address of this machine, with a port above 1023 unless the agent is root; make the directory of a socket and let the agent write to it"})
	case len(taken) > 0:
		return limited("in use, perhaps by an agent that runs already: "+list(taken), remedy{node: "stop whoever listens there (ss -ltnup tells who), or choose another port"})
	case free == 0:
		return off("the agent is not to listen anywhere")
	}
	return ok(fmt.Sprintf("%d free", free))
}

// try listens for a moment. A socket in the file system it does not make.
func (l Listener) try(ctx context.Context) error {
	if path, unixgram := strings.CutPrefix(l.Address, "unix://"); unixgram {
		dir := filepath.Dir(path)
		if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
			return fmt.Errorf("write to %s: %w", dir, err)
		}
		return nil
	}
	var config net.ListenConfig
	var taken io.Closer
	var err error
	if l.Network == "udp" {
		taken, err = config.ListenPacket(ctx, l.Network, l.Address)
	} else {
		taken, err = config.Listen(ctx, l.Network, l.Address)
	}
	if err == nil {
		err = taken.Close()
	}
	return err
}

// collector asks the collector something that every gRPC server answers. To say
// hello as an agent does would be to be one.
func collector(ctx context.Context, e *exam) Finding {
	address := e.opts.Collector
	if address == "" {
		return off("no --collector.address")
	}
	answer, err := askCollector(ctx, "https", address)
	if record := (tls.RecordHeaderError{}); errors.As(err, &record) { // one on loopback does without
		answer, err = askCollector(ctx, "http", address)
	}
	if err != nil {
		return missing(fmt.Sprintf("%s: %v", address, err), e.collectorRemedy(address, err))
	}
	defer answer.Body.Close()
	if !strings.HasPrefix(answer.Header.Get("Content-Type"), "application/grpc") {
		return missing(fmt.Sprintf("%s answers, but not as a collector does for agents", address), remedy{agent: "--collector.address=HOST:9901, which is not the port of the page"})
	}
	return ok(address)
}

// askCollector does not look at who answers: this is about whether anyone does.
// The agent itself streams to nobody but the collector that it has joined.
func askCollector(ctx context.Context, scheme, address string) (*http.Response, error) {
	var protocols http.Protocols
	protocols.SetHTTP2(scheme == "https")
	protocols.SetUnencryptedHTTP2(scheme == "http")
	transport := &http.Transport{
		Protocols: &protocols, DisableKeepAlives: true, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+"://"+address+"/grpc.health.v1.Health/Check", strings.NewReader("\x00\x00\x00\x00\x00"))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("TE", "trailers")
	return transport.RoundTrip(request)
}

func (e *exam) collectorRemedy(address string, err error) remedy {
	host, _, split := net.SplitHostPort(address)
	if split != nil {
		return remedy{agent: "--collector.address=HOST:9901"}
	}
	ip := net.ParseIP(host)
	switch dns := (*net.DNSError)(nil); {
	case errors.As(err, &dns):
		return remedy{agent: "--collector.address=HOST:9901, with a name that this node can resolve", kube: "dnsPolicy: ClusterFirstWithHostNet, if hostNetwork is true"}
	case ip != nil && ip.IsLoopback() || host == "localhost":
		return remedy{agent: "--collector.address=HOST:9901, as here " + host + " is this container or machine itself", node: "or start a collector here: plimsoll collector"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return remedy{node: "start the collector, or let it listen on more than loopback: --grpc.listen-address=0.0.0.0:9901"}
	}
	return remedy{agent: "--collector.address=HOST:9901", node: "see whether a firewall or NetworkPolicy lets this node reach that port"}
}
