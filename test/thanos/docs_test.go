//go:build thanos

package thanos

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The commands of Thanos that people copy have flags that it knows.
func TestTheCommandsOfTheDocumentAreThoseOfThanos(t *testing.T) {
	path, err := thanos()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/scaling-out.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for line := range strings.Lines(string(doc)) {
		args := strings.Fields(line)
		if len(args) < 2 || args[0] != "thanos" {
			continue
		}
		commands++
		if out, err := exec.Command(path, append(args[1:], "--help")...).CombinedOutput(); err != nil {
			t.Errorf("%s%v: %.300s", line, err, out)
		}
	}
	if commands < 4 {
		t.Errorf("only %d commands found", commands)
	}
}
