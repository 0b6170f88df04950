package discover

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of files that are read whole. An engine's own are some kilobytes, and
// larger by what a container's labels and environment are.
const (
	maxConfig  = 4 << 20
	maxStorage = 16 << 20 // of all containers of a storage
)

// Where runtimes keep what they know of a container, below the root of the
// node's file system. None of it belongs to a storage driver: "*-containers" is
// named after one, whichever that is.
const (
	dockerConfigs = "containers/%s/config.v2.json" // below its data root
	dockerRemaps  = "[0-9]*.[0-9]*"                // data roots in that, one per --userns-remap
	crioConfigs   = "run/containers/storage/*-containers/%s/userdata/config.json"
)

// bundles are where containerd has the configuration of each task, in the same
// place of its state directory: its own, and those of distributions that bring
// their containerd along.
var bundles = []string{
	"run/containerd/io.containerd.runtime.v*/*/%s/config.json",
	"run/k3s/containerd/io.containerd.runtime.v*/*/%s/config.json", // RKE2 too
	"run/k0s/containerd/io.containerd.runtime.v*/*/%s/config.json",
	"var/snap/microk8s/common/run/containerd/io.containerd.runtime.v*/*/%s/config.json",
}

// storages are the lists of containers that Podman and CRI-O share: lasting
// ones, those that are removed at their end, and those of a transient store.
var storages = []string{
	"var/lib/containers/storage/*-containers/containers.json",
	"var/lib/containers/storage/*-containers/volatile-containers.json",
	"run/containers/storage/*-containers/volatile-containers.json",
}

var (
	errTooLarge = errors.New("larger than a configuration is")
	errNoFile   = errors.New("not a regular file")
)

// store is a list of containers as it was last read.
type store struct {
	changed    time.Time
	size       int64
	containers map[string]about
}

// look reads the files of one container.
func (f *files) look(l *lookup) {
	if l.runtime == "docker" || l.runtime == "" {
		f.lookDocker(l)
	}
	if !l.found && (l.runtime == "containerd" || l.runtime == "") {
		for _, pattern := range bundles {
			if f.lookBundle(l, pattern); l.found {
				return
			}
		}
	}
	if !l.found && (l.runtime == "crio" || l.runtime == "") {
		f.lookBundle(l, crioConfigs)
	}
	if !l.found && (l.runtime == "podman" || l.runtime == "") {
		f.lookStorage(l)
	}
}

func (f *files) lookDocker(l *lookup) {
	if f.readDocker(l, f.docker) {
		return
	}
	remaps, err := fs.Glob(f.root, path.Join(f.docker, dockerRemaps))
	if err != nil {
		return // the pattern is bad, as the data root has a bracket in its name
	}
	for _, root := range remaps {
		if f.readDocker(l, root) {
			return
		}
	}
}

// readDocker tells whether there is a file of the container below a data root.
// One that does not run has no cgroup: this one has been given its id, or starts
// just now.
func (f *files) readDocker(l *lookup, root string) bool {
	data, _, err := f.read(path.Join(root, fmt.Sprintf(dockerConfigs, l.id)), maxConfig)
	if err != nil {
		return false
	}
	a, running, err := parseDocker(data)
	if err != nil {
		f.refuse(l.id, err)
	}
	l.about, l.found = a, running
	return true
}

func (f *files) lookBundle(l *lookup, pattern string) {
	names, err := fs.Glob(f.root, fmt.Sprintf(pattern, l.id))
	if err != nil {
		return // only a bad pattern
	}
	for _, name := range names {
		if strings.Contains(name, "/moby/") {
			continue // Docker's, and it writes down more elsewhere
		}
		data, written, err := f.read(name, maxConfig)
		if err != nil {
			continue
		}
		a, err := parseBundle(data)
		if err != nil {
			f.refuse(l.id, err)
			continue
		}
		if pattern != crioConfigs {
			a.Started = written // containerd makes a bundle for each start
			a.Runtime = "containerd"
			if a.Name == "" && a.kube.pod != "" {
				a.Name = l.id // as kubelet has it
			}
		} else {
			a.Runtime = "crio"
		}
		l.about, l.found = a, true
		return
	}
}

func (f *files) lookStorage(l *lookup) {
	for _, pattern := range storages {
		names, err := fs.Glob(f.root, pattern)
		if err != nil {
			return // only a bad pattern
		}
		for _, name := range names {
			if a, ok := f.stored(name)[l.id]; ok {
				l.about, l.found = a, true
				return
			}
		}
	}
}

// stored are the containers in a list, read anew if it has changed.
func (f *files) stored(name string) map[string]about {
	info, err := fs.Stat(f.root, name)
	if err != nil {
		return nil
	}
	s := f.stores[name]
	if info.ModTime().Equal(s.changed) && info.Size() == s.size {
		return s.containers
	}
	s = store{info.ModTime(), info.Size(), nil}
	if data, _, err := f.read(name, maxStorage); err == nil {
		if s.containers, err = parseStorage(data); err != nil {
			f.refuse(name, err)
		}
	}
	f.stores[name] = s // what makes no sense is not read again until it changes
	return s.containers
}

// read reads a regular file of a bounded size, and tells when it was written.
// That there is none is no news.
func (f *files) read(name string, limit int64) (data []byte, written time.Time, err error) {
	info, err := fs.Stat(f.root, name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, time.Time{}, err
	}
	if err == nil && !info.Mode().IsRegular() {
		err = errNoFile // to open a pipe could wait for ever
	}
	if err == nil {
		data, err = f.readWhole(name, limit)
	}
	if err != nil {
		f.refuse(name, err)
		return nil, time.Time{}, err
	}
	return data, info.ModTime(), nil
}

func (f *files) readWhole(name string, limit int64) ([]byte, error) {
	file, err := f.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = errTooLarge
	}
	return data, err
}

func (f *files) refuse(what string, err error) {
	f.refused.Add(1)
	f.log.Debug("a container is not named by its files", "of", what, "err", err)
}
