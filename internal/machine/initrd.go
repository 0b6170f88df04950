package machine

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Initrd makes the first file system of a machine: the files given, by the names
// they have there, and empty directories to mount on. init is what starts. It is
// not compressed: to unpack takes longer there than to load.
func Initrd(t testing.TB, files map[string]string) string {
	t.Helper()
	var archive bytes.Buffer
	w := cpio{to: &archive}
	for _, name := range []string{"dev", "proc", "sys", "tmp", "data"} {
		w.dir(name)
	}
	w.device("dev/console", 5, 1)
	for name, from := range files {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		w.file(name, data)
	}
	w.end()
	path := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(path, archive.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// cpio writes an archive that a kernel unpacks as its first file system, in the
// format "newc" of its Documentation/driver-api/early-userspace/buffer-format.rst.
type cpio struct {
	to *bytes.Buffer
	n  int // entries so far
}

func (w *cpio) dir(name string)               { w.entry(name, 0o040755, nil, 0, 0) }
func (w *cpio) file(name string, data []byte) { w.entry(name, 0o100755, data, 0, 0) }
func (w *cpio) device(name string, major, minor int) {
	w.entry(name, 0o020600, nil, major, minor)
}
func (w *cpio) end() { w.entry("TRAILER!!!", 0, nil, 0, 0) }

func (w *cpio) entry(name string, mode int, data []byte, major, minor int) {
	w.n++
	fmt.Fprintf(w.to, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		w.n, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name)+1, 0)
	w.to.WriteString(name)
	w.to.WriteByte(0)
	w.pad()
	w.to.Write(data)
	w.pad()
}

func (w *cpio) pad() {
	for w.to.Len()%4 != 0 {
		w.to.WriteByte(0)
	}
}
