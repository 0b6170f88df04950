package gpu

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCgroupsOfAProcess(t *testing.T) {
	tests := map[string]struct {
		file string
		want []string
	}{
		"version 2":                 {"0::/system.slice/docker-1f.scope\n", []string{"/system.slice/docker-1f.scope"}},
		"version 1 and hybrid":      {"4:memory:/docker/1f\n1:name=systemd:/docker/1f\n0::/\n", []string{"/docker/1f", "/docker/1f", "/"}},
		"a colon in the path":       {"0::/kubepods-podx.slice:cri-containerd:1f\n", []string{"/kubepods-podx.slice:cri-containerd:1f"}},
		"another namespace":         {"0::/../1f\n", []string{"/1f"}},
		"the group was removed":     {"0::/docker/1f (deleted)\n", []string{"/docker/1f (deleted)"}},
		"no line":                   {"", nil},
		"lines that say too little": {"0\n0:\n0::\n0::relative\n", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			proc := t.TempDir()
			if err := os.Mkdir(filepath.Join(proc, "42"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(proc, "42", "cgroup"), []byte(tt.file), 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := Cgroups(proc, 42)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
			if _, err := Cgroups(proc, 43); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a process that is gone: %v", err)
			}
		})
	}
}

func FuzzCgroups(f *testing.F) {
	f.Add([]byte("4:memory:/docker/1f\n0::/\n"))
	f.Add([]byte("0::/../x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, path := range parseCgroups(data) {
			if path != filepath.Clean(path) || !strings.HasPrefix(path, "/") {
				t.Errorf("path %q", path)
			}
		}
	})
}
