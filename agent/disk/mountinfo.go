package disk

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
)

// maxLine bounds a line of mountinfo: an overlay of 500 layers takes 40 kB.
const maxLine = 256 << 10

// mount is a line of mountinfo. Its words are still escaped, and only good until
// the next line is read.
type mount struct {
	device  []byte // major:minor
	point   []byte
	fsType  []byte
	source  []byte
	options []byte // of the file system
}

// mounts calls visit for each mount in a mountinfo file.
// Lines that are too long or make no sense are left out.
func mounts(path string, visit func(*mount)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 8<<10)
	var long []byte // a line longer than the reader's buffer
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			if len(long) <= maxLine {
				long = append(long, line...)
			}
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(long) > 0 {
			line = append(long, line...)
			long = long[:0]
		}
		if m, ok := parseMount(bytes.TrimSuffix(line, []byte("\n"))); ok && len(line) <= maxLine {
			visit(&m)
		}
		if err != nil {
			return nil
		}
	}
}

// parseMount reads a line such as
//
//	72 48 0:39 / / rw,relatime master:2 - overlay overlay rw,lowerdir=/l/A:/l/B,upperdir=/u/diff,workdir=/u/work
//
// with any number of words, also none, between the options of the mount and the
// dash. Words are parted by one space, and one may be empty: what is mounted is
// called what its mounter likes. See
// https://docs.kernel.org/filesystems/proc.html#proc-pid-mountinfo-information-about-mounts.
func parseMount(line []byte) (mount, bool) {
	ofMount, ofFS, ok := bytes.Cut(line, []byte(" - "))
	if !ok {
		return mount{}, false
	}
	var words [5][]byte
	for i := range words {
		if words[i], ofMount, ok = bytes.Cut(ofMount, []byte(" ")); !ok {
			return mount{}, false
		}
	}
	m := mount{device: words[2], point: words[4]}
	m.fsType, ofFS, _ = bytes.Cut(ofFS, []byte(" "))
	m.source, m.options, ok = bytes.Cut(ofFS, []byte(" "))
	return m, ok && len(m.point) > 0 && m.point[0] == '/'
}

// upper is the upper directory of an overlay as its mounter named it, empty if it
// has none. The kernel escapes commas in names, so that one comma ends an option;
// below that the mounter's own escapes are still there:
//
//	upperdir=/a\040b\134\054c/up is mounted as "upperdir=/a b\,c/up" and is /a b,c/up
func (m *mount) upper() string {
	for option := range bytes.SplitSeq(m.options, []byte(",")) {
		name, ok := bytes.CutPrefix(option, []byte("upperdir="))
		if !ok {
			continue
		}
		mounted := unescape(name)
		plain := make([]byte, 0, len(mounted))
		for i := 0; i < len(mounted); i++ {
			if mounted[i] == '\\' && i+1 < len(mounted) {
				i++
			}
			plain = append(plain, mounted[i])
		}
		return string(plain)
	}
	return ""
}

// unescape undoes the octal escapes of the kernel, such as \040 for a space.
func unescape(s []byte) string {
	if bytes.IndexByte(s, '\\') < 0 {
		return string(s)
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && octal(s[i+1:i+4]) {
			out = append(out, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}

func octal(s []byte) bool {
	return s[0] >= '0' && s[0] <= '3' && s[1] >= '0' && s[1] <= '7' && s[2] >= '0' && s[2] <= '7'
}
