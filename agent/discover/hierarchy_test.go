package discover

import (
	"os"
	"path/filepath"
	"testing"
)

func TestHierarchy(t *testing.T) {
	tests := map[string]struct {
		files []string
		want  string // below the root
	}{
		"cgroup v2 has one":                    {[]string{"cgroup.controllers", "cgroup.procs"}, ""},
		"of v1, pids":                          {[]string{"cpu/cgroup.procs", "memory/cgroup.procs", "pids/cgroup.procs"}, "pids"},
		"hybrid, a controller of v1":           {[]string{"unified/cgroup.controllers", "unified/cgroup.procs", "pids/cgroup.procs"}, "pids"},
		"of v1 without pids, cpuacct":          {[]string{"memory/cgroup.procs", "cpuacct/cgroup.procs"}, "cpuacct"},
		"controllers mounted together":         {[]string{"memory/cgroup.procs", "cpu,cpuacct/cgroup.procs"}, "cpu,cpuacct"},
		"hybrid with all controllers in v2":    {[]string{"unified/cgroup.controllers", "unified/cgroup.procs", "systemd/cgroup.procs"}, "unified"},
		"a directory that is no hierarchy yet": {[]string{"pids/other", "memory/cgroup.procs"}, "memory"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for _, file := range tt.files {
				mkdir(t, root, filepath.Dir(file))
				if err := os.WriteFile(filepath.Join(root, file), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := hierarchy(root)
			if err != nil || got != filepath.Join(root, tt.want) {
				t.Errorf("hierarchy %q, error %v; want %q", got, err, filepath.Join(root, tt.want))
			}
		})
	}
}
