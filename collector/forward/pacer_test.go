package forward

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestPausesGrowAndEndWithASuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer{least: 100 * time.Millisecond, most: time.Second}
		pause := func() time.Duration {
			from := time.Now()
			if !p.wait(t.Context()) {
				t.Fatal("not waited")
			}
			return time.Since(from)
		}
		for i, want := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
			want *= time.Millisecond
			p.failed(0)
			p.failed(0) // on its way at the same time
			if got := pause(); got < want || got > want+want/4 {
				t.Errorf("pause %d is %v, want %v or a little more", i, got, want)
			}
		}
		p.succeeded()
		p.failed(0)
		if got := pause(); got > 125*time.Millisecond {
			t.Errorf("after a success a pause of %v", got)
		}
		p.failed(0)
		p.failed(30 * time.Second)
		if got := pause(); got < 29*time.Second || got > 31*time.Second {
			t.Errorf("the target asked for 30s and got %v", got)
		}
		p.failed(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if p.wait(ctx) {
			t.Error("waited on after the end")
		}
	})
}

// Each of the requests that are sent at a time gets the same answer.
func TestOneRefusalOfManyRequestsIsOnePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer{least: 100 * time.Millisecond, most: 10 * time.Second}
		from := time.Now()
		for range 8 {
			p.failed(time.Second)
		}
		if !p.wait(t.Context()) || time.Since(from) != time.Second {
			t.Errorf("paused for %v, want the second that the target asks for", time.Since(from))
		}
	})
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	now := time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"":                                       0,
		"7":                                      7 * time.Second,
		"-7":                                     0,
		"99999":                                  maxRetryAfter,
		"99999999999999999999":                   0,
		now.Add(-time.Hour).Format(time.RFC1123): 0,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
		"soon": 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestWhatAnAnswerMeans(t *testing.T) {
	tests := map[int]struct{ held, divisible bool }{
		0:   {held: true}, // no answer
		307: {held: true},
		400: {divisible: true},
		401: {held: true},
		403: {held: true},
		404: {held: true},
		408: {held: true},
		409: {divisible: true},
		410: {},
		413: {divisible: true},
		415: {held: true},
		422: {divisible: true},
		429: {held: true},
		500: {held: true},
		503: {held: true},
	}
	for status, want := range tests {
		if a := (answer{status: status}); a.held() != want.held || a.divisible() != want.divisible {
			t.Errorf("%d: held %v, divisible %v", status, a.held(), a.divisible())
		}
	}
}
