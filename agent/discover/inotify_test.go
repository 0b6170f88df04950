package discover

import (
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// record is one as the kernel writes it.
func record(watch int32, mask uint32, name string, padded int) []byte {
	b := make([]byte, 16, 16+padded)
	binary.NativeEndian.PutUint32(b, uint32(watch))
	binary.NativeEndian.PutUint32(b[4:], mask)
	binary.NativeEndian.PutUint32(b[12:], uint32(padded))
	return append(append(b, name...), make([]byte, padded-len(name))...)
}

func TestParseChanges(t *testing.T) {
	buf := slices.Concat(
		record(1, unix.IN_CREATE|unix.IN_ISDIR, "web", 16),
		record(-1, unix.IN_Q_OVERFLOW, "", 0),
		record(2, unix.IN_DELETE, "sixteen bytes ok", 16),
	)
	want := []change{
		{1, unix.IN_CREATE | unix.IN_ISDIR, "web"},
		{-1, unix.IN_Q_OVERFLOW, ""},
		{2, unix.IN_DELETE, "sixteen bytes ok"},
	}
	if got := parseChanges(buf); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := parseChanges(buf[:len(buf)-1]); !slices.Equal(got, want[:2]) {
		t.Errorf("cut short: got %+v, want %+v", got, want[:2])
	}
}

func FuzzParseChanges(f *testing.F) {
	f.Add(record(1, unix.IN_CREATE, "web", 16))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, buf []byte) {
		for _, c := range parseChanges(buf) {
			if len(c.name) > len(buf) || slices.Contains([]byte(c.name), 0) {
				t.Errorf("name %q in %q", c.name, buf)
			}
		}
	})
}
