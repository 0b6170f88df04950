package node

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Mount is a file system that is mounted somewhere.
type Mount struct {
	ID         string // unique among those mounted now
	Device     string // what is mounted: a block device, a server's directory, a word
	DeviceID   string // major:minor
	MountPoint string // in the machine's tree
	Path       string // where this process sees it
	FSType     string
	ReadOnly   bool
}

// Mounts reads what is mounted on the machine, by the mountinfo file of its
// first process, or where that is not to be had, or is of a tree that Root does
// not show, of this one. Of mounts on the same directory only the last, which
// hides the others, is given.
func (r Roots) Mounts() ([]Mount, error) {
	mounts, err := r.mountsOf("1")
	if err == nil && r.shows(mounts) {
		for i := range mounts {
			mounts[i].Path = r.root(mounts[i].MountPoint)
		}
		return mounts, nil
	}
	own, ownErr := r.mountsOf("self")
	if ownErr != nil {
		return nil, errors.Join(err, ownErr)
	}
	return below(own, r.root()), nil
}

// shows tells whether statfs(2) of a path below Root would answer for the mount
// of that path in mounts. It would not if Root is this process' own tree and
// that is another: a container's that shares no more than the process numbers.
func (r Roots) shows(mounts []Mount) bool {
	if r.root() != "/" {
		return true
	}
	own, err := r.mountsOf("self")
	return err != nil || deviceOfRoot(own) == deviceOfRoot(mounts)
}

func deviceOfRoot(mounts []Mount) string {
	for _, m := range mounts {
		if m.MountPoint == "/" {
			return m.DeviceID
		}
	}
	return ""
}

// below keeps the mounts at and below root, named as if root were "/".
func below(mounts []Mount, root string) []Mount {
	var kept []Mount
	for _, m := range mounts {
		m.Path = m.MountPoint
		rest := strings.TrimPrefix(m.MountPoint, root)
		if root != "/" {
			if !strings.HasPrefix(m.MountPoint, root) || rest != "" && rest[0] != '/' {
				continue
			}
			m.MountPoint = filepath.Clean("/" + rest)
		}
		kept = append(kept, m)
	}
	return kept
}

func (r Roots) mountsOf(process string) ([]Mount, error) {
	path := r.proc(process, "mountinfo")
	data, err := slurp(path)
	if err != nil {
		return nil, err
	}
	if len(data) == maxSmallFile { // thousands of mounts: the last line is cut
		data = data[:bytes.LastIndexByte(data, '\n')+1]
	}
	mounts, err := parseMountinfo(data)
	if err != nil {
		return nil, malformedFile(path, err)
	}
	return mounts, nil
}

// parseMountinfo reads lines such as
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//
// with any number of words, also none, between the options and the dash. See
// https://docs.kernel.org/filesystems/proc.html#proc-pid-mountinfo-information-about-mounts.
func parseMountinfo(data []byte) ([]Mount, error) {
	var mounts []Mount
	at := make(map[string]int) // by mount point
	for len(data) > 0 {
		line, rest, err := cutLine(data)
		if err != nil {
			return nil, err
		}
		data = rest
		m, err := parseMount(strings.Fields(string(line)))
		if err != nil {
			return nil, err
		}
		if i, hidden := at[m.MountPoint]; hidden {
			mounts[i] = m
			continue
		}
		at[m.MountPoint] = len(mounts)
		mounts = append(mounts, m)
	}
	return mounts, nil
}

func parseMount(words []string) (Mount, error) {
	dash := slices.Index(words, "-")
	if dash < 6 || len(words) < dash+3 {
		return Mount{}, fmt.Errorf("%d words, the dash at %d: %w", len(words), dash, ErrFormat)
	}
	m := Mount{
		ID: words[0], DeviceID: words[2], MountPoint: unescape(words[4]),
		FSType: words[dash+1], Device: unescape(words[dash+2]),
	}
	options := words[5]
	if len(words) > dash+3 {
		options += "," + words[dash+3] // those of the file system, wherever else it is mounted
	}
	m.ReadOnly = slices.Contains(strings.Split(options, ","), "ro")
	if !strings.HasPrefix(m.MountPoint, "/") {
		return Mount{}, malformed("mount point", []byte(m.MountPoint))
	}
	return m, nil
}

// unescape undoes the octal escapes of space, tab, newline, backslash and hash.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
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

func octal(s string) bool {
	return s[0] >= '0' && s[0] <= '3' && s[1] >= '0' && s[1] <= '7' && s[2] >= '0' && s[2] <= '7'
}
