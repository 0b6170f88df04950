package inventory_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/plimsoll-io/plimsoll/collector/inventory"
)

var noon = time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)

func up(name, version string, seen time.Time) inventory.Node {
	return inventory.Node{Name: name, Version: version, Seen: seen}
}

func lost(name, version string, seen, at time.Time) inventory.Node {
	return inventory.Node{Name: name, Version: version, Seen: seen, Lost: at}
}

func TestNodes(t *testing.T) {
	tests := map[string]struct {
		told func(*inventory.Inventory)
		want []inventory.Node
	}{
		"nothing is known at first": {func(*inventory.Inventory) {}, nil},
		"a node that speaks is connected": {func(v *inventory.Inventory) {
			v.NodeSeen("b", "1.0", noon)
			v.NodeSeen("a", "1.1", noon)
		}, []inventory.Node{up("a", "1.1", noon), up("b", "1.0", noon)}},
		"a lost node keeps the time it last spoke": {func(v *inventory.Inventory) {
			v.NodeSeen("a", "1.0", noon)
			v.NodeLost("a", noon.Add(10*time.Second))
		}, []inventory.Node{lost("a", "1.0", noon, noon.Add(10*time.Second))}},
		"a node that comes back may have a newer agent": {func(v *inventory.Inventory) {
			v.NodeSeen("a", "1.0", noon)
			v.NodeLost("a", noon.Add(10*time.Second))
			v.NodeSeen("a", "1.1", noon.Add(time.Minute))
		}, []inventory.Node{up("a", "1.1", noon.Add(time.Minute))}},
		"a report that comes late does not turn time back": {func(v *inventory.Inventory) {
			v.NodeSeen("a", "1.0", noon)
			v.NodeSeen("a", "1.0", noon.Add(-time.Second))
		}, []inventory.Node{up("a", "1.0", noon)}},
		"losing a node that nobody saw makes none": {func(v *inventory.Inventory) {
			v.NodeLost("a", noon)
		}, nil},
		"past the bound the longest lost makes room": {func(v *inventory.Inventory) {
			for i, name := range []string{"a", "b", "c"} {
				v.NodeSeen(name, "1.0", noon.Add(time.Duration(i)*time.Second))
			}
			v.NodeLost("c", noon.Add(time.Minute))
			v.NodeLost("b", noon.Add(time.Minute))
			v.NodeSeen("d", "1.0", noon)
		}, []inventory.Node{up("a", "1.0", noon), lost("c", "1.0", noon.Add(2*time.Second), noon.Add(time.Minute)), up("d", "1.0", noon)}},
		"past the bound no connected node is forgotten": {func(v *inventory.Inventory) {
			for _, name := range []string{"a", "b", "c", "d"} {
				v.NodeSeen(name, "1.0", noon)
			}
		}, []inventory.Node{up("a", "1.0", noon), up("b", "1.0", noon), up("c", "1.0", noon)}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := inventory.New(inventory.Options{Nodes: 3})
			tt.told(v)
			if diff := cmp.Diff(tt.want, v.Nodes()); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

func TestTheLatestEventsAreKeptAndTheRestCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	v := inventory.New(inventory.Options{Events: 3, Registerer: reg})
	for i := range 5 {
		v.Event("a", noon.Add(time.Duration(i)*time.Second), "exited", fmt.Sprint("c", i), "")
	}
	var got []string
	for _, e := range v.Events() {
		got = append(got, e.Container)
	}
	if want := []string{"c4", "c3", "c2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(`
		# HELP plimsoll_inventory_events_forgotten_total Events that made room for later ones.
		# TYPE plimsoll_inventory_events_forgotten_total counter
		plimsoll_inventory_events_forgotten_total 2
	`), "plimsoll_inventory_events_forgotten_total"); err != nil {
		t.Error(err)
	}
}

func TestEventsOfSeveralNodesComeInTheOrderOfTheirTimes(t *testing.T) {
	v := inventory.New(inventory.Options{})
	v.Event("a", noon.Add(2*time.Second), "oom", "web", "")
	v.Event("b", noon.Add(time.Second), "exited", "db", "") // came later, was earlier
	if got := v.Events(); got[0].Node != "a" || got[1].Node != "b" {
		t.Errorf("got %+v", got)
	}
}

func TestManyMayTellAtATime(t *testing.T) {
	v := inventory.New(inventory.Options{})
	var g sync.WaitGroup
	for i := range 8 {
		g.Go(func() {
			for range 1000 {
				v.NodeSeen(fmt.Sprint(i), "1.0", noon)
				v.Event("a", noon, "exited", "c", "")
				v.Nodes()
			}
		})
	}
	g.Wait()
	if len(v.Nodes()) != 8 || len(v.Events()) != 512 {
		t.Errorf("%d nodes, %d events", len(v.Nodes()), len(v.Events()))
	}
}
