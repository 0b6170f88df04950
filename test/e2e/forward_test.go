//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/port"
)

// target is a VictoriaMetrics that can go away and come back.
type target struct {
	t         *testing.T
	path      string
	dir, addr string
	cmd       *exec.Cmd
}

func newForwardTarget(t *testing.T) *target {
	t.Helper()
	path, err := exec.LookPath("victoria-metrics")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("victoria-metrics is not installed")
		}
		t.Skip("victoria-metrics is not installed: apt-get install --no-install-recommends victoria-metrics, and do not let it be started")
	}
	v := &target{t: t, path: path, dir: t.TempDir(), addr: port.Free(t)}
	v.start()
	t.Cleanup(v.stop)
	return v
}

func (v *target) start() {
	v.t.Helper()
	// What is sent twice is the same to the millisecond and to the bit.
	v.cmd = exec.Command(v.path, "-storageDataPath="+v.dir, "-httpListenAddr="+v.addr, "-retentionPeriod=1y", "-dedup.minScrapeInterval=1ms", "-loggerLevel=ERROR")
	if err := v.cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	if wait(patience, func() bool {
		resp, err := http.Get("http://" + v.addr + "/health")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	}) < 0 {
		v.t.Fatal("victoria-metrics does not answer")
	}
}

// stop lets it write out what it has accepted.
func (v *target) stop() {
	v.t.Helper()
	if v.cmd == nil {
		return
	}
	if err := v.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		v.t.Error(err)
	}
	_ = v.cmd.Wait()
	v.cmd = nil
}

// samples are the values by series and time, in ms.
func (v *target) samples(match string) map[string]map[int64]float64 {
	v.t.Helper()
	if resp, err := http.Get("http://" + v.addr + "/internal/force_flush"); err != nil {
		v.t.Fatal(err)
	} else {
		resp.Body.Close()
	}
	resp, err := http.Get("http://" + v.addr + "/api/v1/export?match[]=" + escape(match))
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	all := map[string]map[int64]float64{}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var s struct {
			Metric     map[string]string
			Values     []float64
			Timestamps []int64
		}
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			v.t.Fatal(err)
		}
		key := fmt.Sprint(s.Metric) // maps are printed in the order of their keys
		if all[key] == nil {
			all[key] = map[int64]float64{}
		}
		for i, at := range s.Timestamps {
			all[key][at] = s.Values[i]
		}
	}
	if lines.Err() != nil {
		v.t.Fatal(lines.Err())
	}
	return all
}

// stored are those of a collector.
func (p *process) stored(match, window string) map[string]map[int64]float64 {
	p.t.Helper()
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	if err := p.get("/api/v1/query?query="+escape(match+"["+window+"]"), &answer); err != nil {
		p.t.Fatal(err)
	}
	all := map[string]map[int64]float64{}
	for _, s := range answer.Data.Result {
		points := map[int64]float64{}
		for _, v := range s.Values {
			var f float64
			if _, err := fmt.Sscan(v[1].(string), &f); err != nil {
				p.t.Fatal(err)
			}
			points[int64(v[0].(float64)*1000+0.5)] = f
		}
		all[fmt.Sprint(s.Metric)] = points
	}
	return all
}

// The target is away, the collector is killed, and then it is away for a while
// itself: what agents have kept reaches the target too.
func TestATargetGetsWhatItsCollectorsOutageHeldBack(t *testing.T) {
	const away = 15 * time.Second
	v := newForwardTarget(t)
	data, config := t.TempDir(), filepath.Join(t.TempDir(), "forward.yaml")
	err := os.WriteFile(config, []byte("remote_write:\n- url: http://"+v.addr+"/api/v1/write\n  queue_config: {batch_send_deadline: 1s, max_backoff: 1s}\n"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	c := serve(t, "collector", "--data.path="+data, "--forward.config.file="+config)
	web, grpc := strings.TrimPrefix(c.url, "http://"), c.grpc
	a := start(t, "agent", "--data.path="+t.TempDir(), "--collector.address="+grpc, "--docker.host=unix:///nonexistent", "--no-gpu", "--no-disk")
	const nodes = `{__name__=~"node_.+"}`
	c.eventually(patience, `count_over_time(node_load1[30s]) > 3`, some)

	v.stop()
	pause(away)
	if n := c.sum("plimsoll_forward_pending_samples"); n < 1000 {
		t.Errorf("%v samples wait for a target that has been away for %v", n, away)
	}
	c.kill()
	pause(away)
	v.start()
	c = start(t, "collector", "--data.path="+data, "--forward.config.file="+config,
		"--web.listen-address="+strings.TrimSuffix(web, "/"), "--grpc.listen-address="+grpc)
	c.grpc, c.url = grpc, c.waitLine(patience, "http://")
	c.eventually(patience, `time() - timestamp(node_load1) < 6`, some)
	a.terminate()
	if wait(time.Minute, func() bool {
		return c.sum("plimsoll_forward_samples_total") > 0 && c.sum("plimsoll_forward_pending_samples") == 0
	}) < 0 {
		t.Fatalf("%v samples still wait", c.sum("plimsoll_forward_pending_samples"))
	}
	if n := c.sum("plimsoll_forward_dropped_total"); n != 0 {
		t.Errorf("%v samples were dropped", n)
	}

	want := c.stored(nodes, "10m")
	missing, samples := 0, 0
	// What VictoriaMetrics is making a part of at this moment it does not show.
	wait(patience, func() bool {
		missing, samples = 0, 0
		got := v.samples(nodes)
		for series, points := range want {
			for at, value := range points {
				samples++
				if there, ok := got[series][at]; !ok {
					missing++
				} else if math.Abs(there-value) > 1e-12*math.Abs(value) { // it keeps decimals: the last bit may be another
					t.Fatalf("%s at %d: %v here, %v there", series, at, value, there)
				}
			}
		}
		return missing == 0
	})
	if missing > 0 || samples < 1000 {
		t.Errorf("%d of %d samples of %d series are missing at the target", missing, samples, len(want))
	}
	t.Logf("%d samples of %d series are the same here and there", samples, len(want))
}

func pause(d time.Duration) {
	t := time.NewTimer(d)
	<-t.C
}
