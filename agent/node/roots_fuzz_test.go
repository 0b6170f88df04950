package node

import (
	"strings"
	"testing"
)

func FuzzNetstat(f *testing.F) {
	seed(f, "net/netstat", "Tcp: a\nTcp: -1\n", ":\n:\n")
	seed(f, "net/snmp")
	f.Fuzz(func(t *testing.T, data []byte) { check(t, parseNetstat(data, map[string]float64{})) })
}

func FuzzSNMP6(f *testing.F) {
	seed(f, "net/snmp6", "6 1\n", "a6 -\n")
	f.Fuzz(func(t *testing.T, data []byte) { check(t, parseSNMP6(data, map[string]float64{})) })
}

func FuzzARP(f *testing.F) {
	seed(f, "net/arp", "\na b c d e f\n")
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := parseARP(data)
		check(t, err)
		for _, n := range all {
			if n.Entries == 0 || n.Device == "" {
				t.Errorf("got %+v", n)
			}
		}
	})
}

func FuzzFileNr(f *testing.F) {
	seed(f, "sys/fs/file-nr", "1 2\n")
	f.Fuzz(func(t *testing.T, data []byte) { _, err := parseFileNr(data); check(t, err) })
}

func FuzzMountinfo(f *testing.F) {
	seed(f, "1/mountinfo", "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n", "1 2 3:4 / /\\040\\777\\ rw - a b\n")
	f.Fuzz(func(t *testing.T, data []byte) {
		mounts, err := parseMountinfo(data)
		check(t, err)
		seen := map[string]bool{}
		for _, m := range mounts {
			if !strings.HasPrefix(m.MountPoint, "/") || seen[m.MountPoint] {
				t.Errorf("mount point %q, seen %t", m.MountPoint, seen[m.MountPoint])
			}
			seen[m.MountPoint] = true
		}
	})
}

func FuzzOSRelease(f *testing.F) {
	f.Add([]byte("A=\"b\\\"\nB='c'\n"))
	f.Fuzz(func(_ *testing.T, data []byte) { parseOSRelease(data) })
}

func FuzzUdev(f *testing.F) {
	f.Add([]byte("S:a\nE:ID_MODEL=x=y\nE:\n"))
	f.Fuzz(func(_ *testing.T, data []byte) { parseUdev(data) })
}
