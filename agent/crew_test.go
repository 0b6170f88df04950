package agent

import (
	"slices"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// crewOf follows list, which the test changes, and notes who came and left.
func crewOf(list *[]discover.Container, log *[]string) *crew[*sample.Group] {
	version := uint64(0)
	return &crew[*sample.Group]{
		containers: func() (uint64, []discover.Container) { version++; return version, *list },
		naming:     newNaming(nil),
		came: func(c *discover.Container, labels []sample.Label) *sample.Group {
			*log = append(*log, "+"+c.Name)
			return &sample.Group{Labels: labels}
		},
		left: func(g **sample.Group, b *sample.Batch) {
			*log = append(*log, "-")
			b.End(*g)
		},
	}
}

func (w *crew[T]) names() (names []string) {
	for c := range w.all {
		names = append(names, c.Name)
	}
	return names
}

func TestWhatIsKeptOfAContainerEndsWithItOrItsName(t *testing.T) {
	web := discover.Container{Cgroup: "/a", Runtime: "docker", Known: true, Name: "web"}
	list, log := []discover.Container{web}, []string(nil)
	w := crewOf(&list, &log)
	var b sample.Batch
	step := func(want ...string) {
		t.Helper()
		log = nil
		b.Reset(b.Tick+1, time.Unix(int64(b.Tick), 0))
		w.update(&b)
		if !slices.Equal(log, want) {
			t.Errorf("got %q, want %q", log, want)
		}
	}
	step("+web")
	step()
	list[0].Name = "shop"
	step("-", "+shop")
	list = nil
	step("-")
	step()
}

func TestAContainerWaitsAMomentForItsNameAndIsThenKeptWithout(t *testing.T) {
	list, log := []discover.Container{{Cgroup: "/a", Runtime: "docker"}, {Cgroup: "/b", Runtime: "crio"}}, []string(nil)
	w := crewOf(&list, &log)
	start := time.Unix(1000, 0)
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {time.Second, 1}, {patience, 2}} {
		var b sample.Batch
		b.Reset(0, start.Add(step.after))
		w.update(&b)
		if got := len(w.names()); got != step.want {
			t.Errorf("after %s: %d containers are kept, want %d", step.after, got, step.want)
		}
	}
}
