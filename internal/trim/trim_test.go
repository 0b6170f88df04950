package trim

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestOnlyTheProgramsReadOnlyMappingsAreDropped(t *testing.T) {
	const exe = "/usr/bin/a program"
	tests := map[string]struct {
		line string
		want bool
	}{
		"its code":                {"00400000-01a2b000 r-xp 00000000 fe:00 1234   /usr/bin/a program", true},
		"its constants":           {"01a2b000-02a2b000 r--p 0162b000 fe:00 1234   /usr/bin/a program", true},
		"its variables":           {"02a2b000-02a3b000 rw-p 0262b000 fe:00 1234   /usr/bin/a program", false},
		"code of a library":       {"7f0000000000-7f0000001000 r-xp 00000000 fe:00 99 /usr/lib/libc.so.6", false},
		"a program since deleted": {"00400000-01a2b000 r-xp 00000000 fe:00 1234   /usr/bin/a program (deleted)", false},
		"memory without a file":   {"c000000000-c000400000 rw-p 00000000 00:00 0", false},
		"nonsense":                {"x-y r-xp 0 0 0 /usr/bin/a program", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, _, got := readOnly(tt.line, exe); got != tt.want {
				t.Errorf("%q: %v, want %v", tt.line, got, tt.want)
			}
		})
	}
}

func TestTheProgramRunsOnWithLessMemory(t *testing.T) {
	before := residentFile(t)
	if err := Executable(); err != nil {
		t.Fatal(err)
	}
	if after := residentFile(t); after >= before {
		t.Errorf("%d KiB of files resident before, %d after", before, after)
	}
}

// residentFile is RssFile of this process in KiB.
func residentFile(t *testing.T) (kib int) {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "RssFile:"); ok {
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				t.Fatal(err)
			}
			return kib
		}
	}
	t.Fatal("no RssFile")
	return 0
}
