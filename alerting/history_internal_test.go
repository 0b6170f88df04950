package alerting

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"

	"github.com/plimsoll-io/plimsoll/alerting/history"
)

func newTestRecorder(t *testing.T, dir string) *recorder {
	t.Helper()
	r, err := newRecorder(Options{DataDir: dir, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Nothing waits for the disk: here it takes nothing at all.
func TestWhatTheDiskIsTooSlowForIsDroppedAndCounted(t *testing.T) {
	r := newTestRecorder(t, t.TempDir())
	const more = 7
	for range eventQueue + more {
		r.note(history.Event{Kind: history.Tested})
	}
	if got := testutil.ToFloat64(r.dropped); got != more {
		t.Errorf("%v dropped, want %d", got, more)
	}
	r.start()
	r.end()
	if got := testutil.ToFloat64(r.recorded.WithLabelValues("tested")); got != eventQueue {
		t.Errorf("%v written, want the %d that had room", got, eventQueue)
	}
}

// An alert of the API that nobody repeats ends when its time is over.
func TestAnAlertWhoseTimeRanOutIsResolvedInTheHistory(t *testing.T) {
	dir := t.TempDir()
	r := newTestRecorder(t, dir)
	r.start()
	now := time.Now()
	a := &alert.Alert{Alert: model.Alert{Labels: model.LabelSet{"alertname": "A"}, StartsAt: now.Add(-time.Minute), EndsAt: now.Add(time.Minute)}}
	r.stored(a)
	over := *a
	over.EndsAt = now.Add(-time.Second)
	r.stored(&over) // as mem.Alerts forgets it
	r.stored(&over)
	r.end()
	events, err := r.disk.Read(t.Context(), history.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 2 || events[0].Kind != history.Resolved || events[1].Kind != history.Created {
		t.Errorf("%+v, want one of its beginning and one of its end", events)
	}
}

func TestErrorsAreToldWithoutWhatLetsOneSend(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"a path":          {errors.New("post https://hooks.example/services/T0/B0/sesame: EOF"), "post https://hooks.example/… EOF"},
		"a query":         {errors.New(`"https://oapi.example?token=sesame" said no`), `"https://oapi.example/…" said no`},
		"a password":      {errors.New("smtp://user:sesame@mail.example:25 refused"), "smtp://mail.example:25/… refused"},
		"inside an error": {fmt.Errorf("send: %w", &url.Error{Op: "Post", URL: "https://bot.example/bot1:sesame/send", Err: errors.New("EOF")}), "https://bot.example/…"},
		"nothing":         {errors.New("connection refused"), "connection refused"},
		"a novel":         {errors.New(strings.Repeat("ж", 5000)), "ж…"},
	} {
		t.Run(name, func(t *testing.T) {
			got := scrub(tt.err)
			if !strings.Contains(got, tt.want) || strings.Contains(got, "sesame") || len(got) > 600 {
				t.Errorf("got %q, want %q in it", got, tt.want)
			}
		})
	}
}

func FuzzScrub(f *testing.F) {
	f.Add("https://", "a.example", "/x/sesame?y=z")
	f.Add("HTTP://user:pw@", "[::1]:80", "?k=v#f")
	f.Fuzz(func(t *testing.T, scheme, host, rest string) {
		u, err := url.Parse(scheme + host + "/" + rest + "SECRET")
		if err != nil || u.Host == "" || u.Scheme == "" || strings.ContainsAny(u.String(), " \t\r\n\"'<>") {
			t.Skip()
		}
		if strings.Contains(u.Host+u.Scheme, "SECRET") {
			t.Skip()
		}
		if got := scrub(&url.Error{Op: "Post", URL: u.String(), Err: errors.New("EOF")}); strings.Contains(got, "SECRET") {
			t.Errorf("%q is told of %s", got, u)
		}
	})
}
