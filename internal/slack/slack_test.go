package slack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"
)

func TestTheMonitorThreadMayOversleepAndNoOther(t *testing.T) {
	if err := Monitor(3 * time.Millisecond); errors.Is(err, fs.ErrPermission) {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	slack := map[string]int{}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%s/timerslack_ns", task.Name()))
		if err != nil {
			t.Fatal(err)
		}
		slack[strings.TrimSpace(string(data))]++
	}
	if slack["3000000"] != 1 || len(slack) != 2 {
		t.Errorf("threads by slack in ns: %v, want one with 3000000", slack)
	}
}

// Both the program's and the kernel's way of saying it may change.
func TestTheMonitorThreadIsFoundAgain(t *testing.T) {
	first, err := monitor()
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if again, err := monitor(); again != first || err != nil {
			t.Errorf("thread %d, %v; want %d", again, err, first)
		}
	}
}
