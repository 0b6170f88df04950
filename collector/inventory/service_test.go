package inventory_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plimsoll-io/plimsoll/collector/inventory"
)

// platform is one that says what it was asked to run.
type platform struct {
	list  []inventory.Declared
	err   error
	hangs bool
}

func (p *platform) Declared(ctx context.Context) ([]inventory.Declared, error) {
	if p.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return p.list, p.err
}

func count(n int) *int { return &n }

func TestServicesAreCountedByTheirContainersAndByTheirPlatform(t *testing.T) {
	swarm := &platform{list: []inventory.Declared{{Name: "shop_web", Desired: 3, Ready: count(2)}, {Name: "shop_idle", Desired: 0}}}
	kubernetes := &platform{list: []inventory.Declared{{Namespace: "shop", Name: "api", Desired: 5}}}
	f := newFleet(t, inventory.Options{Declarers: map[string]inventory.Declarer{"swarm": swarm, "kubernetes": kubernetes}})
	f.seconds(0, "a", "1.0")
	f.seconds(0, "b", "1.0")
	f.seconds(1, "b", "1.0")
	f.report("a", "1.0")
	const label = "container_label_com_docker_"
	f.running("a", "web1", label+"swarm_service_name", "shop_web")
	f.running("b", "web2", label+"swarm_service_name", "shop_web")
	f.running("b", "cron", label+"compose_project", "tools", label+"compose_service", "cron")
	f.running("b", "plain")
	f.refresh()
	for name := range f.opts.Declarers {
		if err := f.inv.Declare(t.Context(), name, f.now); err != nil {
			t.Fatal(err)
		}
	}
	want := []inventory.Service{
		{Workload: inventory.Workload{Platform: "compose", Namespace: "tools", Name: "cron"}, Running: count(1), Nodes: []string{"b"}},
		{Workload: inventory.Workload{Platform: "kubernetes", Namespace: "shop", Name: "api"}, Desired: count(5), DeclaredAt: f.now},
		{Workload: inventory.Workload{Platform: "swarm", Name: "shop_idle"}, Running: count(0), Desired: count(0), DeclaredAt: f.now},
		{Workload: inventory.Workload{Platform: "swarm", Name: "shop_web"}, Running: count(2), Nodes: []string{"a", "b"}, Desired: count(3), Ready: count(2), DeclaredAt: f.now},
	}
	expect(t, f.inv.Services(), want)

	// A node that is lost takes nobody away, and a platform that does not answer
	// has not changed its mind.
	f.inv.NodeLost("a", f.now)
	swarm.err = errors.New("no manager")
	before := f.now
	f.pass(5 * time.Second)
	if err := f.inv.Declare(t.Context(), "swarm", f.now); err == nil || !strings.Contains(err.Error(), "no manager") {
		t.Errorf("error %v", err)
	}
	web := f.inv.Services()[3]
	expect(t, web, inventory.Service{
		Workload: want[3].Workload, Running: count(1), Stale: 1, Nodes: []string{"a", "b"},
		Desired: count(3), Ready: count(2), DeclaredAt: before, Outdated: true,
	})
	_, a := f.get(inventory.ServicesPath + "?service=shop_web")
	if len(a.Data.Items) != 1 || len(a.Data.Trouble) != 1 || a.Data.Items[0]["outdated"] != true || a.Data.Items[0]["declared_age_seconds"] != 5.0 {
		t.Errorf("%+v", a.Data)
	}
}

func TestBeforeTheFirstReadingNobodyKnowsWhatRuns(t *testing.T) {
	swarm := &platform{list: []inventory.Declared{{Name: "web", Desired: 3}}}
	f := newFleet(t, inventory.Options{Declarers: map[string]inventory.Declarer{"swarm": swarm}})
	if err := f.inv.Declare(t.Context(), "swarm", f.now); err != nil {
		t.Fatal(err)
	}
	if s := f.inv.Services(); len(s) != 1 || s[0].Running != nil || *s[0].Desired != 3 {
		t.Errorf("%+v", s)
	}
	f.refresh()
	if s := f.inv.Services(); len(s) != 1 || s[0].Running == nil || *s[0].Running != 0 {
		t.Errorf("after it: %+v", s)
	}
}

func TestMoreServicesThanThereIsRoomForAreCounted(t *testing.T) {
	swarm := &platform{list: []inventory.Declared{{Name: "a"}, {Name: "b"}, {Name: "c"}}}
	f := newFleet(t, inventory.Options{Services: 2, Declarers: map[string]inventory.Declarer{"swarm": swarm}})
	if err := f.inv.Declare(t.Context(), "swarm", f.now); err != nil {
		t.Fatal(err)
	}
	if _, a := f.get(inventory.ServicesPath); len(a.Data.Items) != 2 || a.Data.LeftOut != 1 {
		t.Errorf("%+v", a.Data)
	}
}

func TestAPlatformThatHangsDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		swarm := &platform{list: []inventory.Declared{{Name: "web", Desired: 1}}}
		v := inventory.New(inventory.Options{Declarers: map[string]inventory.Declarer{"swarm": swarm, "marathon": &platform{hangs: true}}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := v.Run(ctx); err != nil {
			t.Fatal(err)
		}
		s := v.Services()
		if len(s) != 1 || time.Since(s[0].DeclaredAt) > 6*time.Second {
			t.Errorf("after a minute: %+v", s)
		}
	})
}
