package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/scaler/backtest"
	"github.com/plimsoll-io/plimsoll/scaler/backtest/history"
	"github.com/plimsoll-io/plimsoll/scaler/backtest/report"
)

// stored runs a collector that has samples.
func stored(t *testing.T, fill func(put func(lset labels.Labels, at time.Time, v float64))) (url string) {
	t.Helper()
	var f collectorFlags
	app := kingpin.New("test", "")
	f.add(app.Command("collector", ""))
	if _, err := app.Parse([]string{"collector", "--data.path=" + t.TempDir(), "--web.listen-address=127.0.0.1:0", "--grpc.listen-address=127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	p, err := newCollector(t.Context(), f, map[string]string{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	batch := p.store.AppenderV2(t.Context())
	fill(func(lset labels.Labels, at time.Time, v float64) {
		if _, err := batch.Append(0, lset, 0, at.UnixMilli(), v, nil, nil, storage.AOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	if err := batch.Commit(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.run(ctx, nil) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
	return p.server.URL()
}

// sales is a collector with the last day of the example's load, as a counter of
// requests, and the replicas that there were.
func sales(t *testing.T) (url string) {
	t.Helper()
	var text bytes.Buffer
	if err := backtest.WriteExample(&text); err != nil {
		t.Fatal(err)
	}
	file, err := history.ReadCSV(&text)
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().Truncate(time.Minute)
	return stored(t, func(put func(labels.Labels, time.Time, float64)) {
		rps, total := file.Columns["rps"], 0.0
		steps := int(24 * time.Hour / file.Step)
		for i := range steps {
			// The third day, so that it has no gap.
			k := 2*steps + i
			at := end.Add(time.Duration(i+1-steps) * file.Step)
			total += rps[k] * file.Step.Seconds()
			put(labels.FromStrings("__name__", "http_requests_total", "service", "shop_web"), at, total)
			put(labels.FromStrings("__name__", "plimsoll_scaler_replicas_desired", "policy", "shop"), at, file.Columns["desired"][k])
			put(labels.FromStrings("__name__", "plimsoll_scaler_replicas_ready", "policy", "shop"), at, file.Columns["ready"][k])
		}
	})
}

// The tutorial is run as it is written: its files are made, its commands work, and what
// it says they tell is what they tell. go test ./cmd/plimsoll -run Tutorial -update
// writes that anew.
func TestTheTutorialOfBacktestsIsTrue(t *testing.T) {
	const doc = "../../docs/backtest.md"
	data, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	url := sales(t)
	old, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(data), "\n```")
	commands, told := 0, ""
	t.Chdir(t.TempDir())
	for i := 1; i < len(parts); i += 2 {
		kind, text, _ := strings.Cut(parts[i], "\n")
		switch kind {
		case "yaml":
			first, _, _ := strings.Cut(text, "\n")
			_, name, _ := strings.Cut(first, " for: ")
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		case "sh":
			told = ""
			for line := range strings.Lines(text) {
				commands++
				told += typed(t, strings.TrimSpace(line), url)
			}
		case "":
			if told == "" {
				t.Errorf("a block of text follows no command:\n%s", text)
			}
			if *update {
				parts[i] = "\n" + strings.TrimRight(told, "\n")
			} else if diff := cmp.Diff(strings.TrimRight(told, "\n"), text); diff != "" {
				t.Errorf("the tutorial is not what is told, -update writes it anew (-told +written):\n%s", diff)
			}
		}
	}
	if commands < 8 {
		t.Errorf("only %d commands found", commands)
	}
	if *update {
		if err := os.WriteFile(filepath.Join(old, doc), []byte(strings.Join(parts, "\n```")), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// typed does a line of the tutorial, and returns what it tells. Where it asks a
// collector, it asks that of the test.
func typed(t *testing.T, line, url string) string {
	t.Helper()
	line, comment, _ := strings.Cut(line, " # ")
	want := exitOK
	if comment == "exit code 4" {
		want = exitGate
	}
	line, into, _ := strings.Cut(line, " > ")
	var args []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 0 {
			args = append(args, strings.Fields(part)...)
		} else { // --fail-if='under>1%'
			args[len(args)-1] += part
		}
	}
	if !strings.Contains(line, "--load") && !strings.Contains(line, "--example") {
		args = append(args, "--url="+url)
	}
	var out, trouble bytes.Buffer
	if code := run(t.Context(), args[1:], &out, &trouble, nil); code != want {
		t.Errorf("%s: exit code %d, want %d: %s", line, code, want, trouble.String())
	}
	if into != "" {
		if err := os.WriteFile(into, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return ""
	}
	return out.String()
}

const shopPolicy = `version: plimsoll.scaler/v1
apps:
- name: shop
  target: {driver: swarm, service: shop_web}
  min: 2
  max: 40
  signals: [{name: rps, source: query, query: 'sum(rate(http_requests_total[30s]))', target: 100}]
`

// backtested runs a backtest of shopPolicy and returns what it said.
func backtested(t *testing.T, args ...string) (out, trouble string, code int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "shop.yaml")
	if err := os.WriteFile(file, []byte(shopPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	var o, e bytes.Buffer
	code = run(t.Context(), append([]string{"backtest", "-f", file}, args...), &o, &e, nil)
	return o.String(), e.String(), code
}

func TestABacktestReadsACollector(t *testing.T) {
	out, trouble, code := backtested(t, "--url="+sales(t), "--from=23h", "-o", "json", "--fail-if=under>5%", "--fail-if=known<90%")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, trouble)
	}
	var r report.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Runs) != 2 || r.Runs[0].Name != "shop" || r.Runs[1].Name != "as it ran" || len(r.Verdicts) != 2 {
		t.Fatalf("got %+v", r)
	}
	if s := r.Runs[0].Scores; s.KnownHours < 22.5 || s.ThetaU > 5 || s.ReplicaHours < 80 || s.Changes < 10 {
		t.Errorf("the policy: %+v", s)
	}
	if s := r.Runs[1].Scores; s.ThetaU == 0 || s.ReplicaHours < 80 {
		t.Errorf("as it ran: %+v", s)
	}
	if !strings.Contains(strings.Join(r.Plant, "\n"), "replicas take 45s, the median of") {
		t.Errorf("the plant is %v", r.Plant)
	}
}

func TestAStoreWithoutTheLoadIsTold(t *testing.T) {
	url := stored(t, func(put func(labels.Labels, time.Time, float64)) {
		put(labels.FromStrings("__name__", "other"), time.Now(), 1)
	})
	_, trouble, code := backtested(t, "--url="+url)
	if code != exitFailure || !strings.Contains(trouble, "nothing was recorded of any signal; rps: sum(rate(http_requests_total[30s])) returns nothing in that time") {
		t.Errorf("exit code %d: %s", code, trouble)
	}
	if _, trouble, code = backtested(t, "--url=http://127.0.0.1:1"); code != exitUnreachable || !strings.Contains(trouble, "no collector answers at http://127.0.0.1:1") {
		t.Errorf("exit code %d: %s", code, trouble)
	}
}

func TestATimeMayBeSoLongAgo(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"7d": now.AddDate(0, 0, -7), "-90m": now.Add(-90 * time.Minute),
		"2026-11-20T00:00:00Z": now.Add(-36 * time.Hour), "1795262400": now,
	} {
		if got, err := moment(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"soon", "-", "0d", "7", "d7"} {
		if got, err := moment(text, now); err == nil && text != "7" {
			t.Errorf("%s is taken for %v", text, got)
		}
	}
}

// On a terminal there is a bar, elsewhere a line now and then.
func TestHowFarABacktestIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newProgress(&out)
		p.bar.w = &out // as if it were a terminal
		<-time.After(10 * time.Second)
		p.show(0.25, "running shop")
		p.show(0.26, "running shop") // too soon
		if got, want := out.String(), "\r[#######.......................]  25 % running shop, 30s left \x1b[K"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		out.Reset()
		p.end()
		if got := out.String(); got != "\r\x1b[K" {
			t.Errorf("at the end: %q", got)
		}

		out.Reset()
		p = newProgress(&out)
		<-time.After(4 * time.Second)
		p.show(0.4, "reading the history of shop")
		if out.Len() > 0 {
			t.Errorf("after 4 s: %q", out.String())
		}
		<-time.After(time.Second)
		p.show(0.5, "reading the history of shop")
		if got, want := out.String(), "50% done, 5s left: reading the history of shop\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
