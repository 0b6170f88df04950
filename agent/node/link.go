package node

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
)

// Link is the state of a network interface.
type Link struct {
	Up      bool   // operational state "up"; lo, which has none, is not
	Carrier Number // 1 with a carrier, 0 without; unknown while it is down
	MTU     Number // bytes
	Speed   Number // Mbit/s; unknown for most virtual interfaces
}

// LinkFiles are the files in /sys/class/net of one interface.
type LinkFiles struct {
	operstate, carrier, mtu, speed file
}

// LinkFiles names the files of an interface. It opens none yet.
func (r *Reader) LinkFiles(name string) *LinkFiles {
	dir := filepath.Join(r.sys, "class/net", name)
	return &LinkFiles{
		operstate: file{path: filepath.Join(dir, "operstate")},
		carrier:   file{path: filepath.Join(dir, "carrier")},
		mtu:       file{path: filepath.Join(dir, "mtu")},
		speed:     file{path: filepath.Join(dir, "speed")},
	}
}

// Close closes what is open.
func (l *LinkFiles) Close() {
	for _, f := range []*file{&l.operstate, &l.carrier, &l.mtu, &l.speed} {
		f.close()
	}
}

// Link reads the state of an interface. The error wraps fs.ErrNotExist when it
// is gone; its files are closed then, for another of the same name may come.
func (r *Reader) Link(l *LinkFiles) (Link, error) {
	link, err := r.link(l)
	if err != nil {
		l.Close()
	}
	return link, err
}

func (r *Reader) link(l *LinkFiles) (Link, error) {
	state, err := r.read(&l.operstate)
	if err != nil {
		return Link{}, gone(err)
	}
	link := Link{Up: string(bytes.TrimSpace(state)) == "up"}
	for _, attribute := range [...]struct {
		file *file
		into *Number
	}{{&l.carrier, &link.Carrier}, {&l.mtu, &link.MTU}, {&l.speed, &link.Speed}} {
		if *attribute.into, err = r.attribute(attribute.file); err != nil {
			return Link{}, err
		}
	}
	return link, nil
}

// attribute reads one number. Drivers say EINVAL or EOPNOTSUPP, or -1, for
// what they do not know; that is no reason to close the file.
func (r *Reader) attribute(f *file) (Number, error) {
	err := f.ensureOpen()
	if errors.Is(err, fs.ErrNotExist) {
		return Number{}, nil
	}
	if err != nil {
		return Number{}, err
	}
	data, err := r.fill(f.fd)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EOPNOTSUPP) {
		return Number{}, nil
	}
	if err != nil {
		f.close()
		return Number{}, gone(&fs.PathError{Op: "read", Path: f.path, Err: err})
	}
	value := bytes.TrimSpace(data)
	if string(value) == "-1" {
		return Number{}, nil
	}
	n, err := number(value)
	return n, in(f, err)
}

// gone makes what a file in a removed directory says mean what it is.
func gone(err error) error {
	if errors.Is(err, syscall.ENODEV) {
		return fmt.Errorf("%w: %w", err, fs.ErrNotExist)
	}
	return err
}
