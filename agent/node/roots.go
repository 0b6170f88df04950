package node

import (
	"bytes"
	"cmp"
	"io"
	"os"
	"path/filepath"

	"github.com/prometheus/procfs"
)

// The methods of Roots read what seldom changes. They open, read and close,
// and may allocate; those that github.com/prometheus/procfs serves well leave
// the parsing to it. Errors name the file and wrap fs.ErrNotExist where this
// kernel has no such file. They may be called concurrently.

// maxSmallFile is more than any of the files that are read whole can be.
const maxSmallFile = 1 << 20

func (r Roots) proc(path ...string) string {
	return filepath.Join(append([]string{cmp.Or(r.Proc, "/proc")}, path...)...)
}

func (r Roots) sys(path ...string) string {
	return filepath.Join(append([]string{cmp.Or(r.Sys, "/sys")}, path...)...)
}

func (r Roots) root(path ...string) string {
	return filepath.Join(append([]string{cmp.Or(r.Root, "/")}, path...)...)
}

// net is a file about the machine's network namespace.
func (r Roots) net(file string) string {
	return filepath.Join(filepath.Dir(netDevPath(r.proc())), file)
}

// netfs is what procfs takes for the root of /proc when it reads net/….
func (r Roots) netfs() (procfs.FS, error) {
	return procfs.NewFS(filepath.Dir(filepath.Dir(netDevPath(r.proc()))))
}

// slurp reads a file of at most maxSmallFile bytes; what is beyond is cut off.
func slurp(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSmallFile))
}

// text is the one line of an attribute file.
func text(path string) (string, error) {
	data, err := slurp(path)
	return string(bytes.TrimSpace(data)), err
}

// attribute is the one number of an attribute file, unknown if the file is not
// there or has none.
func attribute(path string) (Number, error) {
	data, err := slurp(path)
	if err != nil {
		return Number{}, err
	}
	n, err := number(bytes.TrimSpace(data))
	if err != nil {
		return Number{}, malformedFile(path, err)
	}
	return n, nil
}
