package cgroup

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func openDescriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestFewDescriptorsAreKeptAndAllAreGivenBack(t *testing.T) {
	for name, fixture := range fixtures {
		t.Run(name, func(t *testing.T) {
			root, before := extract(t, name), openDescriptors(t)
			f, err := New(Options{Root: root})
			if err != nil {
				t.Fatal(err)
			}
			own := openDescriptors(t) - before
			for range 100 {
				g, err := f.Open(fixture.busy)
				if err != nil {
					t.Fatal(err)
				}
				for range 3 {
					readAll(t, g)
				}
				if f.Opened() > 7 || openDescriptors(t)-before-own != f.Opened() {
					t.Fatalf("%d descriptors for a group, %d by its own account; want at most 7", openDescriptors(t)-before-own, f.Opened())
				}
				g.Close()
				g.Close() // twice does no harm
			}
			f.Close()
			if left := openDescriptors(t) - before; left != 0 || f.Opened() != 0 {
				t.Errorf("%d descriptors left, %d by its own account", left, f.Opened())
			}
		})
	}
}

func TestPastTheBoundGroupsAreReadWithoutKeepingDescriptors(t *testing.T) {
	f := newFS(t, Options{Root: extract(t, "hybrid"), MaxOpen: 6})
	var want account
	for i := range 10 {
		got := readAll(t, open(t, f, fixtures["hybrid"].busy))
		if i == 0 {
			want = got
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("group %d reads otherwise:\n%s", i, diff)
		}
	}
	if f.Opened() != 6 {
		t.Errorf("%d descriptors kept, want 6", f.Opened())
	}
}

func TestShortageOfDescriptorsCostsNoReading(t *testing.T) {
	f := newFS(t, Options{Root: extract(t, "hybrid"), MaxOpen: 1000})
	g := open(t, f, fixtures["hybrid"].busy)
	want := readAll(t, open(t, f, fixtures["hybrid"].busy))
	give := exhaust(t)
	got, err := tryAll(g)
	give()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if again := readAll(t, g); cmp.Diff(want, again) != "" {
		t.Error("reads otherwise when the shortage is over")
	}
}

// exhaust takes all descriptors that the process may open, until give.
func exhaust(t *testing.T) (give func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	few := old
	few.Cur = uint64(openDescriptors(t) + 20)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	var taken []int
	for {
		fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.EMFILE) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, fd)
	}
	return func() {
		for _, fd := range taken {
			unix.Close(fd)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFileLargerThanTheBufferIsReadInFull(t *testing.T) {
	root := extract(t, "v2")
	group := fixtures["v2"].busy
	var b strings.Builder
	for i := range 2000 {
		b.WriteString("253:" + strconv.Itoa(i) + " rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n")
	}
	write(t, root, map[string]string{group + "/io.stat": b.String()})
	io, err := open(t, newFS(t, Options{Root: root}), group).IO(nil)
	if err != nil || len(io) != 2000 {
		t.Errorf("%d devices, error %v; want 2000", len(io), err)
	}
}
