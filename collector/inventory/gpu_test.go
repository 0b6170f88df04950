package inventory_test

import (
	"testing"

	"github.com/plimsoll-io/plimsoll/collector/inventory"
)

func (f *fleet) gpu(node, uuid, index string, usedMiB float64) {
	f.t.Helper()
	l := []string{"node", node, "UUID", uuid, "gpu", index, "modelName", "NVIDIA H100", "job", "dcgm-exporter"}
	f.put(0, "plimsoll_gpu_lost", l...)
	f.put(usedMiB, "DCGM_FI_DEV_FB_USED", l...)
	f.put(81559, "DCGM_FI_DEV_FB_TOTAL", l...)
}

func TestGPUsAreListedWithWhoUsesThem(t *testing.T) {
	f := newFleet(t, inventory.Options{})
	f.seconds(1, "a", "1.0")
	f.gpu("a", "GPU-1", "0", 1024)
	f.put(1<<30, "plimsoll_container_gpu_memory_used_bytes", "node", "a", "UUID", "GPU-1", "gpu", "0", "id", "/docker/train", "name", "train")
	f.put(1<<20, "plimsoll_container_gpu_memory_used_bytes", "node", "a", "UUID", "GPU-1", "gpu", "0") // nobody's
	f.put(0.5, "plimsoll_container_gpu_sm_utilization_ratio", "node", "a", "UUID", "GPU-1", "gpu", "0", "id", "/docker/serve", "name", "serve")
	// One that is split has memory in its instances alone.
	split := []string{"node", "a", "UUID", "GPU-2", "gpu", "10", "modelName", "NVIDIA H100"}
	f.put(0, "plimsoll_gpu_lost", split...)
	f.put(9728, "DCGM_FI_DEV_FB_TOTAL", append(split, "GPU_I_ID", "7", "GPU_I_PROFILE", "1g.10gb")...)
	f.gpu("a", "GPU-3", "2", 0)
	f.refresh()

	list := f.inv.GPUs()
	var order []string
	for _, g := range list {
		order = append(order, g.Index+"/"+g.Instance)
		if g.State != inventory.Running {
			t.Errorf("%+v", g)
		}
	}
	expect(t, order, []string{"0/", "2/", "10/", "10/7"})
	used := float64(1 << 30)
	expect(t, list[0].Users, []inventory.GPUUser{{ID: "/docker/serve", Name: "serve"}, {ID: "/docker/train", Name: "train", Used: &used}})
	if *list[0].Used != used || *list[0].Memory != 81559<<20 || *list[0].Lost || *list[1].Used != 0 {
		t.Errorf("%+v", list[0])
	}
	if list[2].Memory != nil || list[3].Used != nil || *list[3].Memory != 9728<<20 || list[3].Profile != "1g.10gb" {
		t.Errorf("split: %+v, %+v", list[2], list[3])
	}
}

func TestAGPUThatItsNodeDoesNotTellOfAnyMoreHasEndedAndOneOfALostNodeNot(t *testing.T) {
	f := newFleet(t, inventory.Options{})
	f.seconds(1, "a", "1.0")
	f.gpu("a", "GPU-1", "0", 1024)
	f.gpu("b", "GPU-2", "0", 1024)
	f.report("b", "1.0")
	f.inv.NodeSeen("b", "1.0", f.now)
	f.refresh()
	for node, uuid := range map[string]string{"a": "GPU-1", "b": "GPU-2"} {
		f.end("plimsoll_gpu_lost", "node", node, "UUID", uuid, "gpu", "0", "modelName", "NVIDIA H100", "job", "dcgm-exporter")
	}
	f.inv.NodeLost("b", f.now)
	f.seconds(30, "a", "1.0")
	f.refresh()
	got := map[string]inventory.State{}
	for _, g := range f.inv.GPUs() {
		got[g.UUID] = g.State
	}
	expect(t, got, states{"GPU-1": inventory.Ended, "GPU-2": inventory.Stale})
}
