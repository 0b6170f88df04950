package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/agent/discover"
)

func TestDockerContainerWaitsForItsName(t *testing.T) {
	anonymous := web()
	anonymous.Known, anonymous.Name, anonymous.Image, anonymous.Labels = false, "", "", nil
	const usage, named = "container_cpu_usage_seconds_total", `name="web"`

	t.Run("and then has never been anything else", func(t *testing.T) {
		h := newHarbour(t, "v1", anonymous)
		want(t, h.sail(), "", usage, busyID)
		h.there(web())
		want(t, h.sail(), "4.075270514", usage, busyID, named)
		if len(h.batch.Ended) != 0 {
			t.Errorf("ended: %v", h.endedNames())
		}
	})
	t.Run("two seconds and no longer", func(t *testing.T) {
		h := newHarbour(t, "v1", anonymous)
		h.skip(2)
		got := h.sail()
		want(t, got, "4.075270514", usage, busyID)
		want(t, got, "", usage, named)
		want(t, got, "4136960", "container_memory_rss", busyID) // all of it, at its first tick
	})
	t.Run("and changes its series when it comes late", func(t *testing.T) {
		h := newHarbour(t, "v1", anonymous)
		h.skip(4)
		h.there(web())
		got := h.sail()
		want(t, got, "4.075270514", usage, busyID, named)
		want(t, got, "4.075270514", usage, busyID) // the only one
		if !slices.Contains(h.endedNames(), usage) || !slices.Contains(h.endedNames(), "container_last_seen") {
			t.Errorf("ended: %v", h.endedNames())
		}
	})
	t.Run("not if it is no Docker container", func(t *testing.T) {
		other := anonymous
		other.Runtime = "containerd"
		want(t, newHarbour(t, "v1", other).sail(), "4.075270514", usage, busyID)
	})
}

func TestNewsThatChangeNoLabelChangeNoSeries(t *testing.T) {
	h := newHarbour(t, "v1", web())
	h.sail()
	later := web()
	later.Started = later.Started.Add(time.Hour)
	h.there(later)
	h.skip(15)
	if len(h.ended) != 0 {
		t.Errorf("%d groups ended", len(h.ended))
	}
}

func TestContainersCannotForgeLabels(t *testing.T) {
	c := web()
	c.Name = "\xff\xfeevil\nname"
	c.Image = strings.Repeat("ß", 1000)
	c.Labels = map[string]string{
		"com.docker.compose.project": strings.Repeat("x", 100_000),
		"com.docker.compose.service": "",
		"__name__":                   "up", "instance": "other", "job": "other",
	}
	h := newHarbour(t, "v1", c)
	h.sail()
	got := make(map[string]string)
	for _, l := range h.source.containers[0].series.labels {
		got[l.Name] = l.Value
	}
	wanted := map[string]string{
		"id": c.Cgroup, "job": "cadvisor", "name": "\uFFFDevil\nname", "image": strings.Repeat("ß", 512),
		"container_label_com_docker_compose_project": strings.Repeat("x", 1024),
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Error(diff)
	}
	const mended = "plimsoll_agent_container_labels_mended_total"
	want(t, values(&h.batch), "3", mended)
	h.there(c) // as when another has come
	h.skip(14)
	want(t, h.sail(), "3", mended)
}

func TestWantedLabels(t *testing.T) {
	many := make([]string, 100)
	for i := range many {
		many[i] = fmt.Sprint("label.", i)
	}
	tests := map[string]struct {
		keys []string
		want []string
	}{
		"get a legal name":                 {[]string{"com.example/a-b é"}, []string{"container_label_com_example_a_b__"}},
		"that come to the same count once": {[]string{"a.b", "a-b"}, []string{"container_label_a_b"}},
		"are limited in number":            {many, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNaming(tt.keys)
			if len(n.wanted) > maxLabels {
				t.Errorf("%d labels", len(n.wanted))
			}
			for i := range tt.want {
				if n.wanted[i].name != tt.want[i] || len(n.wanted) != len(tt.want) {
					t.Errorf("%v, want %q", n.wanted, tt.want)
				}
			}
		})
	}
}

func FuzzCleanLabel(f *testing.F) {
	f.Add("web")
	f.Add("\xff" + strings.Repeat("é", 600))
	f.Fuzz(func(t *testing.T, value string) {
		n := newNaming(nil)
		got := n.clean(value)
		if strings.ToValidUTF8(got, "") != got || len(got) > 3*maxLabelValue {
			t.Errorf("%q becomes %q", value, got)
		}
		if again := n.clean(got); len(got) <= maxLabelValue && again != got {
			t.Errorf("%q becomes %q and then %q", value, got, again)
		}
	})
}

func TestNameOfAContainerInAPod(t *testing.T) {
	tests := map[string]struct {
		of   discover.Container
		want string
	}{
		"is its id on containerd":               {discover.Container{Known: true, PodUID: "u", ID: "1234", Name: "app"}, "1234"},
		"is the engine's if that names it":      {discover.Container{Known: true, PodUID: "u", ID: "1234", Name: "k8s_app_web-0_shop_u_0"}, "k8s_app_web-0_shop_u_0"},
		"is unknown until the runtime is heard": {discover.Container{PodUID: "u", ID: "1234"}, ""},
		"is the engine's outside of pods":       {discover.Container{Known: true, ID: "1234", Name: "app"}, "app"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := nameOf(&tt.of); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
