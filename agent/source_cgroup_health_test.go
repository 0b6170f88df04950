package agent

import (
	"slices"
	"testing"

	"github.com/plimsoll-io/plimsoll/agent/discover"
)

func TestHealthIsWhatTheEngineSays(t *testing.T) {
	podman, unheard, inPod, sandbox := web(), web(), web(), web()
	podman.Runtime = "podman"
	unheard.Known = false
	inPod.Runtime, inPod.PodUID = "containerd", "u"
	sandbox.Kind = discover.Sandbox
	tests := map[string]struct {
		of     discover.Container
		health discover.Health
		want   string
	}{
		"healthy":                      {web(), discover.Healthy, "1"},
		"not yet":                      {web(), discover.Starting, "0"},
		"unhealthy":                    {web(), discover.Unhealthy, "0"},
		"unchecked":                    {web(), discover.NoHealth, "-1"},
		"nothing where nobody checks":  {inPod, discover.NoHealth, ""},
		"nothing of a sandbox":         {sandbox, discover.NoHealth, ""},
		"nothing where nobody is told": {podman, discover.NoHealth, ""},
		"nothing before it is heard":   {unheard, discover.NoHealth, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.of.Health = tt.health
			h := newHarbour(t, "v1", tt.of)
			h.skip(2) // its patience
			var got map[string]string
			for range 15 {
				if got = h.sail(); len(of(got, "container_threads")) > 0 {
					break
				}
			}
			want(t, got, tt.want, "container_health_state")
		})
	}
}

func TestReadingsThatFailAreTold(t *testing.T) {
	h := newHarbour(t, "v1", web())
	got := h.sail()
	want(t, got, "0", "container_scrape_error")
	want(t, got, "0", "machine_scrape_error")
	h.write("memory/docker/"+busyID+"/memory.stat", "total_rss much\n")
	var told []string
	for range 30 {
		_ = h.collect()
		told = append(told, of(values(&h.batch), "container_scrape_error")...)
	}
	if !slices.Equal(told, []string{"1", "1"}) {
		t.Errorf("told %v", told)
	}
}
