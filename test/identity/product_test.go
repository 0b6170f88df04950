//go:build e2e

package identity

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/plimsoll-io/plimsoll/internal/secretfile"
	"github.com/plimsoll-io/plimsoll/internal/testkit/port"
	plimsollv1 "github.com/plimsoll-io/plimsoll/proto/plimsoll/v1"
)

// binary is what make e2e has built.
const binary = "../../bin/plimsoll"

// process is a running plimsoll.
type process struct {
	*exec.Cmd
	mu  sync.Mutex
	log bytes.Buffer
}

// Write takes the log.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// launch runs plimsoll until the test ends, or what it returns is called.
func launch(t *testing.T, args ...string) (p *process, end func()) {
	t.Helper()
	p = &process{Cmd: exec.Command(binary, args...)}
	p.Stdout, p.Stderr = p, p
	if err := p.Start(); err != nil {
		t.Fatalf("%v (make build first)", err)
	}
	end = sync.OnceFunc(func() {
		_ = p.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = p.Wait()
	})
	t.Cleanup(func() {
		end()
		if t.Failed() {
			t.Logf("plimsoll %s:\n%s", strings.Join(args, " "), p.logged())
		}
	})
	return p, end
}

// run runs a command of plimsoll to its end.
func run(args ...string) (stdout, stderr string, ok bool) {
	var out, errs strings.Builder
	c := exec.Command(binary, args...)
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	return strings.TrimSpace(out.String()), errs.String(), err == nil
}

// product is a collector that other machines can reach, and its agent.
type product struct {
	t              *testing.T
	dir, web, grpc string
}

func newProduct(t *testing.T) *product {
	t.Helper()
	dir, err := os.MkdirTemp("", "joined") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	_, grpc, err := net.SplitHostPort(port.Free(t))
	if err != nil {
		t.Fatal(err)
	}
	return &product{t: t, dir: dir, web: port.Free(t), grpc: grpc}
}

// serve starts the collector, alone or with all the rest.
func (p *product) serve(command, host string, args ...string) (end func()) {
	p.t.Helper()
	_, end = launch(p.t, append([]string{
		command, "--data.path=" + filepath.Join(p.dir, "collector"), "--web.listen-address=" + p.web, "--grpc.listen-address=" + net.JoinHostPort(host, p.grpc),
	}, args...)...)
	p.until("the collector is ready", func() bool { return p.get("/-/ready") != "" })
	return end
}

func (p *product) agentArgs(node string, args ...string) []string {
	return append([]string{
		"agent", "--data.path=" + filepath.Join(p.dir, "agent"), "--node.name=" + node, "--interval=200ms",
		"--docker.host=", "--no-gpu", "--no-disk", "--no-scrape.enabled",
	}, args...)
}

// invite makes a token for the node.
func (p *product) invite() (join string) {
	p.t.Helper()
	join, said, ok := run("token", "create", "--data.path="+filepath.Join(p.dir, "collector"), "--node=web7", "--address=127.0.0.1:"+p.grpc)
	if !ok {
		p.t.Fatal(said)
	}
	return join
}

func (p *product) until(what string, is func() bool) {
	p.t.Helper()
	for limit := time.After(2 * time.Minute); !is(); {
		select {
		case <-limit:
			p.t.Fatalf("not within two minutes: %s", what)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

var client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// get reads a page, "" if it cannot be had.
func (p *product) get(path string) string {
	resp, err := client.Get("http://" + p.web + path)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

// own adds up a metric of the collector.
func (p *product) own(name string) (sum float64) {
	for line := range strings.Lines(p.get("/metrics")) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if series == name || strings.HasPrefix(series, name+"{") {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				p.t.Fatal(err)
			}
			sum += v
		}
	}
	return sum
}

// ask is the value of a query, -1 if it has none.
func (p *product) ask(promql string) float64 {
	var answer struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	if err := json.Unmarshal([]byte(p.get("/api/v1/query?query="+url.QueryEscape(promql))), &answer); err != nil || len(answer.Data.Result) == 0 {
		return -1
	}
	v, err := strconv.ParseFloat(answer.Data.Result[0].Value[1].(string), 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return v
}

func TestTheProductOffLoopback(t *testing.T) {
	p := newProduct(t)
	_, said, ok := run("collector", "--data.path="+p.dir+"/none", "--web.listen-address=127.0.0.1:0", "--grpc.listen-address=0.0.0.0:"+p.grpc, "--grpc.tls=off", "--insecure")
	if ok || !strings.Contains(said, "can be reached from other machines, and nothing protects it") {
		t.Errorf("without TLS it says %q", said)
	}

	p.serve("collector", "0.0.0.0", "--grpc.certificate-lifetime=5s")
	join := p.invite()
	agent, end := launch(t, p.agentArgs("web7", "--join="+join)...)
	p.until("samples of the node arrive", func() bool { return p.ask(`count(node_load1{node="web7"})`) == 1 })

	// A certificate of five seconds, eight times over.
	const renewals = `plimsoll_collector_identity_granted_total{deed="renew"}`
	p.until("eight renewals", func() bool { return p.own(renewals) >= 8 })
	p.until("four streams ended with their certificates", func() bool { return p.own("plimsoll_collector_identity_streams_ended_total") >= 4 })

	t.Run("a message that says another name", func(t *testing.T) { p.impostor(t) })

	stdout, said, ok := run("node", "certificates", "--data.path="+filepath.Join(p.dir, "collector"))
	if !ok || !strings.Contains(stdout, "web7") || !strings.Contains(stdout, "good") {
		t.Errorf("it lists %q, %q", stdout, said)
	}
	// What the agent has numbered is what the collector has stored: no gap.
	last := p.ask(`max(plimsoll_ingest_seq)`) // before the count, which goes on
	stored, missing := p.own("plimsoll_collector_ingest_frames_total"), p.own("plimsoll_collector_ingest_missing_frames_total")
	if missing != 0 || last < 20 || last > stored {
		t.Errorf("%v frames are missing, %v are stored, the last had the number %v", missing, stored, last)
	}
	t.Logf("%v frames over %v streams", stored, 1+p.own("plimsoll_collector_identity_streams_ended_total"))

	begun := time.Now()
	if _, said, ok := run("node", "revoke", "web7", "--data.path="+filepath.Join(p.dir, "collector")); !ok {
		t.Fatal(said)
	}
	p.until("the stream is cut", func() bool { return p.own("plimsoll_collector_ingest_streams") == 0 })
	t.Logf("cut within %v of the command's start", time.Since(begun).Round(time.Millisecond))
	frames := p.own("plimsoll_collector_ingest_frames_total")
	p.until("the agent has tried again", func() bool {
		return p.own(`plimsoll_collector_identity_refused_total{deed="renew",reason="revoked"}`) > 0
	})
	p.until("the agent says what to do", func() bool { return strings.Contains(agent.logged(), "plimsoll token create --node=web7") })
	if now := p.own("plimsoll_collector_ingest_frames_total"); now != frames {
		t.Errorf("%v frames came after the revocation", now-frames)
	}
	end()

	// Its own name lets it back in, and the spool has kept what was meanwhile.
	launch(t, p.agentArgs("web7", "--join="+p.invite())...)
	p.until("it streams again", func() bool { return p.own("plimsoll_collector_ingest_frames_total") > frames })
	if missing = p.own("plimsoll_collector_ingest_missing_frames_total"); missing != 0 {
		t.Errorf("%v frames are missing", missing)
	}
}

// impostor speaks for another node with the certificate of this one.
func (p *product) impostor(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(p.dir, "agent", "identity", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, error %v", files, err)
	}
	if _, said, ok := run(p.agentArgs("web8")...); ok || !strings.Contains(said, "is of node web7, and this node is web8") {
		t.Errorf("an agent by another name says %q", said)
	}
	var held struct{ Key, Certificate []byte }
	if err := secretfile.Read(files[0], &held); err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(held.Key)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("127.0.0.1:"+p.grpc, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		InsecureSkipVerify: true, Certificates: []tls.Certificate{{Certificate: [][]byte{held.Certificate}, PrivateKey: key}},
	})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, err := plimsollv1.NewIngestServiceClient(conn).Push(t.Context())
	if err == nil {
		err = s.Send(&plimsollv1.PushRequest{Kind: &plimsollv1.PushRequest_Hello{Hello: &plimsollv1.Hello{
			Protocol: 1, Node: "web8", SpoolId: "11111111-2222-4333-8444-555555555555", WallClockMs: time.Now().UnixMilli(),
		}}})
	}
	if err == nil {
		_, err = s.Recv()
	}
	if err != nil {
		t.Errorf("the certificate, which is good, is not believed: %v", err)
	}
	p.until("it is counted", func() bool { return p.own("plimsoll_collector_ingest_identity_mismatches_total") == 1 })
	if n := p.ask(`count(up{node="web8"})`); n != -1 {
		t.Errorf("up of the node that it said it was is stored: %v", n)
	}
}

// The agent in the same process joins like any other, at each start, and needs
// nothing of that once the collector is on loopback again.
func TestUpOffLoopbackNeedsNoHand(t *testing.T) {
	p := newProduct(t)
	for _, host := range []string{"0.0.0.0", "0.0.0.0", "127.0.0.1"} {
		end := p.serve("up", host, "--node.name=web7", "--docker.host=", "--no-gpu", "--no-disk", "--no-scrape.enabled")
		p.until("samples of the node arrive", func() bool { return p.own("plimsoll_collector_ingest_frames_total") > 2 })
		end()
	}
}
