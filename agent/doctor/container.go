package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/disk"
	"github.com/plimsoll-io/plimsoll/agent/exit"
	"github.com/plimsoll-io/plimsoll/agent/netns"
	"github.com/plimsoll-io/plimsoll/agent/scrape"
)

// What is done to containers through their processes.
func containerChecks() []check {
	return []check{
		{"network", "processes", "container_network_*", network},
		{"disk", "layers", "container_fs_usage_bytes, container_fs_inodes_*", layers},
		{"exit", "pidfd", "last readings of containers: what they used after the last regular one, all of those that live less than a second", ends},
		{"exit", "priority", "on a busy node, last readings of containers that are removed as soon as they end", priority},
		{"burst", "triggers", "bursts begin a second or more after the pressure does", triggers},
		{"scrape", "namespaces", "metrics of containers that ask to be scraped", namespaces},
	}
}

// network reads the traffic of containers as the agent does.
func network(_ context.Context, e *exam) Finding {
	if f, no := e.unseen(); no {
		return f
	}
	r := netns.New(e.proc)
	var reading netns.Reading
	var failed error
	read := 0
	for _, m := range e.members {
		p, err := r.Open(m.pid)
		if err == nil {
			err = r.Read(p, &reading)
			p.Close()
		}
		switch {
		case err == nil:
			read++
		case !errors.Is(err, netns.ErrGone):
			failed = err
		}
	}
	switch {
	case read > 0 && e.hidden == 0:
		return ok(fmt.Sprintf("of %d containers", read))
	case read > 0:
		return limited(fmt.Sprintf("no process of %d of %d containers can be seen", e.hidden, e.hidden+len(e.members)), hostPID())
	case failed != nil:
		return missing(failed.Error(), asRoot())
	}
	return missing(e.proc+" does not have the processes of containers", hostPID())
}

// layers looks for the writable layer of a container and walks a little in it.
func layers(ctx context.Context, e *exam) Finding {
	if !e.opts.Disk {
		return off("--no-disk")
	}
	if f, no := e.unseen(); no {
		return f
	}
	known := disk.NewLayers(e.proc)
	walker := disk.NewWalker(disk.Limits{Entries: 100, Time: time.Second})
	walked, unsupported := 0, 0
	var failed error
	for _, m := range e.members {
		dir, err := known.Of(m.pid)
		if err == nil {
			_, err = walker.Walk(ctx, e.rootfs(), dir)
		}
		switch {
		case err == nil, errors.Is(err, disk.ErrLimit):
			walked++
		case errors.Is(err, disk.ErrNoLayer):
			unsupported++
		case errors.Is(err, fs.ErrNotExist) && !there(e.proc, strconv.Itoa(m.pid)): // it has ended
		default:
			failed = err
		}
	}
	switch {
	case errors.Is(failed, fs.ErrPermission):
		return missing(failed.Error(), capability("DAC_READ_SEARCH"))
	case errors.Is(failed, fs.ErrNotExist):
		return missing(failed.Error(), e.mountRoot())
	case failed != nil:
		return missing(failed.Error(), remedy{node: "see what is the matter with that directory"})
	case walked == 0 && unsupported > 0:
		return off("the storage driver is not overlay, or the layers are another machine's")
	}
	return ok(fmt.Sprintf("of %d containers", walked))
}

// ends watches a process as the agent waits for its end.
func ends(_ context.Context, e *exam) Finding {
	if f, no := e.unseen(); no {
		return f
	}
	for _, m := range e.members {
		fd, err := unix.PidfdOpen(m.pid, 0)
		switch {
		case errors.Is(err, unix.ESRCH):
			continue
		case errors.Is(err, unix.ENOSYS):
			return limited("the kernel has no pidfd_open", remedy{node: "Linux 5.3 or later"})
		case err != nil:
			return limited(fmt.Sprintf("pidfd_open: %v", err), remedy{docker: "--security-opt seccomp=unconfined", kube: "seccompProfile: {type: Unconfined}"})
		}
		unix.Close(fd)
		return ok("pidfd_open")
	}
	return off("the containers that there were have ended")
}

// priority starts the thread that would read containers at their end.
func priority(ctx context.Context, e *exam) Finding {
	var said testimony
	w, err := exit.New(exit.Options{
		CgroupRoot: e.root, Sysfs: e.opts.Roots.Sys, Log: said.logger(),
		Containers: func() (uint64, []discover.Container) { return 1, nil },
	})
	if err != nil {
		return missing(err.Error(), remedy{})
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for said.all() == "" && ctx.Err() == nil && len(ended) == 0 {
		<-again.C
	}
	got := w.Stats().Priority
	cancel()
	if err := <-ended; err != nil {
		return missing(err.Error(), remedy{node: "see the checks of cgroup and inotify"})
	}
	if got == exit.NoPriority {
		return limited("a thread "+said.all(), capability("SYS_NICE"))
	}
	return ok("a thread " + said.all())
}

// What the kernel is asked to tell: of 50 ms lost within 500 ms, or within 2 s.
const (
	closely = "some 50000 500000\x00"
	loosely = "some 100000 2000000\x00"
)

// triggers asks the kernel to tell of pressure, and takes that back at once.
func triggers(_ context.Context, e *exam) Finding {
	if !e.opts.Bursts {
		return off("--burst.triggers=-1")
	}
	files := []string{filepath.Join(e.proc, "pressure/cpu")}
	if group := e.pressureFile(); group != "" {
		files = append(files, group)
	}
	late := false
	for _, file := range files {
		close, err := trigger(file)
		switch {
		case err == nil:
			late = late || !close
		case errors.Is(err, unix.EOPNOTSUPP):
			return missing("the kernel was told not to account pressure", withPressure())
		case errors.Is(err, unix.EROFS):
			return missing(err.Error(), mountCgroup())
		case errors.Is(err, unix.EPERM), errors.Is(err, unix.EINVAL): // EINVAL before 6.5
			return missing(err.Error(), capability("SYS_RESOURCE"))
		case errors.Is(err, unix.EACCES):
			return missing(err.Error(), remedy{docker: "--user 0", kube: "runAsUser: 0", unit: "AmbientCapabilities=CAP_DAC_OVERRIDE, or User=root"})
		case errors.Is(err, unix.ENOENT):
			return missing(err.Error(), remedy{node: "Linux 4.20 or later with CONFIG_PSI=y"})
		default:
			return missing(err.Error(), remedy{})
		}
	}
	if late {
		return limited("the kernel tells of pressure every two seconds, not every half", capability("SYS_RESOURCE")).
			costing("bursts begin up to 2 s after the pressure does, not 0.5 s")
	}
	return ok(fmt.Sprintf("within half a second, tried at %s", list(files)))
}

// pressureFile is that of a container, empty if none has one.
func (e *exam) pressureFile() string {
	for _, c := range e.containers {
		for _, tree := range []string{"unified", ""} {
			if file := filepath.Join(e.root, tree, c.Cgroup, "cpu.pressure"); there(file) {
				return file
			}
		}
	}
	return ""
}

// trigger has the kernel watch a pressure file for a moment, closely if it may.
func trigger(file string) (close bool, err error) {
	fd, err := unix.Open(file, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, &os.PathError{Op: "open", Path: file, Err: err}
	}
	defer unix.Close(fd) // which ends the watch
	if _, err = unix.Write(fd, []byte(closely)); err == nil {
		return true, nil
	}
	if errors.Is(err, unix.EINVAL) {
		_, err = unix.Write(fd, []byte(loosely))
	}
	if err != nil {
		err = &os.PathError{Op: "set a trigger on", Path: file, Err: err}
	}
	return false, err
}

// namespaces enters the networks of containers. It is nothing to be mended as
// long as no container asks for it: the right to do so is nearly root's.
func namespaces(_ context.Context, e *exam) Finding {
	if !e.opts.Scrape {
		return off("--no-scrape.enabled")
	}
	asking := 0
	for _, c := range e.containers {
		if _, ok, err := scrape.ParseLabels(c.Labels); ok || err != nil {
			asking++
		}
	}
	f := e.enterAll()
	if f.Found() && asking == 0 && e.err == nil {
		f.Status, f.Detail = Off, "no container asks to be scraped; if one did: "+f.Detail
	}
	return f
}

func (e *exam) enterAll() Finding {
	if f, no := e.unseen(); no {
		return f
	}
	entered := 0
	for _, m := range e.members {
		path := filepath.Join(e.proc, strconv.Itoa(m.pid), "ns/net")
		ns, err := os.Open(path)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH):
			continue // it has ended
		case err != nil:
			return missing(err.Error(), capability("SYS_PTRACE"))
		}
		err = enter(ns)
		ns.Close()
		if err != nil {
			return missing(fmt.Sprintf("enter the network of %s: %v", m.of.Cgroup, err), capability("SYS_ADMIN"))
		}
		entered++
	}
	return ok(fmt.Sprintf("entered those of %d containers", entered))
}

// enter moves a thread into a network. The thread ends with the call; it must not
// be the main one, which cannot.
func enter(ns *os.File) error {
	done := make(chan error, 1)
	var try func()
	try = func() {
		runtime.LockOSThread() // never unlocked
		if unix.Gettid() != unix.Getpid() {
			done <- unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			return
		}
		other := make(chan struct{})
		go func() { defer close(other); try() }()
		<-other
		runtime.UnlockOSThread()
	}
	go try()
	return <-done
}
