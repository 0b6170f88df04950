package inventory_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/plimsoll-io/plimsoll/collector/inventory"
)

func TestWhatPlatformsDeclareIsAMetricWhileTheyAnswer(t *testing.T) {
	swarm := &platform{list: []inventory.Declared{
		{Name: "web", Desired: 3, Ready: count(2)}, {Name: "idle"}, {Name: "web", Desired: 9}, {Name: "b\xffd", Desired: 1},
	}}
	registry := prometheus.NewRegistry()
	v := inventory.New(inventory.Options{Declarers: map[string]inventory.Declarer{"swarm": swarm}, Registerer: registry})
	expect := func(text string) {
		t.Helper()
		err := testutil.GatherAndCompare(registry, strings.NewReader(text), "plimsoll_service_replicas_desired", "plimsoll_service_replicas_ready")
		if err != nil {
			t.Error(err)
		}
	}
	expect("")
	if err := v.Declare(t.Context(), "swarm", time.Now()); err != nil {
		t.Fatal(err)
	}
	expect(`
# HELP plimsoll_service_replicas_desired Replicas of a service that its platform was asked for, as the platform says; absent while it does not answer.
# TYPE plimsoll_service_replicas_desired gauge
plimsoll_service_replicas_desired{namespace="",platform="swarm",service="b�d"} 1
plimsoll_service_replicas_desired{namespace="",platform="swarm",service="idle"} 0
plimsoll_service_replicas_desired{namespace="",platform="swarm",service="web"} 3
# HELP plimsoll_service_replicas_ready Replicas of a service that its platform takes for able to serve; absent if it does not say.
# TYPE plimsoll_service_replicas_ready gauge
plimsoll_service_replicas_ready{namespace="",platform="swarm",service="web"} 2
`)
	swarm.err = errors.New("no answer")
	if err := v.Declare(t.Context(), "swarm", time.Now()); err == nil {
		t.Fatal("no error of a platform that does not answer")
	}
	expect("")
}
