package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// layout makes files in a new directory: each line of files is a name, or a name
// and what it is.
func layout(t testing.TB, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range files {
		name, what, _ := strings.Cut(file, " ")
		path := filepath.Join(dir, name)
		kind, arg, _ := strings.Cut(what, ":")
		var err error
		switch kind {
		case "dir":
			err = os.MkdirAll(path, 0o755)
		case "symlink":
			err = os.Symlink(arg, path)
		case "hardlink":
			err = os.Link(filepath.Join(dir, arg), path)
		case "fifo":
			err = unix.Mkfifo(path, 0o644)
		case "hole":
			if err = os.WriteFile(path, nil, 0o644); err == nil {
				err = os.Truncate(path, 1<<30)
			}
		default:
			var size int
			if size, err = strconv.Atoi(kind); err == nil {
				err = os.WriteFile(path, make([]byte, size), 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestAWalkCountsWhatDuCounts(t *testing.T) {
	if _, err := exec.LookPath("du"); err != nil {
		t.Skip(err)
	}
	deep := make([]string, 0, 101)
	for depth := range 100 {
		deep = append(deep, strings.Repeat("d/", depth)+"d dir")
	}
	many := make([]string, 3000) // more than a buffer of names
	for i := range many {
		many[i] = fmt.Sprintf("a-name-of-some-length-%d 1", i)
	}
	tests := map[string][]string{
		"nothing":                nil,
		"files and directories":  {"a 1", "b 100000", "c dir", "c/d 5000", "c/e dir"},
		"a file with many names": {"a 100000", "b hardlink:a", "c dir", "c/d hardlink:a"},
		"a file with a hole":     {"a hole"},
		"symbolic links, not followed": {
			"root symlink:/", "loop symlink:loop", "up symlink:..", "here symlink:.", "none symlink:/no/such", "a 9000",
		},
		"what is no file":                 {"fifo fifo"},
		"directories a hundred deep":      deep,
		"many files":                      many,
		"names of 255 bytes and odd ones": {strings.Repeat("n", 255) + " 10", "\n\t\\ 10", "... dir", "\xff 10"},
	}
	for name, files := range tests {
		t.Run(name, func(t *testing.T) {
			dir := layout(t, files...)
			got, err := NewWalker(Limits{}).Walk(t.Context(), "/", dir)
			if err != nil {
				t.Fatal(err)
			}
			if want := du(t, "--block-size=1", dir); got.Bytes != want {
				t.Errorf("%d bytes, du says %d", got.Bytes, want)
			}
			if want := du(t, "--inodes", dir); got.Inodes != want {
				t.Errorf("%d inodes, du says %d", got.Inodes, want)
			}
			if want := uint64(len(files) + 1); got.Entries != want {
				t.Errorf("%d entries, there are %d", got.Entries, want)
			}
		})
	}
}

func du(t *testing.T, how, dir string) uint64 {
	t.Helper()
	out, err := exec.Command("du", "--summarize", how, dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(strings.Fields(string(out))[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAWalkTellsOfTheFileSystemItIsOn(t *testing.T) {
	dir := t.TempDir()
	got, err := NewWalker(Limits{}).Walk(t.Context(), "/", dir)
	if err != nil {
		t.Fatal(err)
	}
	var space unix.Statfs_t
	var status unix.Stat_t
	if err := errors.Join(unix.Statfs(dir, &space), unix.Stat(dir, &status)); err != nil {
		t.Fatal(err)
	}
	want := Backing{
		Major: unix.Major(status.Dev), Minor: unix.Minor(status.Dev),
		SizeBytes: space.Blocks * uint64(space.Bsize), Files: space.Files, FilesFree: got.Backing.FilesFree,
	}
	if got.Backing != want || got.Backing.FilesFree > got.Backing.Files {
		t.Errorf("got %+v, want %+v", got.Backing, want)
	}
}

func TestAWalkEndsAtItsLimits(t *testing.T) {
	files := []string{"d dir", "d/d dir", "d/d/d dir"}
	for i := range 300 {
		files = append(files, fmt.Sprintf("f%d 1", i), fmt.Sprintf("l%d hardlink:f%d", i, i))
	}
	dir := layout(t, files...)
	tests := map[string]struct {
		limits Limits
		want   string
	}{
		"of entries":           {Limits{Entries: 100}, "100 entries"},
		"of depth":             {Limits{Depth: 3}, "3 deep"},
		"of files to remember": {Limits{Links: 200}, "200 files with several names"},
		"of time":              {Limits{Time: 1}, "longer than 1ns"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := NewWalker(tt.limits).Walk(t.Context(), "/", dir)
			if !errors.Is(err, ErrLimit) || !strings.Contains(fmt.Sprint(err), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if got.Entries == 0 || got.Entries > 604 || got.Backing.SizeBytes == 0 {
				t.Errorf("of the part that was walked it tells %+v", got)
			}
		})
	}
	if _, err := NewWalker(Limits{Entries: 604, Depth: 4, Links: 300}).Walk(t.Context(), "/", dir); err != nil {
		t.Errorf("with limits that are just enough: %v", err)
	}
}

func TestAWalkKeepsItsPaceAndEndsWhenTold(t *testing.T) {
	files := make([]string, 1000)
	for i := range files {
		files[i] = fmt.Sprintf("f%d 1", i)
	}
	dir := layout(t, files...)
	synctest.Test(t, func(t *testing.T) { // files take no virtual time
		w := NewWalker(Limits{Rate: 100})
		began := time.Now()
		if _, err := w.Walk(t.Context(), "/", dir); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 9*time.Second || took > 10*time.Second {
			t.Errorf("1000 entries at 100 a second took %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := w.Walk(ctx, "/", dir); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > 13*time.Second+time.Millisecond {
			t.Errorf("it ended %s after its context", took)
		}
	})
}

func TestNoLinkOnTheWayLeadsOutOfTheNodesTree(t *testing.T) {
	root := layout(t, "var dir", "var/lib dir", "data dir", "data/docker dir", "data/docker/diff dir", "data/docker/diff/f 50000",
		"var/lib/docker symlink:/data/docker", "var/lib/out symlink:../../../../../../../../..", "data/docker/link symlink:diff")
	w := NewWalker(Limits{})
	direct, err := w.Walk(t.Context(), root, "/data/docker/diff")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := w.Walk(t.Context(), root, "/var/lib/docker/diff"); err != nil || got.Bytes != direct.Bytes {
		t.Errorf("through a link from the node's root: %+v, %v; want %+v", got, err, direct)
	}
	if got, err := w.Walk(t.Context(), root, "/var/lib/out/data/docker/diff"); err != nil || got.Bytes != direct.Bytes {
		t.Errorf("through a link above the node's root: %+v, %v; want %+v", got, err, direct)
	}
	if got, err := w.Walk(t.Context(), root, "/data/docker/link"); !errors.Is(err, unix.ELOOP) && !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("a link in place of the directory: %+v, %v", got, err)
	}
}

// inThread calls do in a thread of its own that may change what it likes.
func inThread(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends here
		do()
	}()
	<-done
}

// privateMounts gives the thread mounts of its own.
func privateMounts() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	return unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
}

// root is for tests that only root can do.
func root(t *testing.T) {
	t.Helper()
	if os.Getuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("not root")
	}
	t.Skip("not root")
}

func TestADirectoryThatCannotBeReadMakesTheWalkFail(t *testing.T) {
	root(t)
	dir := layout(t, "a dir", "a/b dir", "a/b/c 10")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(filepath.Join(dir, "a/b"), 0o700)); err != nil {
		t.Fatal(err)
	}
	inThread(func() {
		if _, err := unix.SetfsuidRetUid(65534); err != nil { // of this thread only
			t.Error(err)
			return
		}
		if got, err := NewWalker(Limits{}).Walk(context.Background(), "/", dir); !errors.Is(err, unix.EACCES) {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestWhatIsMountedBelowIsNotCounted(t *testing.T) {
	root(t)
	dir := layout(t, "a dir", "b 5000")
	want, err := NewWalker(Limits{}).Walk(t.Context(), "/", dir)
	if err != nil {
		t.Fatal(err)
	}
	inThread(func() {
		err := errors.Join(
			privateMounts(),
			unix.Mount("none", filepath.Join(dir, "a"), "tmpfs", 0, "size=1m"),
			os.WriteFile(filepath.Join(dir, "a/f"), make([]byte, 500_000), 0o644),
		)
		if err != nil {
			t.Error(err)
			return
		}
		got, err := NewWalker(Limits{}).Walk(context.Background(), "/", dir)
		// The directory below the mount is not to be seen either.
		if err != nil || got.Bytes > want.Bytes || got.Inodes != want.Inodes-1 {
			t.Errorf("got %+v, %v; without the mount %+v", got, err, want)
		}
	})
}

func TestWhatIsNoDirectoryAnyMoreWhenItIsOpenedIsLeftOut(t *testing.T) {
	dir := layout(t, "file 50000", "link symlink:sub", "sub dir", "sub/large 50000")
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, name := range []string{"gone", "file", "link"} {
		v := visit{Walker: NewWalker(Limits{}), ctx: t.Context()}
		if err := v.begin(fd); err != nil {
			t.Fatal(err)
		}
		before := v.usage
		if err := v.descend(fd, entry{unix.DT_DIR, []byte(name + "\x00")}, 0); err != nil || v.usage != before {
			t.Errorf("%s: %v, counted from %+v to %+v", name, err, before, v.usage)
		}
	}
}

// TestADirectoryThatChangesIsWalkedToTheEnd swaps directories for links to a large
// one outside, moves and removes them, while they are walked.
func TestADirectoryThatChangesIsWalkedToTheEnd(t *testing.T) {
	outside := layout(t, "large 50000000")
	dir := layout(t, "a dir", "a/b dir", "a/b/c dir")
	ctx, cancel := context.WithCancel(t.Context())
	var changes sync.WaitGroup
	change := func(do func(i int)) {
		changes.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				do(i)
			}
		})
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	change(func(int) {
		os.Mkdir(at("swapped"), 0o755)
		os.Rename(at("swapped"), at("a/b/moved"))
		os.Symlink(outside, at("swapped"))
		os.Remove(at("swapped"))
		os.Remove(at("a/b/moved"))
	})
	change(func(i int) {
		name := at(fmt.Sprintf("a/b/c/%d", i%100))
		os.WriteFile(name, []byte("x"), 0o644)
		os.Link(name, name+".link")
		os.Remove(at(fmt.Sprintf("a/b/c/%d", (i+50)%100)))
		os.Remove(at(fmt.Sprintf("a/b/c/%d.link", (i+50)%100)))
	})
	w := NewWalker(Limits{Rate: 1 << 40})
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); {
		got, err := w.Walk(t.Context(), "/", dir)
		if err != nil || got.Inodes < 4 || got.Bytes > 10_000_000 {
			t.Errorf("got %+v, %v", got, err)
			break
		}
	}
	cancel()
	changes.Wait()
}

// TestAFileSystemThatDoesNotAnswerHoldsUpItsOwnWalkOnly mounts a FUSE file system
// whose server says nothing. What ends the walk is that the server goes.
func TestAFileSystemThatDoesNotAnswerHoldsUpItsOwnWalkOnly(t *testing.T) {
	root(t)
	dir := layout(t, "a dir", "b dir", "b/c 5000")
	server, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer server.Close()
	mounted, hung := make(chan error, 1), make(chan error, 1)
	go inThread(func() {
		options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", server.Fd())
		err := errors.Join(privateMounts(), unix.Mount("silent", filepath.Join(dir, "a"), "fuse", 0, options))
		mounted <- err
		if err == nil {
			_, err = NewWalker(Limits{}).Walk(context.Background(), "/", dir)
		}
		hung <- err
	})
	if err := <-mounted; err != nil {
		t.Fatal(err)
	}
	if _, err := NewWalker(Limits{}).Walk(t.Context(), "/", filepath.Join(dir, "b")); err != nil {
		t.Errorf("its neighbour: %v", err)
	}
	select {
	case err := <-hung:
		t.Errorf("the walk ended: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	server.Close()
	if err := <-hung; err == nil {
		t.Error("the walk took it for a directory")
	}
}

func TestAWalkAllocatesNextToNothing(t *testing.T) {
	files := []string{"d dir"}
	for i := range 2000 {
		files = append(files, fmt.Sprintf("d/f%d 1", i))
	}
	dir := layout(t, files...)
	w := NewWalker(Limits{Rate: 1 << 40})
	allocated := testing.AllocsPerRun(5, func() {
		if _, err := w.Walk(t.Context(), "/", dir); err != nil {
			t.Fatal(err)
		}
	})
	if allocated > 20 {
		t.Errorf("%v allocations for 2000 files", allocated)
	}
}

func FuzzEntry(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x18\x00\x08a\x00\x00\x00\x00"))
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x13\x00\x08\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, size := parseEntry(data)
		if size == 0 {
			return
		}
		if size > len(data) || len(e.name) < 2 || e.name[len(e.name)-1] != 0 || strings.IndexByte(string(e.name), 0) != len(e.name)-1 {
			t.Errorf("%d bytes, name %q", size, e.name)
		}
	})
}

func TestIOPressureIsTheAverageOfTenSeconds(t *testing.T) {
	proc := layout(t, "pressure dir")
	tests := map[string]struct {
		text string
		want float64
		ok   bool
	}{
		"as the kernel writes it": {"some avg10=8.15 avg60=1.85 avg300=0.54 total=6836995\nfull avg10=7.00 avg60=1.00 avg300=0.10 total=1\n", 8.15, true},
		"all the time":            {"some avg10=100.00 avg60=1.85 avg300=0.54 total=6836995\n", 100, true},
		"empty":                   {"", 0, false},
		"no number":               {"some avg10=NaN avg60=1\n", 0, false},
		"cut short":               {"some avg10=", 0, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(proc, "pressure/io"), []byte(tt.text), 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := IOPressure(proc)
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	if _, err := IOPressure(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: %v", err)
	}
}

func TestTheBackgroundIsAnIdleClassOfTheThread(t *testing.T) {
	class := func(of int) uintptr {
		got, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, 1, uintptr(of), 0)
		if errno != 0 {
			t.Error(errno)
		}
		return got >> 13
	}
	process := class(os.Getpid()) // that is its first thread
	background := func() {
		if err := Background(); err != nil {
			t.Error(err)
		}
		if got := class(0); got != 3 {
			t.Errorf("the thread has class %d, want 3", got)
		}
	}
	inThread(func() {
		if unix.Gettid() == os.Getpid() {
			inThread(background) // in another, as this one is taken
		} else {
			background()
		}
	})
	if got := class(os.Getpid()); got != process {
		t.Errorf("the process has class %d, had %d", got, process)
	}
}
