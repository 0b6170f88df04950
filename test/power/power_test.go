//go:build e2e

// Package power cuts the power of a machine that stores samples: a virtual one,
// whose disk forgets what it was not told to flush.
package power

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/machine"
)

// bootLimit is many times what it takes: some ten seconds.
const bootLimit = 10 * time.Minute

// In the machine each sample is written, synced and then acknowledged by a line
// on the console, 50 live series and 50 late ones at a time. After each cut the
// machine is started with what the disk still has.
func TestNothingAcknowledgedIsLostInAPowerCut(t *testing.T) {
	const cuts = 4
	m := prepare(t)
	content := filesystem(t)
	random := rand.New(rand.NewPCG(1, 0))
	acked := 0
	for cut := range cuts {
		d := newDisk(content)
		g := m.start(t, d)
		found := g.found(t)
		if found.stored < acked || found.stored > acked+2 {
			t.Fatalf("boot %d: %d rounds are there, %d were acknowledged", cut, found.stored, acked)
		}
		if found.losses > 0 {
			t.Errorf("boot %d: %d parts were set aside as damaged", cut, found.losses)
		}
		if wasCut := cut > 0; found.unclean != wasCut {
			t.Errorf("boot %d: unclean is %v", cut, found.unclean)
		}
		at := found.stored + 5 + random.IntN(30)
		moment := time.Duration(random.IntN(100)) * time.Millisecond
		unflushed, lost := 0, 0
		said := make(chan struct{})
		for g.lines.Scan() {
			if strings.HasPrefix(g.lines.Text(), "[") { // the kernel's, with its time
				t.Log(g.lines.Text())
				continue
			}
			n := 0
			if _, err := fmt.Sscan(g.lines.Text(), &n); err != nil {
				t.Fatalf("the guest said %q", g.lines.Text())
			}
			acked = n
			if n == at {
				time.AfterFunc(moment, func() {
					unflushed, lost = d.cut(random)
					g.end()
					close(said)
				})
			}
		}
		if acked < at {
			t.Fatalf("the guest ended at round %d of %d: %v", acked, at, g.lines.Err())
		}
		<-said
		_ = g.cmd.Wait() // it was killed
		t.Logf("cut %d: %d rounds acknowledged, %d flushes, %d blocks not flushed, %d of them lost", cut+1, acked, d.flushes, unflushed, lost)
		content = d.stable
	}
	g := m.start(t, newDisk(content))
	if found := g.found(t); found.stored < acked || found.losses > 0 {
		t.Errorf("at last %+v, %d were acknowledged", found, acked)
	}
	g.end()
	_ = g.cmd.Wait()
}

// prepared is what each boot needs.
type prepared struct {
	kernel machine.Kernel
	initrd string
	base   time.Time // of the samples
}

func prepare(t *testing.T) prepared {
	t.Helper()
	init := filepath.Join(t.TempDir(), "init")
	machine.Build(t, init, "./guest")
	kernel := machine.Debian(t)
	files := map[string]string{"init": init}
	for _, module := range []string{"virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci"} {
		files[module+".ko"] = kernel.Module(t, "drivers/virtio/"+module+".ko")
	}
	files["virtio_blk.ko"] = kernel.Module(t, "drivers/block/virtio_blk.ko")
	return prepared{kernel, machine.Initrd(t, files), time.Now()}
}

// filesystem is the content of an empty disk of 64 MiB.
func filesystem(t *testing.T) []byte {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 64<<20); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "mkfs.ext4", "-q", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", image).CombinedOutput()
	if err != nil {
		machine.Missing(t, fmt.Sprintf("mkfs.ext4: %v, %s", err, out))
	}
	content, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// guest is a machine that runs.
type guest struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
	end   context.CancelFunc // kills it
}

func (m prepared) start(t *testing.T, d *disk) guest {
	t.Helper()
	dir, err := os.MkdirTemp("", "power") // short: the path of a socket has some hundred bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ctx, end := context.WithTimeout(t.Context(), bootLimit)
	t.Cleanup(end)
	cmd := m.kernel.Command(ctx, t, m.initrd, fmt.Sprintf("PLIMSOLL_BASE=%d", m.base.UnixMilli()),
		"-M", "pc",
		"-blockdev", "driver=nbd,node-name=disk,server.type=unix,server.path="+d.listen(t, dir),
		"-device", "virtio-blk-pci,drive=disk,write-cache=on")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Split(wholeLines)
	return guest{cmd, lines, end}
}

// wholeLines is a bufio.SplitFunc that leaves out what stands behind the last line:
// a console tells half a number when its machine is cut off.
func wholeLines(data []byte, atEOF bool) (advance int, line []byte, err error) {
	if atEOF && bytes.IndexByte(data, '\n') < 0 {
		return len(data), nil, nil
	}
	return bufio.ScanLines(data, atEOF)
}

// found is what the guest found on its disk.
type found struct {
	stored, losses int
	unclean        bool
}

func (g guest) found(t *testing.T) (f found) {
	t.Helper()
	var all []string
	for g.lines.Scan() {
		line := g.lines.Text()
		_, answer, _ := strings.Cut(line, "found") // behind what the firmware draws
		if n, _ := fmt.Sscanf(answer, " %d rounds, %d losses, unclean %t", &f.stored, &f.losses, &f.unclean); n == 3 {
			return f
		}
		all = append(all, line)
	}
	t.Fatalf("the guest said\n%s", strings.Join(all, "\n"))
	return f
}

func TestALineThatIsCutOffSaysNothing(t *testing.T) {
	lines := bufio.NewScanner(strings.NewReader("21\n22\n2"))
	lines.Split(wholeLines)
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
	}
	if !slices.Equal(said, []string{"21", "22"}) || lines.Err() != nil {
		t.Errorf("said %q, error %v", said, lines.Err())
	}
}
