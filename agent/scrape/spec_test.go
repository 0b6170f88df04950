package scrape

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

func TestLabelsSayWhatIsScraped(t *testing.T) {
	base := Spec{Scheme: "http", Port: 8080, Path: "/metrics", Interval: 15 * time.Second, Timeout: 10 * time.Second}
	with := func(change func(*Spec)) Spec { s := base; change(&s); return s }
	long := strings.Repeat("x", 2000)
	tests := map[string]struct {
		labels map[string]string
		spec   Spec // the zero Spec if it is not scraped
		errs   int  // lines
	}{
		"nothing":             {labels: map[string]string{"team": "red"}},
		"not asked to":        {labels: map[string]string{"prometheus.io/port": "8080"}},
		"asked not to":        {labels: map[string]string{"prometheus.io/scrape": "false", "prometheus.io/port": "x"}},
		"Prometheus' habit":   {labels: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}, spec: base},
		"ours":                {labels: map[string]string{"plimsoll.scrape.enabled": "true", "plimsoll.scrape.port": " 8080 "}, spec: base},
		"ours before others":  {labels: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "1", "plimsoll.scrape.port": "8080"}, spec: base},
		"ours against others": {labels: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "1", "plimsoll.scrape.enabled": "false"}},
		"all there is": {
			labels: map[string]string{
				"prometheus.io/scrape": "true", "prometheus.io/port": "8080", "prometheus.io/path": "/stats", "prometheus.io/scheme": "HTTPS",
				"plimsoll.scrape.interval": "5m", "plimsoll.scrape.timeout": "2s", "plimsoll.scrape.params.module": "a&b=c", "plimsoll.scrape.params.x": "1",
			},
			spec: Spec{Scheme: "https", Port: 8080, Path: "/stats", Query: "module=a%26b%3Dc&x=1", Interval: 5 * time.Minute, Timeout: 2 * time.Second},
		},
		"a short interval bounds the time too": {
			labels: map[string]string{"plimsoll.scrape.enabled": "1", "plimsoll.scrape.port": "8080", "plimsoll.scrape.interval": "1s"},
			spec:   with(func(s *Spec) { s.Interval, s.Timeout = time.Second, time.Second }),
		},
		"no port":              {labels: map[string]string{"prometheus.io/scrape": "true"}, errs: 1},
		"no number for a port": {labels: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "169.254.169.254:80"}, errs: 1},
		"too large a port":     {labels: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "65536"}, errs: 1},
		"all mistakes at once": {labels: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "0", "prometheus.io/path": "@evil/", "prometheus.io/scheme": "file"}, errs: 3},
		"too often":            {labels: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "1", "plimsoll.scrape.interval": "999ms"}, errs: 1},
		"too seldom":           {labels: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "1", "plimsoll.scrape.interval": "6m"}, errs: 1},
		"longer than often":    {labels: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "1", "plimsoll.scrape.interval": "2s", "plimsoll.scrape.timeout": "3s"}, errs: 1},
		"no time at all":       {labels: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "1", "plimsoll.scrape.timeout": "0s"}, errs: 1},
		"a path without end":   {labels: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "1", "prometheus.io/path": "/" + long}, errs: 1},
		"a parameter too long": {labels: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "1", "plimsoll.scrape.params.a": long}, errs: 1},
		"a parameter no text":  {labels: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "1", "plimsoll.scrape.params.a": "\xff"}, errs: 1},
		"parameters without end": {labels: func() map[string]string {
			l := map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "1"}
			for i := range 20 {
				l[fmt.Sprint("plimsoll.scrape.params.", i)] = ""
			}
			return l
		}(), errs: 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			spec, ok, err := ParseLabels(maps.Clone(tt.labels))
			want(t, "spec", spec, tt.spec)
			if ok != (tt.spec != Spec{}) {
				t.Errorf("scraped: %v", ok)
			}
			text := ""
			if err != nil {
				text = err.Error() + "\n"
			}
			if strings.Count(text, "\n") != tt.errs || len(text) > 500 {
				t.Errorf("error %q, want %d mistakes", text, tt.errs)
			}
		})
	}
}
