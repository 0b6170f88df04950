package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/agent/spool"
	"github.com/plimsoll-io/plimsoll/agent/stream"
)

// All of it together, from an agent's batch to the message, with an hour from one
// tick to the next: only what comes by arrival comes before the test is over.
func TestPeopleAreToldOfACrossingAnHourBeforeTheTick(t *testing.T) {
	told := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told <- string(body)
	}))
	defer hook.Close()
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	var f collectorFlags
	app := kingpin.New("test", "")
	f.add(app.Command("collector", ""))
	if _, err := app.Parse([]string{
		"collector", "--data.path=" + filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0", "--grpc.listen-address=127.0.0.1:0",
		"--rules.evaluation-interval=1h", "--no-rules.bundled",
		"--rules.file=" + write("rules.yml", "groups: [{name: g, rules: [{alert: High, expr: load > 90}]}]\n"),
		"--alerting.config.file=" + write("alertmanager.yml", fmt.Sprintf(
			"route: {receiver: hook, group_by: [name], group_wait: 0s}\nreceivers: [{name: hook, webhook_configs: [{url: %q}]}]\n", hook.URL)),
	}); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	p, err := newCollector(t.Context(), f, map[string]string{}, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	collected := make(chan error, 1)
	go func() { collected <- p.run(ctx, nil) }()
	defer func() {
		cancel()
		if err := <-collected; err != nil {
			t.Error(err)
		}
		if err := p.close(); err != nil {
			t.Error(err)
		}
	}()
	hears := func(from, name string) {
		t.Helper()
		select {
		case m := <-told:
			if !strings.Contains(m, `"name":"`+name+`"`) {
				t.Errorf("%s: message %s, want one about %s", from, m, name)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: nobody was told", from)
		}
	}

	sp, err := spool.Open(spool.Options{Dir: filepath.Join(dir, "spool"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	s, err := stream.New(stream.Options{Spool: sp, Target: p.server.GRPCAddress(), Node: "n1", Interval: time.Second, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	streamed := make(chan error, 2)
	go func() { streamed <- sp.Run(ctx) }()
	go func() { streamed <- s.Run(ctx) }()
	pushed := make(chan struct{})
	defer func() {
		cancel()
		<-pushed
		<-streamed
		<-streamed
		if err := sp.Close(); err != nil {
			t.Error(err)
		}
	}()
	group := &sample.Group{Series: []sample.Series{{Metric: &sample.Metric{Name: "load", Type: sample.Gauge}, Labels: []sample.Label{{Name: "name", Value: "web"}}}}}
	go func() { // as an agent does it, which does not wait until all here has begun
		defer close(pushed)
		var b sample.Batch
		for tick, i := time.NewTicker(200*time.Millisecond), uint64(0); ; i++ {
			b.Reset(i, time.Now())
			b.Add(group)[0] = 95
			if err := sp.Append(&b); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	hears("an agent", "web")

	appender := p.watched(p.store).AppenderV2(ctx)
	if _, err := appender.Append(0, labels.FromStrings("__name__", "load", "name", "shop"), 0, time.Now().UnixMilli(), 95, nil, nil, storage.AOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := appender.Commit(); err != nil {
		t.Fatal(err)
	}
	hears("remote write", "shop")
}
