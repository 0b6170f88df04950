package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/plimsoll-io/plimsoll/agent/discover"
)

func TestTheLimitOfOpenFilesIsThatOfTheFirstProcess(t *testing.T) {
	const metric = "container_ulimits_soft"
	tests := map[string]struct {
		limits string // of each process; none if empty
		want   string
	}{
		"a number":                       {limitsOf("4096"), "4096"},
		"no limit":                       {limitsOf("unlimited"), "-1"},
		"a process that cannot be seen":  {"", ""},
		"a file that has become another": {"nothing of that kind\n", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarbour(t, "hybrid", web(), cron())
			files, err := filepath.Glob(filepath.Join(h.roots.Proc, "*/limits"))
			if err != nil || len(files) == 0 {
				t.Fatalf("no process has limits: %v, %v", files, err)
			}
			for _, file := range files {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
				if tt.limits != "" {
					plant(t, filepath.Dir(file), map[string]string{"limits": tt.limits})
				}
			}
			err = h.collect()
			if bad := strings.HasPrefix(tt.limits, "nothing"); (err != nil) != bad {
				t.Errorf("error %v", err)
			}
			got := values(&h.batch)
			want(t, got, tt.want, metric, `name="web"`, `ulimit="max_open_files"`)
			want(t, got, "", metric, `name="cron"`) // which has no process
			if len(of(got, "container_spec_memory_limit_bytes", `name="web"`)) != 1 {
				t.Error("the rest of the container is not there")
			}
		})
	}
}

func TestUlimitsAreReadInTheFourthLane(t *testing.T) {
	h := newHarbour(t, "v2", scoped(web()))
	told := 0
	for range 2 * DefaultLanes().Fourth {
		told += len(of(h.sail(), "container_ulimits_soft"))
	}
	if told != 2 {
		t.Errorf("told %d times in two minutes, want 2", told)
	}
	h.there()
	h.sail() // reads it a last time
	h.sail()
	if !slices.Contains(h.endedNames(), "container_ulimits_soft") {
		t.Errorf("with the container ended: %v", h.endedNames())
	}
}

func TestAPodHasNoUlimits(t *testing.T) {
	c := web()
	c.Kind = discover.Pod
	want(t, newHarbour(t, "hybrid", c).sail(), "", "container_ulimits_soft")
}
