package discover

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/testkit/engine"
)

// dataRoot is where an engine of the testkit keeps its data, as options that say
// so the way an agent in a container would.
func dataRoot(e *engine.Engine) Options {
	return Options{RootFS: filepath.Dir(strings.TrimPrefix(e.Host(), "unix://")), DockerRoot: "/data"}
}

// isWeb tells whether a container is known by all that its file has.
func isWeb(w *Watcher, id string) func() bool {
	return func() bool {
		c, _ := byID(w, id)
		return c.Known && c.Name == "web" && c.Image == engine.Image && c.Labels["team"] == "red" &&
			time.Since(c.Created) < time.Minute && !c.Started.Before(c.Created)
	}
}

func runWeb(e *engine.Engine) string {
	return e.Docker("run", "-d", "--name", "web", "--label", "team=red", engine.Image, "sleep", "1000")
}

func TestFilesNameARealContainerWithoutASocket(t *testing.T) {
	t.Parallel()
	e := engine.Start(t)
	w := start(t, dataRoot(e))
	id := runWeb(e)
	eventually(t, "the name", isWeb(w, id))
	first, _ := byID(w, id)
	e.Docker("restart", "-t", "0", "web")
	eventually(t, "the start after a restart", func() bool {
		c, _ := byID(w, id)
		return isWeb(w, id)() && c.Started.After(first.Started) && c.Created.Equal(first.Created)
	})
	e.Docker("rm", "-f", "web")
	eventually(t, "the container gone", gone(w, id))
	if s := w.Stats(); s.EngineConnected || s.FilesRefused != 0 {
		t.Errorf("%+v", s)
	}
}

func TestFilesNameAContainerOfAFrozenEngine(t *testing.T) {
	t.Parallel()
	e := engine.Start(t)
	id := runWeb(e)
	e.Freeze()
	opts := dataRoot(e)
	opts.DockerHost = e.Host()
	w := start(t, opts)
	eventually(t, "the name", isWeb(w, id))
	if w.Stats().EngineConnected {
		t.Error("the engine is not frozen")
	}
	e.Thaw()
	eventually(t, "the engine", connected(w))
	if !isWeb(w, id)() {
		t.Error("the name is gone")
	}
}

func TestFilesNameWhatStartsWhileTheEngineIsAway(t *testing.T) {
	t.Parallel()
	e := engine.Start(t)
	r := startRelay(t, e.Host())
	r.set(true)
	opts := dataRoot(e)
	opts.DockerHost = r.host()
	w := start(t, opts)
	id := runWeb(e)
	eventually(t, "the name by files", isWeb(w, id))

	e.Docker("rename", "web", "shop") // which only the engine tells
	r.set(false)
	eventually(t, "the engine's later word", named(w, id, "shop"))
	c, _ := byID(w, id)
	if c.Labels["team"] != "red" || c.Created.IsZero() || c.Started.IsZero() {
		t.Errorf("container %+v", c)
	}
	e.Docker("rename", "shop", "web")
	eventually(t, "news by event", isWeb(w, id))
}

func TestARestartOfTheEngineCostsNoName(t *testing.T) {
	t.Parallel()
	e := engine.Start(t, engine.LiveRestore())
	opts := dataRoot(e)
	opts.DockerHost = e.Host()
	w := start(t, opts)
	id := runWeb(e)
	eventually(t, "the name", isWeb(w, id))
	e.Kill()
	eventually(t, "the loss noticed", func() bool { return !w.Stats().EngineConnected })
	if !isWeb(w, id)() {
		t.Error("the name died with the engine")
	}
	other := start(t, dataRoot(e)) // an agent that starts now
	eventually(t, "the name without an engine", isWeb(other, id))
	e.Start()
	eventually(t, "the engine again", connected(w))
	if !isWeb(w, id)() {
		t.Error("the name is lost by the restart")
	}
}

// 10,000 labels, and one of a megabyte, in a real engine.
func TestSickLabelsCostOnlyTheirContainer(t *testing.T) {
	t.Parallel()
	e := engine.Start(t)
	labels := filepath.Join(t.TempDir(), "labels")
	var text strings.Builder
	for i := range 10_000 {
		text.WriteString("sick.")
		text.WriteString(strings.Repeat("x", i%7))
		text.WriteString(time.Duration(i).String())
		text.WriteString("=1\n")
	}
	if err := writes(text.String())(labels); err != nil {
		t.Fatal(err)
	}
	for name, host := range map[string]string{"by the engine": e.Host(), "by files": ""} {
		opts := dataRoot(e)
		opts.DockerHost = host
		w := start(t, opts)
		sick := e.Docker("run", "-d", "--name", "sick", "--label-file", labels, engine.Image, "sleep", "1000")
		web := runWeb(e)
		eventually(t, name+", the other", isWeb(w, web))
		eventually(t, name+", itself", named(w, sick, "sick"))
		if c, _ := byID(w, sick); len(c.Labels) != maxLabels {
			t.Errorf("%s: %d labels", name, len(c.Labels))
		}
		if n := w.Stats().LabelsCut; n < 9000 {
			t.Errorf("%s: %d labels cut", name, n)
		}
		e.Docker("rm", "-f", "sick", "web")
	}
}
