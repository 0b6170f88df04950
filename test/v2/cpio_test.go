//go:build e2e

package v2

import (
	"bytes"
	"fmt"
)

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
