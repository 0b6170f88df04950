// Package machine boots virtual machines for tests, with the kernel that Debian
// has for them and a program of the test as their only process. It needs no
// hardware help and uses none: nested machines often claim it and hang.
package machine

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Kernel is an unpacked package with a kernel.
type Kernel struct{ dir string }

// Debian fetches the kernel for virtual machines that Debian has now. It is
// unpacked, never installed. Without apt the test is skipped.
func Debian(t testing.TB) Kernel {
	t.Helper()
	const metapackage = "linux-image-cloud-amd64"
	k := Kernel{t.TempDir()}
	depends := k.output(t, "apt-cache", "depends", metapackage)
	found := regexp.MustCompile(`Depends: (linux-image-\S+)`).FindStringSubmatch(depends)
	if found == nil {
		Missing(t, "apt-cache knows no kernel of "+metapackage+":\n"+depends)
	}
	k.output(t, "apt-get", "-o", "APT::Sandbox::User=root", "download", found[1])
	k.output(t, "sh", "-c", "dpkg-deb -x linux-image-*.deb .")
	return k
}

// Module is the path of a module below the kernel's own directory of them, such
// as drivers/block/brd.ko.
func (k Kernel) Module(t testing.TB, name string) string {
	t.Helper()
	return k.only(t, "lib/modules/*/kernel/"+name)
}

func (k Kernel) only(t testing.TB, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(k.dir, pattern))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s: %v, %v", pattern, files, err)
	}
	return files[0]
}

func (k Kernel) output(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = k.dir
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		Missing(t, err.Error())
	}
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Command prepares a machine with 512 MiB of memory and no network, whose
// console is the command's output. It ends when the guest reboots. options go to
// the kernel, and those it does not know to the environment of the first process;
// arguments go to QEMU.
func (k Kernel) Command(ctx context.Context, t testing.TB, initrd, options string, arguments ...string) *exec.Cmd {
	t.Helper()
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		Missing(t, err.Error())
	}
	return exec.CommandContext(ctx, "qemu-system-x86_64", append([]string{
		"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "512",
		"-nographic", "-no-reboot", "-nic", "none", "-kernel", k.only(t, "boot/vmlinuz-*"), "-initrd", initrd,
		"-append", "console=ttyS0 quiet panic=-1 mitigations=off nokaslr reboot=t " + options,
	}, arguments...)...)
}

// Build builds a program that needs nothing else where it runs.
func Build(t testing.TB, to, pkg string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", to, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
}

// Missing skips the test, but fails it where it is known that all is there.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}
