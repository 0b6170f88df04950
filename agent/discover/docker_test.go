package discover

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

// byID finds a container among all that other engines may have here.
func byID(w *Watcher, id string) (Container, bool) {
	_, list := w.Containers()
	i := slices.IndexFunc(list, func(c Container) bool { return c.ID == id })
	if i < 0 {
		return Container{}, false
	}
	return list[i], true
}

func named(w *Watcher, id, name string) func() bool {
	return func() bool {
		c, ok := byID(w, id)
		return ok && c.Known && c.Name == name
	}
}

func gone(w *Watcher, id string) func() bool {
	return func() bool { _, ok := byID(w, id); return !ok }
}

func connected(w *Watcher) func() bool {
	return func() bool { return w.Stats().EngineConnected }
}

// told collects events until it has had some of each kind, in turn.
func told(t *testing.T, w *Watcher, kinds ...sample.EventKind) []sample.Event {
	t.Helper()
	var all []sample.Event
	eventually(t, "events", func() bool {
		all = append(all, w.TakeEvents()...)
		i := 0
		for _, e := range all {
			if i < len(kinds) && e.Kind == kinds[i] {
				i++
			}
		}
		return i == len(kinds)
	})
	return all
}

func TestARealContainerHasItsNameFromStartToEnd(t *testing.T) {
	t.Parallel()
	e := engine.Start(t)
	before := e.Docker("run", "-d", "--name", "early", "--label", "team=red", engine.Image, "sleep", "1000")
	w := start(t, Options{DockerHost: e.Host()})

	eventually(t, "the container that ran before", named(w, before, "early"))
	eventually(t, "when it started", func() bool {
		c, _ := byID(w, before)
		return time.Since(c.Started) < time.Minute
	})

	id := e.Docker("run", "-d", "--name", "late", "--label", "team=blue", engine.Image, "sleep", "1000")
	eventually(t, "the container that came later", named(w, id, "late"))
	// A list has the name, but not when it started.
	eventually(t, "when it started", func() bool { c, _ := byID(w, id); return time.Since(c.Started) < time.Minute })
	c, _ := byID(w, id)
	if c.Runtime != "docker" || c.Image != engine.Image || c.Labels["team"] != "blue" || len(c.Labels) != 1 {
		t.Errorf("container %+v", c)
	}
	if _, err := os.Stat(filepath.Join(w.kernel.root, c.Cgroup, "cgroup.procs")); err != nil {
		t.Error(err)
	}

	e.Docker("restart", "-t", "0", "late")
	eventually(t, "the name after a restart", named(w, id, "late"))
	e.Docker("rm", "-f", "late")
	eventually(t, "the container gone", gone(w, id))
	eventually(t, "the name forgotten", func() bool { _, ok := w.registry.of(id); return !ok })
}

// With a tree of its own, as containers of other engines would have the watcher
// list them all again, which tells the new name too.
func TestARenameIsHeard(t *testing.T) {
	t.Parallel()
	e := engine.Start(t)
	id := e.Docker("run", "-d", "--name", "old", engine.Image, "sleep", "1000")
	w := start(t, Options{CgroupRoot: hierarchyOf(t, "docker/"+id), DockerHost: e.Host()})
	eventually(t, "the old name", named(w, id, "old"))
	e.Docker("rename", "old", "new")
	eventually(t, "the new name", named(w, id, "new"))
}

func TestEventsTellOfStartExitAndMemory(t *testing.T) {
	t.Parallel()
	e := engine.Start(t)
	w := start(t, Options{DockerHost: e.Host()})
	eventually(t, "the engine", connected(w))

	_, _ = e.Try("run", "--name", "three", engine.Image, "sh", "-c", "exit 3")
	all := told(t, w, sample.ContainerStarted, sample.ContainerExited)
	for i, want := range []string{"started from " + engine.Image, "exited with code 3"} {
		if all[i].Container != "three" || all[i].Text != want || time.Since(all[i].Time) > time.Minute {
			t.Errorf("event %+v, want %q of three", all[i], want)
		}
	}

	if exits := w.TakeExits(); len(exits) != 1 || exits[0].Code != 3 || !exits[0].At.Equal(all[1].Time) || !isHash(exits[0].ID) {
		t.Errorf("exits %+v, want one with code 3", exits)
	}

	takeOOMs := w.OOMs()
	// Not before it has been started: the engine begins to look for kills then.
	table := t.TempDir()
	id := e.Docker("run", "-d", "--name", "hungry", "--memory", "16m", "-v", table+":/table", engine.Image,
		"sh", "-c", "until test -e /table/food; do sleep 0.1; done; x=a; while :; do x=$x$x; done")
	mkdir(t, table, "food")
	told(t, w, sample.ContainerStarted, sample.ContainerOOM, sample.ContainerExited)
	if ooms := takeOOMs(); len(ooms) == 0 || ooms[0] != id {
		t.Errorf("OOMs %v, want %s", ooms, id)
	}
	if again := takeOOMs(); len(again) != 0 {
		t.Errorf("OOMs %v told twice", again)
	}
}

// Labels and events share one map in the engine's answer.
func TestLabelsCannotPoseAsTheEnginesWord(t *testing.T) {
	t.Parallel()
	e := engine.Start(t)
	w := start(t, Options{DockerHost: e.Host()})
	eventually(t, "the engine", connected(w))

	long := strings.Repeat("x", 64<<10)
	id := e.Docker("run", "-d", "--name", "honest",
		"--label", "name=forged", "--label", "image=forged", "--label", "exitCode=0",
		"--label", "__name__=up", "--label", "bad\xff=two\nlines", "--label", "long="+long,
		engine.Image, "sleep", "1000")
	eventually(t, "the name", named(w, id, "honest"))
	if c, _ := byID(w, id); c.Image != engine.Image || c.Labels["long"] != long[:maxText] {
		t.Errorf("image %q, %d bytes of label", c.Image, len(c.Labels["long"]))
	}
	if n := w.Stats().LabelsCut; n != 1 {
		t.Errorf("%d labels cut, want the long one", n)
	}
	e.Docker("kill", "honest")
	for _, event := range told(t, w, sample.ContainerStarted, sample.ContainerExited) {
		if event.Kind == sample.ContainerExited && event.Text != "exited" {
			t.Errorf("event %+v has its code from a label", event)
		}
	}
	if exits := w.TakeExits(); len(exits) != 0 {
		t.Errorf("exits %+v by a label", exits)
	}
}

func TestHealthIsTheEnginesAsLongAsItIsHeard(t *testing.T) {
	t.Parallel()
	e := engine.Start(t, engine.LiveRestore())
	check := []string{"--health-cmd", "test ! -e /tmp/ill", "--health-interval", "300ms", "--health-retries", "1"}
	id := e.Docker(append(append([]string{"run", "-d", "--name", "checked"}, check...), engine.Image, "sleep", "1000")...)
	w := start(t, Options{DockerHost: e.Host()})
	health := func(want Health) func() bool {
		return func() bool { c, _ := byID(w, id); return c.Known && c.Health == want }
	}
	eventually(t, "health as listed or told", health(Healthy))
	e.Docker("exec", "checked", "touch", "/tmp/ill")
	eventually(t, "illness as told", health(Unhealthy))
	// The list has the health; when it started is asked for afterwards.
	eventually(t, "when it was made and started", func() bool {
		c, _ := byID(w, id)
		return time.Since(c.Created) < time.Minute && !c.Created.After(c.Started)
	})
	e.Kill()
	eventually(t, "no health from an engine that is gone", health(NoHealth))
	e.Start()
	eventually(t, "health again", health(Unhealthy))
}

func TestNamesComeLateAndOutliveTheEngine(t *testing.T) {
	t.Parallel()
	e := engine.Start(t, engine.LiveRestore())
	id := e.Docker("run", "-d", "--name", "survivor", engine.Image, "sleep", "1000")
	e.Kill()

	w := start(t, Options{DockerHost: e.Host()})
	eventually(t, "the container without a name", func() bool {
		c, ok := byID(w, id)
		return ok && !c.Known && c.Runtime == "docker"
	})
	e.Start()
	eventually(t, "the name, late", named(w, id, "survivor"))

	for range 2 {
		e.Kill()
		eventually(t, "the loss noticed", func() bool { return !w.Stats().EngineConnected })
		if !named(w, id, "survivor")() {
			t.Error("the name died with the engine")
		}
		e.Start()
		eventually(t, "the engine again", connected(w))
		if !named(w, id, "survivor")() {
			t.Error("the name is lost by a restart of the engine")
		}
	}
	if n := w.Stats().EngineReconnects; n != 2 {
		t.Errorf("%d reconnects, want 2", n)
	}
	other := e.Docker("run", "-d", "--name", "other", engine.Image, "sleep", "1000")
	eventually(t, "a new container after all that", named(w, other, "other"))
}

func TestACutStreamMissesNothing(t *testing.T) {
	t.Parallel()
	e := engine.Start(t)
	r := startRelay(t, e.Host())
	w := start(t, Options{DockerHost: r.host()})
	eventually(t, "the engine", connected(w))
	e.Docker("run", "--rm", "--name", "before", engine.Image, "true")
	told(t, w, sample.ContainerStarted, sample.ContainerExited)

	r.set(true)
	eventually(t, "the cut noticed", func() bool { return !w.Stats().EngineConnected })
	_, _ = e.Try("run", "--rm", "--name", "meanwhile", engine.Image, "sh", "-c", "exit 7")
	id := e.Docker("run", "-d", "--name", "stays", engine.Image, "sleep", "1000")
	eventually(t, "the container without a name", func() bool {
		c, ok := byID(w, id)
		return ok && !c.Known
	})
	r.set(false)

	eventually(t, "the name", named(w, id, "stays"))
	var got []string
	for _, event := range told(t, w, sample.ContainerStarted, sample.ContainerExited, sample.ContainerStarted) {
		got = append(got, event.Container+" "+event.Text)
	}
	want := []string{"meanwhile started from " + engine.Image, "meanwhile exited with code 7", "stays started from " + engine.Image}
	if !slices.Equal(got, want) {
		t.Errorf("events %q, want %q, each once", got, want)
	}
}

// The list that comes first does not have it any more.
func TestAnEndThatACutStreamMissedHasItsCode(t *testing.T) {
	t.Parallel()
	e := engine.Start(t)
	r := startRelay(t, e.Host())
	w := start(t, Options{DockerHost: r.host()})
	id := e.Docker("run", "-d", "--name", "brief", engine.Image, "sleep", "1000")
	eventually(t, "the name", named(w, id, "brief"))

	r.set(true)
	eventually(t, "the cut noticed", func() bool { return !w.Stats().EngineConnected })
	e.Docker("kill", "brief")
	eventually(t, "the container gone", gone(w, id))
	r.set(false)

	all := told(t, w, sample.ContainerExited)
	if last := all[len(all)-1]; last.Container != "brief" || last.Text != "exited with code 137" {
		t.Errorf("event %+v, want how it ended", last)
	}
	if exits := w.TakeExits(); len(exits) != 1 || exits[0].Code != 137 || exits[0].As.Name != "brief" {
		t.Errorf("exits %+v, want one with code 137", exits)
	}
	eventually(t, "the name forgotten", func() bool { _, ok := w.registry.of(id); return !ok })
}

// An engine remembers its last 256 events, and each signal is one.
func TestWhatTheEngineForgotIsMadeUpFor(t *testing.T) {
	t.Parallel()
	e := engine.Start(t)
	r := startRelay(t, e.Host())
	w := start(t, Options{DockerHost: r.host()})
	old := e.Docker("run", "-d", "--name", "old", engine.Image, "sleep", "1000")
	eventually(t, "the old container", named(w, old, "old"))

	r.set(true)
	eventually(t, "the cut noticed", func() bool { return !w.Stats().EngineConnected })
	e.Docker("rm", "-f", "old")
	id := e.Docker("run", "-d", "--name", "new", engine.Image, "sleep", "1000")
	e.Docker(append([]string{"kill", "--signal", "CONT"}, slices.Repeat([]string{"new"}, 300)...)...)
	w.TakeEvents()
	r.set(false)

	eventually(t, "the new container", named(w, id, "new"))
	eventually(t, "the old one forgotten", func() bool { _, ok := w.registry.of(old); return !ok })
	if events := w.TakeEvents(); len(events) != 0 {
		t.Errorf("events %+v, though the engine forgot them: this tests nothing", events)
	}
}

func TestAFrozenEngineCostsNamesOnly(t *testing.T) {
	t.Parallel()
	e := engine.Start(t)
	id := e.Docker("run", "-d", "--name", "seen", engine.Image, "sleep", "1000")
	root := hierarchyOf(t, "docker/"+id)
	w := start(t, Options{CgroupRoot: root, DockerHost: e.Host()})
	eventually(t, "the name", named(w, id, "seen"))

	e.Freeze()
	eventuallyWithin(t, time.Minute, "the silence noticed", func() bool { return !w.Stats().EngineConnected })
	mkdir(t, root, "docker/"+idA)
	eventually(t, "a container made meanwhile", func() bool { _, ok := byID(w, idA); return ok })
	if !named(w, id, "seen")() {
		t.Error("the name is gone though the container is not")
	}
	e.Thaw()
	eventually(t, "the engine again", connected(w))
}

func TestAnEngineThatNeverAnswersStallsNothing(t *testing.T) {
	t.Parallel()
	host := filepath.Join(t.TempDir(), "s")
	silent, err := net.Listen("unix", host)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	root := hierarchyOf(t, "docker/"+idA)
	w := start(t, Options{CgroupRoot: root, DockerHost: "unix://" + host})

	eventually(t, "what is there", has(w, "/docker/"+idA))
	conn, err := silent.Accept() // it has called
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	began := time.Now()
	mkdir(t, root, "docker/"+idB)
	eventually(t, "what comes", has(w, "/docker/"+idA, "/docker/"+idB))
	if took := time.Since(began); took >= callLimit {
		t.Errorf("a container was seen after %v only", took)
	}
	if w.Stats().EngineConnected {
		t.Error("it counts as connected")
	}
	again, err := silent.Accept() // it gave up and tries again
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestShortLivesLeakNothing(t *testing.T) {
	e := engine.Start(t)
	w := start(t, Options{DockerHost: e.Host()})
	eventually(t, "the engine", connected(w))
	run := func() { e.Docker("run", "--rm", engine.Image, "true") }
	settle := func(want int) {
		exits := 0
		eventually(t, fmt.Sprintf("%d exits told and all forgotten", want), func() bool {
			for _, event := range w.TakeEvents() {
				if event.Kind == sample.ContainerExited && event.Text == "exited with code 0" {
					exits++
				}
			}
			w.registry.mu.Lock()
			defer w.registry.mu.Unlock()
			return exits >= want && len(w.registry.known) == 0
		})
		if exits != want {
			t.Errorf("%d exits told of %d", exits, want)
		}
	}
	run()
	settle(1)

	files, goroutines := openFiles(t), runtime.NumGoroutine()
	for range 60 {
		run()
	}
	settle(60)
	// The client keeps an idle connection, or two, of a file and two goroutines.
	// A look at the hierarchy may be under way.
	eventually(t, fmt.Sprintf("no more than %d files and two", files), func() bool { return openFiles(t) <= files+2 })
	eventually(t, fmt.Sprintf("no more than %d goroutines and four", goroutines), func() bool { return runtime.NumGoroutine() <= goroutines+4 })
}

func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestOwnName(t *testing.T) {
	for want, names := range map[string][]string{
		"web": {"/web"},
		"db":  {"/shop/db", "/db"},
		"":    nil,
	} {
		if got := ownName(names); got != want {
			t.Errorf("ownName(%q) = %q, want %q", names, got, want)
		}
	}
}

func TestTextsFitInALine(t *testing.T) {
	for text, want := range map[string]string{
		"two\nlines\x1b[2J":       "two?lines?[2J",
		"no \xff text":            "no \ufffd text",
		strings.Repeat("é", 1000): strings.Repeat("é", 128),
	} {
		if got := line(text); got != want {
			t.Errorf("line(%q) = %q, want %q", text, got, want)
		}
	}
}
