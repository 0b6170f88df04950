package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Lines of a node and of containers on it. The first two of each are of Docker
// 20.10 with overlay2 on Debian 12, kernel 6.18, the names of the layers cut short;
// the others were mounted by hand on the same kernel.
const (
	nodeMounts = `27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard,resv_strict
46 27 0:39 / /var/lib/docker/overlay2/a6e9/merged rw,relatime shared:2 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/S6UL:/var/lib/docker/overlay2/l/TSH3,upperdir=/var/lib/docker/overlay2/a6e9/diff,workdir=/var/lib/docker/overlay2/a6e9/work
807 27 0:40 / /var/lib/docker/overlay2/7f3a/merged rw,relatime - overlay overlay rw,lowerdir=l1,upperdir=7f3a/diff,workdir=7f3a/work,uuid=on
813 27 0:263 / /tmp/m\040p rw,relatime - overlay overlay rw,lowerdir=l1,upperdir=/tmp/a\040b\134\054c\134:d\134\134e#f/up,workdir=/tmp/a\040b\134\054c\134:d\134\134e#f/work,uuid=on
814 27 0:265 / /srv rw,relatime - tmpfs  rw,size=1024k
815 27 0:300 / /data rw - btrfs /dev/vdb rw,subvolid=5,subvol=/
816 27 0:50 / /live ro - overlay overlay ro,lowerdir=/a:/b
`
	ofDocker   = `72 48 0:39 / / rw,relatime master:2 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/S6UL:/var/lib/docker/overlay2/l/TSH3,upperdir=/var/lib/docker/overlay2/a6e9/diff,workdir=/var/lib/docker/overlay2/a6e9/work`
	ofProc     = `73 72 0:42 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw`
	ofRelative = `807 625 0:40 / / rw,relatime - overlay overlay rw,lowerdir=l1,upperdir=7f3a/diff,workdir=7f3a/work,uuid=on`
	ofEscaped  = `813 810 0:263 / / rw,relatime - overlay overlay rw,lowerdir=l1,upperdir=/tmp/a\040b\134\054c\134:d\134\134e#f/up,workdir=/tmp/a\040b\134\054c\134:d\134\134e#f/work,uuid=on`
)

// newLayers makes a proc directory with the mounts of processes 1 and 42.
func newLayers(t *testing.T, ofNode string, ofContainer ...string) *Layers {
	t.Helper()
	proc := t.TempDir()
	for pid, lines := range map[int]string{1: ofNode, 42: strings.Join(ofContainer, "\n") + "\n"} {
		dir := filepath.Join(proc, strconv.Itoa(pid))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "mountinfo"), []byte(lines), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return NewLayers(proc)
}

func TestTheLayerIsTheUpperDirectoryOfTheRootThatTheNodeSeesToo(t *testing.T) {
	// Lower layers past the size of the reader's buffer, as an option each.
	long := strings.Replace(ofDocker, "lowerdir=", strings.Repeat("lowerdir+=/var/lib/docker/overlay2/l/ABCD,", 1000)+"lowerdir=", 1)
	tests := map[string]struct {
		mounts []string
		want   string // none if empty
	}{
		"of docker":                             {mounts: []string{ofDocker, ofProc}, want: "/var/lib/docker/overlay2/a6e9/diff"},
		"with a very long line":                 {mounts: []string{long, ofProc}, want: "/var/lib/docker/overlay2/a6e9/diff"},
		"with names relative to the engine's":   {mounts: []string{ofRelative}, want: "/var/lib/docker/overlay2/7f3a/diff"},
		"with characters that are escaped":      {mounts: []string{ofEscaped}, want: `/tmp/a b,c:d\e#f/up`},
		"the last root hides the others":        {mounts: []string{`1 0 0:2 / / rw - rootfs rootfs rw`, ofDocker}, want: "/var/lib/docker/overlay2/a6e9/diff"},
		"hidden by another root":                {mounts: []string{ofDocker, `1 0 254:0 / / rw - ext4 /dev/vda rw`}},
		"of vfs, a directory of the node":       {mounts: []string{`72 48 254:0 /var/lib/docker/vfs/dir/a6e9 / rw - ext4 /dev/vda rw`}},
		"an overlay that is only read":          {mounts: []string{`72 48 0:50 / / ro - overlay overlay ro,lowerdir=/a:/b`}},
		"an overlay elsewhere than at the root": {mounts: []string{strings.Replace(ofDocker, " / / ", " / /mnt ", 1)}},
		"the name of another's layer on an overlay of one's own": {
			mounts: []string{strings.Replace(ofDocker, "0:39", "0:77", 1)},
		},
		"another's name on a device that the node knows": {
			mounts: []string{strings.Replace(ofDocker, "upperdir=/var/lib/docker", "upperdir=/etc", 1)},
		},
		"lines that make no sense": {mounts: []string{"", "garbage", " - ", "1 2 3 4 5 6 - overlay"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := newLayers(t, nodeMounts, tt.mounts...).Of(42)
			if got != tt.want || (tt.want == "") != errors.Is(err, ErrNoLayer) {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestAnOverlayThatTookTheDeviceOfAnotherIsLookedUpAnew(t *testing.T) {
	l := newLayers(t, nodeMounts, ofDocker)
	if _, err := l.Of(42); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []string{"1", "42"} {
		path := filepath.Join(l.proc, pid, "mountinfo")
		lines, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(lines), "a6e9", "b7f0")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := l.Of(42); got != "/var/lib/docker/overlay2/b7f0/diff" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAProcessThatIsGoneIsNoProcessWithoutALayer(t *testing.T) {
	if _, err := newLayers(t, nodeMounts, ofDocker).Of(43); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNoLayer) {
		t.Errorf("got %v", err)
	}
}

func TestTheUpperDirectoryIsFoundByTheMountPointWhereItsNameIsRelative(t *testing.T) {
	tests := []struct{ upper, point, want string }{
		{"/var/lib/x/diff", "/anywhere", "/var/lib/x/diff"},
		{"/var/lib/x/../y//diff/", "/anywhere", "/var/lib/y/diff"},
		{"7f3a/diff", "/var/lib/docker/overlay2/7f3a/merged", "/var/lib/docker/overlay2/7f3a/diff"},
		{"7f3a/diff", "/7f3a/merged", "/7f3a/diff"},
		{"7f3a/diff", "/run/rootfs", ""},
		{"7f3a/diff", "/var/lib/7f3ab/merged", ""},
		{"../diff", "/var/../merged", ""},
		{".", "/var/./merged", ""},
		{"/cow/upper", "/", ""}, // of a live system
		{"", "/var/lib/docker/overlay2/7f3a/merged", ""},
	}
	for _, tt := range tests {
		if got := absolute(tt.upper, tt.point); got != tt.want {
			t.Errorf("%q on %q: got %q, want %q", tt.upper, tt.point, got, tt.want)
		}
	}
}

func TestTheDeviceIsWhatTheNodeHasMounted(t *testing.T) {
	l := newLayers(t, nodeMounts, ofDocker)
	if _, err := l.Of(42); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		of   Backing
		dir  string
		want string
	}{
		{Backing{Major: 254}, "/var/lib/docker/overlay2/a6e9/diff", "/dev/vda"},
		{Backing{Minor: 311}, "/data/docker/overlay2/a6e9/diff", "/dev/vdb"}, // a subvolume
		{Backing{Minor: 265}, "/srv/docker", ""},
		{Backing{Major: 8, Minor: 1}, "/elsewhere", ""},
		{Backing{Minor: 9}, "/elsewhere", ""},
	}
	for _, tt := range tests {
		if got := l.Device(tt.of, tt.dir); got != tt.want {
			t.Errorf("%s on %v: got %q, want %q", tt.dir, tt.of, got, tt.want)
		}
	}
}

func FuzzMounts(f *testing.F) {
	for _, line := range append(strings.SplitAfter(nodeMounts, "\n"), ofDocker, ofRelative, ofEscaped, "1 2 3 4 / 6 - a  upperdir=\\0", "x") {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "mountinfo")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		lines := 0
		err := mounts(path, func(m *mount) {
			lines++
			if dir := absolute(m.upper(), unescape(m.point)); dir != "" && (dir[0] != '/' || dir != filepath.Clean(dir)) {
				t.Errorf("%q is no clean path", dir)
			}
		})
		if err != nil || lines > strings.Count(string(data), "\n")+1 {
			t.Errorf("%d mounts, %v", lines, err)
		}
	})
}
