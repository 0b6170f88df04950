package trim

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestOnlyWhatIsTheProgramsFileIsDropped(t *testing.T) {
	const exe = "/usr/bin/a program"
	tests := map[string]struct {
		line      string
		anonymous int // KiB
		want      bool
	}{
		"its code":                     {"00400000-01a2b000 r-xp 00000000 fe:00 1234   /usr/bin/a program", 0, true},
		"its constants":                {"01a2b000-02a2b000 r--p 0162b000 fe:00 1234   /usr/bin/a program", 0, true},
		"what the loader wrote before": {"02a2a000-02a2b000 r--p 0262a000 fe:00 1234   /usr/bin/a program", 4, false},
		"its variables":                {"02a2b000-02a3b000 rw-p 0262b000 fe:00 1234   /usr/bin/a program", 0, false},
		"code of a library":            {"7f0000000000-7f0000001000 r-xp 00000000 fe:00 99 /usr/lib/libc.so.6", 0, false},
		"a program since deleted":      {"00400000-01a2b000 r-xp 00000000 fe:00 1234   /usr/bin/a program (deleted)", 0, false},
		"memory without a file":        {"c000000000-c000400000 rw-p 00000000 00:00 0", 0, false},
		"nonsense":                     {"x-y r-xp 0 0 0 /usr/bin/a program", 0, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			smaps := fmt.Sprintf("%s\nSize: 4 kB\nAnonymous: %d kB\nVmFlags: rd mr\n", tt.line, tt.anonymous)
			list, err := fileOnly(strings.NewReader(smaps), exe)
			if got := len(list) == 1; err != nil || got != tt.want {
				t.Errorf("%q: %v, error %v; want %v", tt.line, list, err, tt.want)
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

func TestTheProgramIsTrimmedUntilItEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	before := residentFile(t)
	go func() { ended <- Loop(ctx, time.Millisecond) }()
	again, deadline := time.NewTicker(10*time.Millisecond), time.After(5*time.Second)
	defer again.Stop()
	for residentFile(t) >= before {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("%d KiB of files resident before, %d still", before, residentFile(t))
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
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
