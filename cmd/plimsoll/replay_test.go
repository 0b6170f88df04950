package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/alerting/ruletest"
)

// replayed runs a collector with an hour of a made-up load, which ends at until.
func replayed(t *testing.T) (url string, until time.Time) {
	t.Helper()
	dir := t.TempDir()
	var f collectorFlags
	app := kingpin.New("test", "")
	f.add(app.Command("collector", ""))
	if _, err := app.Parse([]string{"collector", "--data.path=" + dir, "--web.listen-address=127.0.0.1:0", "--grpc.listen-address=127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	p, err := newCollector(t.Context(), f, map[string]string{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	until = time.Now().Truncate(time.Minute)
	app2 := p.store.AppenderV2(t.Context())
	put := func(lset labels.Labels, at time.Duration, v float64) {
		if _, err := app2.Append(0, lset, 0, until.Add(-at).UnixMilli(), v, nil, nil, storage.AOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for at := 90 * time.Minute; at >= 0; at -= 15 * time.Second {
		minute := int((90*time.Minute - at) / time.Minute)
		load := 0.1
		switch {
		case minute >= 40 && minute < 50: // ten minutes
			load = 0.9
		case minute >= 60 && minute < 62: // two
			load = 0.9
		case minute >= 80: // still
			load = 0.9
		}
		put(labels.FromStrings("__name__", "app_load", "node", "a"), at, load)
		put(labels.FromStrings("__name__", "app_load", "node", "b"), at, 0.2)
	}
	if err := app2.Commit(); err != nil {
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
	return p.server.URL(), until
}

func TestRulesAreReplayedOverTheHistoryOfACollector(t *testing.T) {
	url, until := replayed(t)
	file := filepath.Join(t.TempDir(), "rules.yml")
	text := `groups:
- name: g
  rules:
  - record: node:load
    expr: max by (node) (app_load)
  - {alert: Busy, expr: app_load > 0.8, for: 5m, keep_firing_for: 3m, labels: {severity: critical}}
  - {alert: BusyAtOnce, expr: 'node:load > 0.8'}
  - {alert: BusyOnAverage, expr: 'avg_over_time(node:load[2m]) > 0.85'}
  - {alert: Never, expr: app_load > 2}
  - {alert: OfAnother, expr: 'node:load{node="a"} > 0.8'}
`
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	// From minute 30 on: Busy fires from 45 (40 and five) to 53 (50 and three),
	// not at 60, and from 85 on.
	args := []string{"test", "rules", "--replay=1h", "--url=" + url, "--until=" + until.Format(time.RFC3339), file}
	var out, trouble bytes.Buffer
	if code := run(t.Context(), append(args, "-o", "json"), &out, &trouble, nil); code != exitFindings || !strings.Contains(trouble.String(), "1 alert could not be replayed to the end") {
		t.Fatalf("exit code %d, want %d for OfAnother: %s", code, exitFindings, trouble.String())
	}
	var all []ruletest.Replayed
	if err := json.Unmarshal(out.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range all {
		got = append(got, fmt.Sprintf("%s fired %d times, averted %d, series %d, for %gs, longest %gs, still %d, trouble %t, episodes %d",
			r.Alert, r.Fired, r.Averted, r.Series, r.FiringSeconds, r.LongestSeconds, r.Still, r.Trouble != "", len(r.Episodes)))
	}
	want := []string{
		"BusyAtOnce fired 3 times, averted 0, series 1, for 1320s, longest 600s, still 1, trouble false, episodes 3",
		"BusyOnAverage fired 3 times, averted 0, series 1, for 1005s, longest 495s, still 1, trouble false, episodes 3",
		"Busy fired 2 times, averted 1, series 1, for 780s, longest 480s, still 1, trouble false, episodes 2",
		"Never fired 0 times, averted 0, series 0, for 0s, longest 0s, still 0, trouble false, episodes 0",
		"OfAnother fired 0 times, averted 0, series 0, for 0s, longest 0s, still 0, trouble true, episodes 0",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, r := range all {
		if r.Alert == "Busy" && (!r.First.Equal(until.Add(-45*time.Minute)) || r.Severity != "critical") {
			t.Errorf("Busy of severity %q first fired at %v, want %v", r.Severity, r.First, until.Add(-45*time.Minute))
		}
	}

	out.Reset()
	if code := run(t.Context(), args, &out, &trouble, nil); code != exitFindings {
		t.Fatalf("exit code %d, want %d for OfAnother: %s", code, exitFindings, trouble.String())
	}
	for _, part := range []string{"ALERT", "BusyAtOnce", "still firing", "Never fired:\n  Never", "OfAnother could not be replayed to the end: it asks for node:load{node=\"a\"}"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is missing in:\n%s", part, out.String())
		}
	}

	text, _, _ = strings.Cut(text, "  - {alert: OfAnother")
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	if code := run(t.Context(), args, &out, &trouble, nil); code != exitOK {
		t.Errorf("exit code %d without OfAnother: %s", code, trouble.String())
	}
}

func TestMetricsOfACollectorAreKnownToTheCheck(t *testing.T) {
	url, _ := replayed(t)
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte("groups: [{name: g, rules: [{alert: A, labels: {severity: low}, annotations: {summary: s}, expr: app_load > 1}]}]\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[int][]string{
		exitFindings:    {"check", "rules", file},
		exitOK:          {"check", "rules", "--url=" + url, file},
		exitUnreachable: {"check", "rules", "--url=http://127.0.0.1:1", file},
	} {
		var out, trouble bytes.Buffer
		if code := run(t.Context(), args, &out, &trouble, nil); code != want {
			t.Errorf("%v: exit code %d, want %d: %s%s", args, code, want, out.String(), trouble.String())
		}
	}
}
