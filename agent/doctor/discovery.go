package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/discover"
)

func discoveryChecks() []check {
	return []check{
		{"discover", "containers", "all that is told of containers", discovered},
		{"discover", "inotify", "containers are noticed a second late, those that live shorter not at all", inotify},
		{"discover", "engine", "names, images, labels, health and exit codes of Docker's containers", engine},
		{"discover", "files", "names of containers that no engine tells of", runtimeFiles},
		{"discover", "kubelet", "labels of pods, and names where there are no files of the runtime", kubelet},
	}
}

// discovered counts containers and names.
func discovered(_ context.Context, e *exam) Finding {
	if e.err != nil {
		return blind()
	}
	nameless := e.nameless()
	seen := fmt.Sprintf("%d seen, %d of them without a name", len(e.containers), len(nameless))
	switch {
	case len(e.containers) == 0:
		return off("no container runs, as far as can be seen at " + e.root)
	case e.stats.Unreadable > 0:
		return limited(fmt.Sprintf("%s, but %d groups cannot be listed", seen, e.stats.Unreadable), asRoot()).costing("containers in groups that cannot be listed")
	case len(nameless) == 0:
		return ok(seen)
	}
	// What names them is told with the engine, files and kubelet, below.
	return limited(seen+", such as "+nameless[0], remedy{node: "let the engine, files or kubelet tell their names, see below"}).
		costing("name, image and pod labels of these")
}

// nameless are containers that have a name which nobody tells. To such as LXC's
// the path is one.
func (e *exam) nameless() (cgroups []string) {
	for _, c := range e.containers {
		if !c.Known && slices.Contains([]string{"docker", "containerd", "crio", "podman", ""}, c.Runtime) {
			cgroups = append(cgroups, c.Cgroup)
		}
	}
	return cgroups
}

// inotify is about limits that all processes of a user share.
func inotify(_ context.Context, e *exam) Finding {
	if e.err != nil {
		return blind()
	}
	limit := func(what string) int {
		n, err := strconv.Atoi(strings.TrimSpace(contentOf(filepath.Join(e.proc, "sys/fs/inotify/max_user_"+what))))
		if err != nil {
			return 0
		}
		return n
	}
	instances, watches := limit("instances"), limit("watches")
	more := remedy{node: "sysctl -w fs.inotify.max_user_instances=1024 fs.inotify.max_user_watches=524288, and in /etc/sysctl.d to last"}
	if e.stats.InotifyFallbacks > 0 {
		return limited(e.said, more)
	}
	// One for each parent, of which there are about as many as containers, and two
	// for each end that is waited for.
	const each = 3
	if need := each * len(e.containers); watches > 0 && watches < need {
		return limited(fmt.Sprintf("%d watches are allowed, %d containers take some %d", watches, len(e.containers), need), more)
	}
	return ok(fmt.Sprintf("allowed are %d instances, %d watches", instances, watches))
}

// engineAPI is the oldest version of the engine's API that serves.
var engineAPI = [2]int{1, 24}

// engine asks the engine who it is.
func engine(ctx context.Context, e *exam) Finding {
	host := e.opts.Discover.DockerHost
	if host == "" {
		return off("none is to be asked: --docker.host is empty")
	}
	v, err := askEngine(ctx, host)
	switch {
	case err == nil && older(v.API, engineAPI):
		return limited(fmt.Sprintf("%s is version %s with API %s", host, v.Version, v.API), remedy{node: "an engine with API 1.24, Docker 1.12, or later"})
	case err == nil && e.stats.EngineConnected && e.stats.EngineFailures == 0:
		return ok(v.String())
	case err == nil && e.err != nil:
		return ok(v.String() + "; without control groups nothing else was asked")
	case err == nil:
		return askAgain(ctx, e, v)
	}
	if !e.needsEngine() && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)) {
		return off("no engine at " + host + ", and no container needs it")
	}
	return missing(fmt.Sprintf("%s: %v", host, err), engineRemedy(host, err))
}

// askAgain has discovery ask an engine once more that answers, but has not told of
// its containers in the time of the survey. It may be slow, as on a busy node, or
// have been at a loss just then: who refuses does so again.
func askAgain(ctx context.Context, e *exam, v engineVersion) Finding {
	const leave, enough, refusals = 500 * time.Millisecond, time.Second, 3
	if deadline, bound := ctx.Deadline(); bound {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-leave))
		defer cancel()
	}
	var words testimony
	opts := e.opts.Discover
	opts.KubeletURL, opts.Log = "", words.logger()
	var connected time.Time
	stats, _, err := look(ctx, opts, func(w *discover.Watcher) bool {
		switch s := w.Stats(); {
		case s.EngineFailures >= refusals:
			return true
		case !s.EngineConnected:
			connected = time.Time{}
		case connected.IsZero():
			connected = time.Now()
		}
		return !connected.IsZero() && time.Since(connected) >= enough
	})
	switch {
	case err != nil:
		return missing(fmt.Sprintf("%s answers, but cannot be listened to: %v", opts.DockerHost, err), remedy{node: "see what the error says"})
	case stats.EngineFailures >= refusals || stats.EngineFailures > 0 && !stats.EngineConnected:
		return limited(fmt.Sprintf("%s answers, but not all it is asked: %s", opts.DockerHost, words.all()), remedy{
			node: "let whatever stands between agent and engine pass GET /events, /containers/json, /containers/*/json, /_ping and /version",
		})
	case stats.EngineConnected:
		return ok(v.String() + "; not when it was asked first, so that containers may be told here without their names")
	}
	return limited(fmt.Sprintf("%s says who it is, but in %v not which containers it has", opts.DockerHost, e.opts.Limit), remedy{
		node: "the engine is slow: see its log, and what keeps the node busy",
	})
}

// needsEngine tells whether an engine could add to what is known. A node on which
// no container can be seen may have them all hidden.
func (e *exam) needsEngine() bool {
	return len(e.containers) == 0 || len(e.nameless()) > 0 || slices.ContainsFunc(e.containers, func(c discover.Container) bool {
		return c.Runtime == "docker"
	})
}

func engineRemedy(host string, err error) remedy {
	socket, isSocket := strings.CutPrefix(host, "unix://")
	const without = "or say --docker.host= if there is none"
	switch {
	case !isSocket:
		return remedy{node: "see whether the engine listens there; " + without}
	case errors.Is(err, fs.ErrNotExist):
		return remedy{
			docker: "-v /var/run/docker.sock:" + socket,
			kube:   "hostPath /var/run/docker.sock at " + socket + ", type: Socket, on nodes with Docker",
			node:   "start Docker; " + without,
		}
	case errors.Is(err, fs.ErrPermission):
		group := "docker"
		var status syscall.Stat_t
		if syscall.Stat(socket, &status) == nil {
			group = strconv.Itoa(int(status.Gid))
		}
		return remedy{
			docker: "--group-add " + group,
			kube:   fmt.Sprintf("supplementalGroups: [%s]", group),
			unit:   "SupplementaryGroups=" + group,
		}
	case errors.Is(err, syscall.ECONNREFUSED):
		return remedy{docker: "-v /var/run:/var/run, as a socket that is mounted itself stays that of an engine that has ended", node: "start Docker; " + without}
	}
	return remedy{node: "the engine accepts and does not answer: see its log, or restart it"}
}

// engineVersion is what an engine says of itself.
type engineVersion struct {
	Version string
	API     string `json:"ApiVersion"`
}

func (v engineVersion) String() string { return fmt.Sprintf("version %s, API %s", v.Version, v.API) }

// askEngine asks without the engine's own client, which says less of why it
// cannot.
func askEngine(ctx context.Context, host string) (engineVersion, error) {
	u, err := url.Parse(host)
	if err != nil {
		return engineVersion{}, err
	}
	network, address := u.Scheme, u.Host
	if network == "unix" {
		address = u.Path
	} else {
		network = "tcp" // also called http
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/version", http.NoBody)
	if err != nil {
		return engineVersion{}, err
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return engineVersion{}, err
	}
	defer answer.Body.Close()
	var v engineVersion
	if answer.StatusCode != http.StatusOK {
		return v, fmt.Errorf("GET /version: %s", answer.Status)
	}
	return v, json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&v)
}

func older(version string, than [2]int) bool {
	var v [2]int
	if _, err := fmt.Sscanf(version, "%d.%d", &v[0], &v[1]); err != nil {
		return false
	}
	return slices.Compare(v[:], than[:]) < 0
}

// runtimeFiles finds out whether files of runtimes say what no engine does.
func runtimeFiles(_ context.Context, e *exam) Finding {
	if e.err != nil {
		return blind()
	}
	told := fmt.Sprintf("%d of %d containers are named by files of their runtime", e.byFiles, len(e.containers))
	switch {
	case len(e.containers) == 0:
		return off("there is no container to try it on")
	case len(e.nameless()) == 0:
		return ok(told)
	case e.stats.FilesRefused > 0 && os.Geteuid() != 0:
		return limited(fmt.Sprintf("%s, %d files cannot be read", told, e.stats.FilesRefused), asRoot())
	case e.stats.FilesRefused > 0:
		return limited(fmt.Sprintf("%s, %d files cannot be made sense of", told, e.stats.FilesRefused), remedy{node: "run the agent with --log.level=debug, it says which"})
	}
	if e.notNodesRoot() != nil {
		return limited(told, e.mountRoot())
	}
	return limited(told, remedy{
		node: "if Docker's data directory is not /var/lib/docker, say --docker.root=… (docker info tells it); of a second engine only files tell names",
	})
}

// kubelet says how it fared when it was asked for its pods.
func kubelet(_ context.Context, e *exam) Finding {
	switch {
	case e.opts.Discover.KubeletURL == "":
		return off("it is not to be asked")
	case e.stats.KubeletConnected:
		return ok(e.opts.Discover.KubeletURL)
	}
	return missing(e.opts.Discover.KubeletURL+": "+e.said, remedy{
		kube: "a ClusterRole with get on nodes/pods (before Kubernetes 1.33 nodes/proxy), bound to the agent's service account, whose token is mounted",
	})
}
