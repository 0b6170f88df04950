package discover

import (
	"strconv"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

var web = about{Name: "web", Image: "shop/web:7", Labels: map[string]string{"team": "red"}}

// alone is the only container of r.
func alone(t *testing.T, r *registry) Container {
	t.Helper()
	_, list := r.containers()
	if len(list) != 1 {
		t.Fatalf("containers %+v, want one", list)
	}
	return list[0]
}

func TestAContainerIsKnownInWhicheverOrderItIsToldOf(t *testing.T) {
	group := found("/docker/"+idA, "docker", idA)
	for name, tell := range map[string]func(*registry){
		"kernel first": func(r *registry) { r.appeared(group); r.learned(idA, web) },
		"engine first": func(r *registry) { r.learned(idA, web); r.appeared(group) },
		"restarted, kernel first": func(r *registry) {
			r.appeared(group)
			r.learned(idA, web)
			r.vanished(group.Cgroup)
			r.ended(idA)
			r.appeared(group)
			r.learned(idA, web)
		},
		"restarted, engine first": func(r *registry) {
			r.learned(idA, web)
			r.appeared(group)
			r.ended(idA)
			r.learned(idA, web)
			r.vanished(group.Cgroup)
			r.appeared(group)
		},
		"renamed": func(r *registry) {
			r.appeared(group)
			r.learned(idA, about{Name: "old", Image: web.Image, Labels: web.Labels})
			r.renamed(idA, "web")
		},
		"its image renamed": func(r *registry) {
			r.appeared(group)
			r.learned(idA, web)
			r.learned(idA, about{Name: "web", Image: "sha256:0123"})
		},
		"the engine gone": func(r *registry) {
			r.appeared(group)
			r.learned(idA, web)
			r.ended(idB)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegistry()
			tell(r)
			c := alone(t, r)
			if !c.Known || c.Name != "web" || c.Image != "shop/web:7" || c.Labels["team"] != "red" {
				t.Errorf("container %+v", c)
			}
		})
	}
}

func TestWhatTheKernelDoesNotHaveIsNotThere(t *testing.T) {
	r := newRegistry()
	r.learned(idA, web)
	if _, list := r.containers(); len(list) != 0 {
		t.Errorf("containers %+v by the engine's word alone", list)
	}
}

func TestWhatIsGoneIsForgotten(t *testing.T) {
	r := newRegistry()
	for i := range 100 {
		id := strconv.Itoa(i)
		group := found("/docker/"+id, "docker", id)
		r.learned(id, web)
		r.appeared(group)
		switch i % 3 {
		case 0:
			r.ended(id)
			r.vanished(group.Cgroup)
		case 1:
			r.vanished(group.Cgroup)
			r.ended(id)
		case 2:
			r.vanished(group.Cgroup) // its end was missed, and made up for by the list below
		}
	}
	r.onlyRunning(nil)
	if len(r.known)+len(r.groups)+len(r.ids) != 0 {
		t.Errorf("%d known, %d groups, %d ids are kept", len(r.known), len(r.groups), len(r.ids))
	}
}

func TestNothingNewIsNoNewVersion(t *testing.T) {
	r := newRegistry()
	r.appeared(found("/docker/"+idA, "docker", idA))
	r.learned(idA, web)
	before, _ := r.containers()
	r.learned(idA, web) // as every list does
	r.appeared(found("/docker/"+idA, "docker", idA))
	r.learned(idB, web) // not here
	if after, _ := r.containers(); after != before {
		t.Errorf("version %d, want %d still", after, before)
	}
}

func TestAnIdIsBelievedOfOneCgroupOnly(t *testing.T) {
	forged := "/user.slice/user-1000.slice/user@1000.service/docker-" + idA + ".scope"
	for _, real := range []string{
		"/docker/" + idA,
		"/system.slice/docker-" + idA + ".scope",
		"/zone/a/b/c/d/e/f/" + idA,
	} {
		r := newRegistry()
		r.learned(idA, web)
		r.appeared(found(forged, "docker", idA))
		r.appeared(found(real, "", idA))
		_, list := r.containers()
		for _, c := range list {
			if c.Known != (c.Cgroup == real) {
				t.Errorf("%s: known %v, name %q", c.Cgroup, c.Known, c.Name)
			}
		}
	}
}

func TestTheEngineTellsTheRuntimeWhereThePathDoesNot(t *testing.T) {
	r := newRegistry()
	r.appeared(found("/teams/red/"+idA, "", idA))
	if c := alone(t, r); c.Runtime != "" {
		t.Errorf("runtime %q by the path", c.Runtime)
	}
	r.learned(idA, web)
	if c := alone(t, r); c.Runtime != "docker" {
		t.Errorf("runtime %q, want docker", c.Runtime)
	}
}

func TestEventsWaitInBoundsAndAreTakenOnce(t *testing.T) {
	r := newRegistry()
	r.appeared(found("/docker/"+idA, "docker", idA))
	for range maxEvents + 10 {
		r.happened(idA, sample.Event{Kind: sample.ContainerOOM, Time: time.Unix(1, 0)})
	}
	events, ooms := r.takeEvents(), r.takeOOMs()
	if len(events) != maxEvents || len(ooms) != maxEvents || ooms[0] != idA {
		t.Errorf("%d events and %d OOMs, want %d of each", len(events), len(ooms), maxEvents)
	}
	if events[0].Container != "/docker/"+idA {
		t.Errorf("a nameless container is called %q, want its cgroup", events[0].Container)
	}
	if n := r.droppedSoFar(); n != 20 {
		t.Errorf("%d dropped, want 20", n)
	}
	if len(r.takeEvents())+len(r.takeOOMs()) != 0 {
		t.Error("they are there a second time")
	}
}
