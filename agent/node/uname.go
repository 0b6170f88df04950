package node

import (
	"os"
	"syscall"
)

// Uname is how the machine and its kernel are called.
type Uname struct {
	Sysname, Release, Version, Machine, Nodename, Domainname string
}

// ReadUname asks the kernel, by uname(2), into u. What has not changed since u
// was read before costs no memory.
func ReadUname(u *Uname) error {
	var raw syscall.Utsname
	if err := syscall.Uname(&raw); err != nil {
		return os.NewSyscallError("uname", err)
	}
	setText(&u.Sysname, &raw.Sysname)
	setText(&u.Release, &raw.Release)
	setText(&u.Version, &raw.Version)
	setText(&u.Machine, &raw.Machine)
	setText(&u.Nodename, &raw.Nodename)
	setText(&u.Domainname, &raw.Domainname)
	return nil
}

// setText sets s to a C string, whose characters are signed on some
// architectures.
func setText[C int8 | uint8](s *string, chars *[65]C) {
	var b [65]byte
	n := 0
	for n < len(chars) && chars[n] != 0 {
		b[n] = byte(chars[n])
		n++
	}
	rename(s, b[:n])
}
