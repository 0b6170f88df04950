package forward

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/plimsoll-io/plimsoll/internal/testkit/port"
)

// peer is a target that others have made, on a port of its own.
type peer struct {
	args func(dir, addr string) []string
	read func(t *testing.T, base string) map[string]map[int64]float64

	path, dir, addr string
	cmd             *exec.Cmd
}

func peers() map[string]*peer {
	return map[string]*peer{
		"victoria-metrics": {
			args: func(dir, addr string) []string {
				return []string{"-storageDataPath=" + dir, "-httpListenAddr=" + addr, "-retentionPeriod=1y", "-dedup.minScrapeInterval=1ms", "-loggerLevel=ERROR"}
			},
			read: exported,
		},
		"prometheus": {
			args: func(dir, addr string) []string {
				config := filepath.Join(dir, "prometheus.yml")
				_ = os.WriteFile(config, []byte("storage: {tsdb: {out_of_order_time_window: 1d}}\n"), 0o600)
				return []string{
					"--config.file=" + config, "--storage.tsdb.path=" + filepath.Join(dir, "tsdb"), "--web.listen-address=" + addr,
					"--web.enable-remote-write-receiver", "--log.level=error",
				}
			},
			read: queried,
		},
	}
}

// TestARealTargetHasEverySampleOrItIsCounted has the target away, the sender
// killed twice and its spool damaged meanwhile.
func TestARealTargetHasEverySampleOrItIsCounted(t *testing.T) {
	for name, p := range peers() {
		t.Run(name, func(t *testing.T) {
			var err error
			if p.path, err = exec.LookPath(name); err != nil {
				lacking(t, "%s is not installed: apt-get install --no-install-recommends %s", name, name)
			}
			p.dir, p.addr = t.TempDir(), port.Free(t)
			dir, url := t.TempDir(), "http://"+p.addr
			p.start(t)
			epoch := time.Now().Add(-time.Hour).UnixMilli()
			acked := runAndKill(t, url, dir, epoch, 0, 10)

			p.stop(t)
			acked = runAndKill(t, url, dir, epoch, acked, 40)
			damage(t, dir)
			acked = runAndKill(t, url, dir, epoch, acked, 40)
			p.start(t)
			r := start(t, Options{Dir: dir}, configured(t, quick(url, version1)))
			e := r.drained(t)
			lost := int(e.Dropped["damaged"])
			if lost == 0 || len(e.Dropped) != 1 {
				t.Errorf("dropped %v, want damaged samples alone", e.Dropped)
			}
			// What VictoriaMetrics is making a part of at this moment it does not show.
			missing := 0
			defer func() {
				t.Logf("%d samples acknowledged, %d of them damaged on disk, %d missing at the target, sent %d with %d retries",
					acked*childSeries, lost, missing, e.Sent, e.Retries)
			}()
			eventually(t, "what was sent shows", func() bool {
				missing = compare(t, p.read(t, url), epoch, acked)
				return missing <= lost
			})
			if missing != lost {
				t.Errorf("%d samples are missing, %d were counted", missing, lost)
			}
		})
	}
}

// damage flips a byte in the middle of the newest segment with something in it.
func damage(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.fwd"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no segments in %s: %v", dir, err)
	}
	path := files[len(files)-1]
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *peer) start(t *testing.T) {
	t.Helper()
	p.cmd = exec.Command(p.path, p.args(p.dir, p.addr)...)
	var said bytes.Buffer
	p.cmd.Stdout, p.cmd.Stderr = &said, &said
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.stop(t) })
	eventually(t, "a target that listens", func() bool {
		resp, err := http.Get("http://" + p.addr + "/-/ready")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// stop ends it in an orderly way: what it has accepted is its own to keep.
func (p *peer) stop(t *testing.T) {
	t.Helper()
	if p.cmd == nil {
		return
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	_ = p.cmd.Wait()
	p.cmd = nil
	http.DefaultClient.CloseIdleConnections()
}

func get(t *testing.T, address string) io.ReadCloser {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s: %s: %s", address, resp.Status, text)
	}
	return resp.Body
}

// exported reads what VictoriaMetrics has, a line for each series and block.
func exported(t *testing.T, base string) map[string]map[int64]float64 {
	t.Helper()
	get(t, base+"/internal/force_flush").Close()
	body := get(t, base+"/api/v1/export?match[]="+url.QueryEscape(`{__name__=~".+"}`))
	defer body.Close()
	all := map[string]map[int64]float64{}
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var series struct {
			Metric     map[string]string
			Values     []float64
			Timestamps []int64
		}
		if err := json.Unmarshal(lines.Bytes(), &series); err != nil {
			t.Fatal(err)
		}
		key := labels.FromMap(series.Metric).String()
		if all[key] == nil {
			all[key] = map[int64]float64{}
		}
		for i, at := range series.Timestamps {
			all[key][at] = series.Values[i]
		}
	}
	if lines.Err() != nil {
		t.Fatal(lines.Err())
	}
	return all
}

// queried reads what Prometheus has of the last two hours.
func queried(t *testing.T, base string) map[string]map[int64]float64 {
	t.Helper()
	body := get(t, fmt.Sprintf("%s/api/v1/query?time=%d&query=%s", base, time.Now().Add(time.Hour).Unix(), url.QueryEscape(`container_memory_usage_bytes[3h]`)))
	defer body.Close()
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	if err := json.NewDecoder(body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	all := map[string]map[int64]float64{}
	for _, series := range answer.Data.Result {
		points := map[int64]float64{}
		for _, p := range series.Values {
			v, err := strconv.ParseFloat(p[1].(string), 64)
			if err != nil {
				t.Fatal(err)
			}
			points[int64(p[0].(float64)*1000+0.5)] = v
		}
		all[labels.FromMap(series.Metric).String()] = points
	}
	return all
}

// lacking skips a test for want of something, which fails where all is to be there.
func lacking(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
