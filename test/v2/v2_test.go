//go:build e2e

// Package v2 runs the agent where there are control groups of version 2 only: in
// a virtual machine with a kernel of Debian, as the machine that tests may have
// others. The guest says what is compared.
package v2

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// bootLimit is many times what it takes without hardware help: about a minute.
const bootLimit = 5 * time.Minute

func TestEverySeriesOfAContainerIsWhatTheFilesOfVersion2Say(t *testing.T) {
	dir := t.TempDir()
	for binary, pkg := range map[string]string{"init": "./guest", "plimsoll": "../../cmd/plimsoll"} {
		build(t, filepath.Join(dir, binary), pkg)
	}
	kernel, brd := debianKernel(t, dir)
	var archive bytes.Buffer
	w := cpio{to: &archive}
	for _, name := range []string{"dev", "proc", "sys", "tmp"} {
		w.dir(name)
	}
	w.device("dev/console", 5, 1)
	for name, from := range map[string]string{"init": dir + "/init", "plimsoll": dir + "/plimsoll", "brd.ko": brd} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		w.file(name, data)
	}
	w.end()
	initrd := filepath.Join(dir, "initrd") // not compressed: to unpack takes longer there than to load
	if err := os.WriteFile(initrd, archive.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	said := boot(t, kernel, initrd)
	t.Logf("the guest took %v and said\n%s", time.Since(began).Round(time.Second), said)
	if !regexp.MustCompile(`(?m)^PASS$`).MatchString(said) {
		t.Error("the guest did not say PASS")
	}
	if n := strings.Count(said, "\ngroup /"); n != 9 {
		t.Errorf("%d groups were looked at, want 9", n)
	}
}

func build(t *testing.T, to, pkg string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", to, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
}

// debianKernel fetches the kernel for virtual machines that Debian has now, and
// its module for disks in memory. It is unpacked, never installed.
func debianKernel(t *testing.T, dir string) (kernel, brd string) {
	t.Helper()
	const metapackage = "linux-image-cloud-amd64"
	depends := output(t, dir, "apt-cache", "depends", metapackage)
	found := regexp.MustCompile(`Depends: (linux-image-\S+)`).FindStringSubmatch(depends)
	if found == nil {
		missing(t, "apt-cache knows no kernel of "+metapackage+":\n"+depends)
	}
	output(t, dir, "apt-get", "-o", "APT::Sandbox::User=root", "download", found[1])
	output(t, dir, "sh", "-c", "dpkg-deb -x linux-image-*.deb unpacked")
	one := func(pattern string) string {
		files, err := filepath.Glob(filepath.Join(dir, "unpacked", pattern))
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		return files[0]
	}
	return one("boot/vmlinuz-*"), one("lib/modules/*/kernel/drivers/block/brd.ko")
}

func output(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		missing(t, err.Error())
	}
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// missing skips the test, but fails it where it is known that all is there.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// boot runs the machine until it ends itself, and returns what it said. It needs
// no hardware help and uses none: nested machines often claim it and hang.
func boot(t *testing.T, kernel, initrd string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64",
		"-M", "microvm,acpi=off,pic=on,pit=on,rtc=on,isa-serial=on", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "512",
		"-nographic", "-no-reboot", "-nic", "none", "-kernel", kernel, "-initrd", initrd,
		"-append", "console=ttyS0 quiet panic=-1 mitigations=off nokaslr reboot=t psi=1 cgroup_no_v1=all")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		missing(t, err.Error())
	}
	said := strings.ReplaceAll(out.String(), "\r", "")
	if err != nil {
		t.Fatalf("qemu: %v\n%s", err, said)
	}
	return said
}
