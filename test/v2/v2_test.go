//go:build e2e

// Package v2 runs the agent where there are control groups of version 2 only: in
// a virtual machine with a kernel of Debian, as the machine that tests may have
// others. The guest says what is compared.
package v2

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/machine"
)

// bootLimit is many times what it takes without hardware help: about a minute.
const bootLimit = 15 * time.Minute

func TestEverySeriesOfAContainerIsWhatTheFilesOfVersion2Say(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{}
	for binary, pkg := range map[string]string{"init": "./guest", "plimsoll": "../../cmd/plimsoll"} {
		files[binary] = filepath.Join(dir, binary)
		machine.Build(t, files[binary], pkg)
	}
	kernel := machine.Debian(t)
	files["brd.ko"] = kernel.Module(t, "drivers/block/brd.ko") // disks in memory
	began := time.Now()
	said := boot(t, kernel, machine.Initrd(t, files))
	t.Logf("the guest took %v and said\n%s", time.Since(began).Round(time.Second), said)
	if !regexp.MustCompile(`(?m)^PASS$`).MatchString(said) {
		t.Error("the guest did not say PASS")
	}
	if n := strings.Count(said, "\ngroup /"); n != 9 {
		t.Errorf("%d groups were looked at, want 9", n)
	}
}

// boot runs the machine until it ends itself, and returns what it said.
func boot(t *testing.T, kernel machine.Kernel, initrd string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	out, err := kernel.Command(ctx, t, initrd, "psi=1 cgroup_no_v1=all",
		"-M", "microvm,acpi=off,pic=on,pit=on,rtc=on,isa-serial=on").CombinedOutput()
	said := strings.ReplaceAll(string(out), "\r", "")
	if err != nil {
		t.Fatalf("qemu: %v\n%s", err, said)
	}
	return said
}
