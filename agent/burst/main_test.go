package burst

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asHog in the environment makes the test binary a process that only burns CPU
// time.
const asHog = "PLIMSOLL_TEST_HOG"

func TestMain(m *testing.M) {
	if os.Getenv(asHog) != "" {
		for end := time.Now().Add(time.Minute); time.Now().Before(end); {
			for range 1 << 20 {
			}
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// tree is a version 2 tree of files, whose groups use what they are told to.
type tree struct {
	t    testing.TB
	root string
}

func newTree(t testing.TB, groups ...string) *tree {
	t.Helper()
	tr := &tree{t, t.TempDir()}
	tr.write("cgroup.controllers", "cpu memory")
	for _, g := range groups {
		tr.set(g, 0, 0, 0)
	}
	return tr
}

// set writes what a group has used so far, and what was withheld from it.
func (tr *tree) set(group string, used, throttled time.Duration, memory int) {
	tr.write(group+"/cpu.stat", fmt.Sprintf("usage_usec %d\nuser_usec %d\nsystem_usec 0\nnr_periods 10\nnr_throttled 5\nthrottled_usec %d\n",
		used.Microseconds(), used.Microseconds(), throttled.Microseconds()))
	tr.write(group+"/memory.current", fmt.Sprintln(memory))
}

func (tr *tree) write(name, content string) {
	tr.t.Helper()
	path := filepath.Join(tr.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tr.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		tr.t.Fatal(err)
	}
}

func (tr *tree) remove(group string) {
	tr.t.Helper()
	if err := os.RemoveAll(filepath.Join(tr.root, group)); err != nil {
		tr.t.Fatal(err)
	}
}
