//go:build thanos

package thanos

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"
)

// The history that the tests are about: series of ten containers, a sample every
// ten seconds, over the twelve hours before the test.
const (
	containers = 10
	step       = 10 * time.Second
	length     = 12 * time.Hour
	perSeries  = int(length / step)
	metric     = "container_cpu_usage_seconds_total"
)

// history is when the samples are, and what some store has of them.
type history struct{ from, to time.Time }

func newHistory() history {
	to := time.Now().Truncate(step)
	return history{to.Add(-length), to}
}

// span is a part of the history, in hours from its beginning.
type span struct{ from, to int }

func (s span) has(h history, at time.Time) bool {
	hour := at.Sub(h.from).Hours()
	return hour >= float64(s.from) && hour < float64(s.to)
}

// write makes a data directory with the history in the log of its store, except
// what was lost; what came late was written after everything else.
func (h history) write(t *testing.T, lost, late span) string {
	t.Helper()
	data := t.TempDir()
	o := tsdb.DefaultOptions()
	o.OutOfOrderTimeWindow = (24 * time.Hour).Milliseconds()
	o.WALCompression = compression.Snappy
	db, err := tsdb.Open(filepath.Join(data, "tsdb"), nil, nil, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	db.DisableCompactions()
	for _, second := range []bool{false, true} {
		for at := h.from; at.Before(h.to); at = at.Add(step) {
			if lost.has(h, at) || late.has(h, at) != second {
				continue
			}
			app := db.Appender(context.Background())
			for n := range containers {
				if _, err := app.Append(0, name(n), at.UnixMilli(), value(n, at)); err != nil {
					t.Fatal(err)
				}
			}
			if err := app.Commit(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return data
}

func name(n int) labels.Labels {
	return labels.FromStrings("__name__", metric, "name", fmt.Sprintf("c%d", n), "node", "n1")
}

func value(n int, at time.Time) float64 { return float64(n*1_000_000) + float64(at.Unix()%100_000) }

// same fails unless an engine has the history up to a time, each sample once and
// as it was, or says what is wrong.
func (h history) same(web string, until time.Time) error {
	got, err := ask(web, fmt.Sprintf(`%s{node="n1"}[%ds]`, metric, int(length.Seconds())+60), until)
	if err != nil {
		return err
	}
	if len(got) != containers {
		return fmt.Errorf("%d series, want %d: %.300v", len(got), containers, got)
	}
	for n := range containers {
		var r *result
		for i := range got {
			if got[i].Metric["name"] == fmt.Sprintf("c%d", n) {
				r = &got[i]
			}
		}
		if r == nil {
			return fmt.Errorf("series c%d is not there", n)
		}
		want, i := 0, 0
		for at := h.from; at.Before(h.to) && !at.After(until); at = at.Add(step) {
			if want++; i >= len(r.Values) {
				continue
			}
			if ts := r.Values[i][0].(float64); int64(ts*1000) != at.UnixMilli() {
				continue
			}
			if text := fmt.Sprint(r.Values[i][1]); text != fmt.Sprint(int(value(n, at))) {
				return fmt.Errorf("series c%d at %v: %s, want %v", n, at, text, value(n, at))
			}
			i++
		}
		if len(r.Values) != want || i != want {
			return fmt.Errorf("series c%d: %d samples, %d of them as they should be, want %d", n, len(r.Values), i, want)
		}
	}
	return nil
}

// blocks are the descriptions of the blocks in a bucket, by name.
func blocks(t *testing.T, dir string) map[string]tsdb.BlockMeta {
	t.Helper()
	all := map[string]tsdb.BlockMeta{}
	files, err := filepath.Glob(filepath.Join(dir, "*", "meta.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		var m tsdb.BlockMeta
		if err != nil || json.Unmarshal(data, &m) != nil {
			continue // being written
		}
		all[filepath.Base(filepath.Dir(f))] = m
	}
	return all
}

// filled says whether a bucket has so many of the samples of the history, those
// of a late span among them in a block of their own.
func filled(t *testing.T, dir string, want uint64, late bool) error {
	sum, lates := uint64(0), 0
	for _, m := range blocks(t, dir) {
		sum += m.Stats.NumSamples
		if m.Compaction.FromOutOfOrder() {
			lates++
		}
	}
	if sum < want || late && lates == 0 {
		return fmt.Errorf("%d samples in the bucket, want %d and more; %d blocks of late ones", sum, want, lates)
	}
	return nil
}

// cut is the end of the newest block in a bucket.
func cut(t *testing.T, dir string) time.Time {
	t.Helper()
	newest := time.Time{}
	for _, m := range blocks(t, dir) {
		if end := time.UnixMilli(m.MaxTime); end.After(newest) {
			newest = end
		}
	}
	return newest.Add(-time.Millisecond)
}

// A pair holds the same, apart from what one of them has lost with its disk.
// What was away in between came late. The querier sees both through sidecars,
// and what a dead one had through the bucket.
func TestOfAPairWithOneKilledEverySampleIsThereOnce(t *testing.T) {
	h := newHistory()
	bucket, dir := bucketFile(t)
	a := collect(t, h.write(t, span{1, 3}, span{5, 6}), "--cluster.name=e2e", "--replica.name=a", "--objstore.config-file="+bucket)
	b := collect(t, h.write(t, span{}, span{4, 7}), "--cluster.name=e2e", "--replica.name=b", "--objstore.config-file="+bucket)
	_, sidecarA := a.sidecar(t)
	_, sidecarB := b.sidecar(t)
	store := gateway(t, bucket)

	both := querier(t, "chain", sidecarA, sidecarB)
	until(t, "the querier has all of both", time.Minute, func() error { return h.same(both, h.to) })

	// The head is written out within a minute or two of the start; each of the
	// two has at least four blocks of two hours then.
	until(t, "the blocks are in the bucket", 5*time.Minute, func() error {
		return filled(t, dir, uint64(14*time.Hour/step)*containers, true)
	})
	all := querier(t, "chain", sidecarA, sidecarB, store)
	until(t, "the querier has all of both and of the bucket", time.Minute, func() error { return h.same(all, h.to) })

	b.end(syscall.SIGKILL)
	until(t, "it has all with one of them killed", time.Minute, func() error { return h.same(all, h.to) })
	if h.same(both, h.to) == nil {
		t.Error("nothing is missing without the bucket, so the bucket shows nothing")
	}
	b.again(t)
	until(t, "it has all with both back", time.Minute, func() error { return h.same(all, h.to) })
	t.Logf("%d series × %d samples, each once: both; one killed; both back", containers, perSeries)

	// With the default way of merging, samples are missing where one of the pair
	// has a hole. docs/scaling-out.md says so.
	penalty := querier(t, "penalty", sidecarA, sidecarB, store)
	if err := h.same(penalty, h.to); err != nil {
		t.Logf("with --deduplication.func=penalty: %v", err)
	}
}

// What is in the bucket is all there is of a collector that is gone, up to the
// newest block.
func TestTheBucketAloneHasEverySampleOfItsBlocksOnce(t *testing.T) {
	h := newHistory()
	bucket, dir := bucketFile(t)
	c := collect(t, h.write(t, span{}, span{4, 7}), "--cluster.name=e2e", "--replica.name=a", "--objstore.config-file="+bucket)
	until(t, "the blocks are in the bucket", 5*time.Minute, func() error {
		return filled(t, dir, uint64(8*time.Hour/step)*containers, true)
	})
	c.end(syscall.SIGKILL)
	query := querier(t, "chain", gateway(t, bucket))
	end := cut(t, dir)
	until(t, "the querier has all of the bucket", time.Minute, func() error { return h.same(query, end) })
	path, err := thanos()
	if err != nil {
		t.Fatal(err)
	}
	verify := exec.Command(path, "tools", "bucket", "verify", "--issues=index_known_issues", "--objstore.config-file="+bucket)
	if out, err := verify.CombinedOutput(); err != nil || strings.Contains(string(out), "level=warn") || strings.Contains(string(out), "level=error") {
		t.Errorf("thanos tools bucket verify: %v\n%s", err, out)
	}
	t.Logf("%d blocks, %.1f of %.0f hours, each sample once", len(blocks(t, dir)), end.Sub(h.from).Hours(), length.Hours())
}

// The sidecar uploads itself, where the collector is told which file it keeps.
func TestASidecarUploadsBackfilledHoursToo(t *testing.T) {
	h := newHistory()
	bucket, dir := bucketFile(t)
	data := h.write(t, span{}, span{4, 7})
	c := collect(t, data, "--cluster.name=e2e", "--replica.name=a",
		"--storage.tsdb.delay-compact-file.path="+filepath.Join(data, "tsdb", "thanos.shipper.json"))
	_, sidecar := c.sidecar(t, "--objstore.config-file="+bucket)
	live := querier(t, "chain", sidecar)
	until(t, "the sidecar answers for the head and the blocks", time.Minute, func() error { return h.same(live, h.to) })
	until(t, "it has uploaded the blocks", 5*time.Minute, func() error {
		return filled(t, dir, uint64(8*time.Hour/step)*containers, true)
	})
	query := querier(t, "chain", gateway(t, bucket))
	end := cut(t, dir)
	until(t, "the querier has all of the bucket", time.Minute, func() error { return h.same(query, end) })
	t.Logf("%d blocks by the sidecar, %.1f of %.0f hours, each sample once", len(blocks(t, dir)), end.Sub(h.from).Hours(), length.Hours())
}

// Rules of a collector that holds nothing itself, over everything the querier
// has. When part of that is out of reach, nothing is concluded from the rest.
func TestRulesReadTheWholeThroughTheQuerier(t *testing.T) {
	h := newHistory()
	a := collect(t, h.write(t, span{}, span{}), "--cluster.name=e2e", "--replica.name=a")
	agent(t, a.grpc)
	beside, sidecar := a.sidecar(t)
	query := querier(t, "chain", sidecar)
	until(t, "the agent's samples are there", time.Minute, func() error {
		got, err := ask(query, `plimsoll_ingest_seq{node="n7"}`, time.Now())
		if err == nil && len(got) == 0 {
			err = fmt.Errorf("none yet")
		}
		return err
	})
	rules := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(rules, []byte(fmt.Sprintf(`groups:
- name: g
  interval: 1s
  rules:
  - alert: Seen
    expr: count(count_over_time(%s{node="n1"}[12h])) == %d
`, metric, containers)), 0o600); err != nil {
		t.Fatal(err)
	}
	over := collect(t, t.TempDir(), "--query.upstream=http://"+query, "--rules.file="+rules, "--no-rules.bundled")
	firing := func() (bool, error) {
		body, err := get("http://" + over.web + "/api/v1/alerts")
		return strings.Contains(string(body), `"firing"`), err
	}
	until(t, "the alert fires", time.Minute, func() error {
		ok, err := firing()
		if err == nil && !ok {
			err = fmt.Errorf("it does not")
		}
		return err
	})
	beside.end(syscall.SIGKILL)
	until(t, "the rule has been asked about for a while with nothing there", time.Minute, func() error {
		body, err := get("http://" + over.web + "/metrics")
		refused := 0.0
		for line := range strings.Lines(string(body)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			if name == `plimsoll_upstream_queries_total{result="stale"}` || name == `plimsoll_upstream_queries_total{result="partial"}` {
				n, bad := strconv.ParseFloat(value, 64)
				if bad != nil {
					return bad
				}
				refused += n
			}
		}
		if err == nil && refused < 20 {
			err = fmt.Errorf("%v answers refused", refused)
		}
		return err
	})
	if ok, err := firing(); err != nil || !ok {
		t.Errorf("the alert was taken back because the data went: %v, error %v", ok, err)
	}
}
