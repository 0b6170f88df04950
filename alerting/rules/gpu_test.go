package rules_test

import (
	"strings"
	"testing"
	"time"
)

// gpu is a series of a GPU as the agent labels it.
func gpu(name, values string) string {
	return name + `{gpu="0", UUID="GPU-aa", device="nvidia0", modelName="NVIDIA H100", hostname="n1", node="n1", instance="n1:9100", job="dcgm-exporter"} ` + values
}

func TestGPURules(t *testing.T) {
	const (
		hot       = "GPUHot warning: GPU 0 on n1 is at 85 °C"
		hotter    = "GPUHot critical: GPU 0 on n1 is at 93 °C; GPUHot warning: GPU 0 on n1 is at 93 °C"
		throttled = "GPUThermalThrottle warning: GPU 0 on n1 was slowed down by heat for 10% of the last 5 minutes"
		lost      = "GPULost critical: GPU 0 on n1 does not answer any more"
		missing   = "GPUMissing critical: GPU 0 (GPU-aa) is no longer among those of n1"
		unmapped  = "GPURowRemapFailed critical: GPU 0 on n1 has a broken row of memory and none left to replace it"
		full      = "GPUMemoryNearFull warning: The memory of GPU 0 on n1 is 99% full"
		fullPart  = "GPUMemoryNearFull warning: The memory of GPU 0, instance 2, on n1 is 99% full"
		idle      = "GPUIdleButHeld info: Container train holds 8GiB of GPU 0 on n1, which has been idle for an hour"
		deaf      = "GPUHelperDown warning: The agent of n1 gets no answer about its GPUs"
		fell      = "GPUXidFatal critical: The driver reported XID 79 on GPU 0 of n1 1 time(s) within 5 minutes"
		fellTwice = "GPUXidFatal critical: The driver reported XID 79 on GPU 0 of n1 2 time(s) within 5 minutes"
		mistake   = "GPUXidError warning: The driver reported XID 13 on GPU 0 of n1 1 time(s) within 5 minutes"
		broken    = "GPUECCUncorrectable critical: GPU 0 on n1 had 1 memory error(s) within an hour that could not be corrected"
		replays   = `GPUPCIeReplays warning: 150 transfers to and from GPU 0 on n1 were repeated within 15 minutes`
	)
	xid := func(code, values string) string {
		return `plimsoll_gpu_xid_errors_total{gpu="0", UUID="GPU-aa", device="nvidia0", modelName="NVIDIA H100", hostname="n1", node="n1", instance="n1:9100", job="dcgm-exporter", xid="` + code + `"} ` + values
	}
	helper := func(values string) string {
		return `plimsoll_gpu_helper_up{job="plimsoll-agent", node="n1", instance="n1:9100"} ` + values
	}
	minute := func(n float64) time.Duration { return time.Duration(n * float64(time.Minute)) }

	// Four values are a minute.
	tellEvery(t, 15*time.Second, map[string]story{
		"a GPU that is hot for two minutes warns, and calms down a minute after it is cool": {
			[]string{gpu("DCGM_FI_DEV_GPU_TEMP", "60x3 85x12 70x20")},
			[]moment{{minute(2.75), ""}, {minute(3), hot}, {minute(5), hot}, {minute(5.25), ""}},
		},
		"a GPU that is about to switch itself off is critical after 15 s": {
			[]string{gpu("DCGM_FI_DEV_GPU_TEMP", "60x3 85x11 93x10")},
			[]moment{{minute(4), "GPUHot warning: GPU 0 on n1 is at 93 °C"}, {minute(4.25), hotter}},
		},
		"a GPU that is warm is at work": {
			[]string{gpu("DCGM_FI_DEV_GPU_TEMP", "80x40")},
			[]moment{{minute(10), ""}},
		},
		"a GPU that is slowed down by heat is told though it is not hot": {
			// A tenth of each 15 s, in ns.
			[]string{gpu("DCGM_FI_DEV_THERMAL_VIOLATION", "0x20 0+1500000000x40")},
			[]moment{{minute(5), ""}, {minute(11), throttled}},
		},
		"a GPU that was once slowed down is not told for ever": {
			[]string{gpu("DCGM_FI_DEV_THERMAL_VIOLATION", "0x20 0+1500000000x20 30000000000x60")},
			[]moment{{minute(10.25), throttled}, {minute(16), ""}},
		},
		"a driver that is loaded anew counts from 0": {
			[]string{gpu("DCGM_FI_DEV_THERMAL_VIOLATION", "9e12x30 0x30"), gpu("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "9000x30 0x30"), gpu("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "3x30 0x30")},
			[]moment{{minute(7.75), ""}, {minute(14), ""}},
		},
		"a GPU that fell off the bus is told after 15 s": {
			[]string{gpu("plimsoll_gpu_lost", "0x4 1x10 0x10"), helper("1x40")},
			[]moment{{minute(1), ""}, {minute(1.25), ""}, {minute(1.5), lost}, {minute(4), ""}},
		},
		"a GPU that the driver no longer lists is missed": {
			[]string{gpu("plimsoll_gpu_lost", "0x80 stale"), helper("1x200")},
			[]moment{{minute(20), ""}, {minute(22), missing}, {minute(30), missing}},
		},
		"a node whose GPUs are not read misses none": {
			[]string{gpu("plimsoll_gpu_lost", "0x80 stale"), helper("1x80 0x200")},
			[]moment{{minute(20), ""}, {minute(21), ""}, {minute(23), deaf}},
		},
		"a node that is gone with its GPUs misses none": {
			[]string{gpu("plimsoll_gpu_lost", "0x80 stale"), helper("1x80 stale")},
			[]moment{{minute(22), ""}, {minute(30), ""}},
		},
		"a row of memory without a spare one is told at once": {
			[]string{gpu("DCGM_FI_DEV_ROW_REMAP_FAILURE", "0x4 1x10")},
			[]moment{{minute(1), ""}, {minute(1.25), unmapped}},
		},
		"memory that is full for five minutes warns": {
			[]string{gpu("DCGM_FI_DEV_FB_USED", "99x40"), gpu("DCGM_FI_DEV_FB_FREE", "1x40")},
			[]moment{{minute(4.75), ""}, {minute(5), full}},
		},
		"a part of a GPU is full by itself": {
			[]string{
				`DCGM_FI_DEV_FB_USED{gpu="0", UUID="GPU-aa", node="n1", GPU_I_ID="1"} 10x40`, `DCGM_FI_DEV_FB_FREE{gpu="0", UUID="GPU-aa", node="n1", GPU_I_ID="1"} 90x40`,
				`DCGM_FI_DEV_FB_USED{gpu="0", UUID="GPU-aa", node="n1", GPU_I_ID="2"} 99x40`, `DCGM_FI_DEV_FB_FREE{gpu="0", UUID="GPU-aa", node="n1", GPU_I_ID="2"} 1x40`,
			},
			[]moment{{minute(5), fullPart}},
		},
		"a server of models that took 95% at its start is well": {
			[]string{gpu("DCGM_FI_DEV_FB_USED", "95x40"), gpu("DCGM_FI_DEV_FB_FREE", "5x40")},
			[]moment{{minute(10), ""}},
		},
		"a driver that does not answer is told after a minute": {
			[]string{helper("1x4 0x20 1x20")},
			[]moment{{minute(2), ""}, {minute(2.25), deaf}, {minute(6.5), ""}},
		},
		"the first error of a code is told, and for five minutes": {
			[]string{xid("79", "_x4 0 1x60")},
			[]moment{{minute(1), ""}, {minute(1.25), fell}, {minute(6), fell}, {minute(6.25), ""}},
		},
		"the first error of a code is told though its counter is born at 1": {
			[]string{xid("79", "_x4 1x60")},
			[]moment{{minute(1), fell}, {minute(5.75), fell}, {minute(6.25), ""}},
		},
		"the same error again, later, is told again": {
			[]string{xid("79", "0x20 1x40 2x40")},
			[]moment{{minute(5), ""}, {minute(5.25), fell}, {minute(10.5), ""}, {minute(15.25), ""}, {minute(15.5), fell}, {minute(20.5), ""}},
		},
		"the same error at once again is told with its number": {
			[]string{xid("79", "0x20 1x4 2x40")},
			[]moment{{minute(5.25), fell}, {minute(6.5), fellTwice}, {minute(12), ""}},
		},
		"an error that was long there when the agent began to be heard again is no news": {
			[]string{xid("79", "0x20 1x40 _x60 1x40")},
			[]moment{{minute(15), ""}, {minute(30.5), ""}, {minute(32), ""}},
		},
		"an error after a restart of the agent is told though the counter is lower": {
			[]string{xid("79", "0x20 3x40 stale _x3 0 1x40")},
			[]moment{{minute(15), ""}, {minute(16.5), ""}, {minute(16.75), fell}},
		},
		"an error of a program is no emergency": {
			[]string{xid("13", "0x20 1x40")},
			[]moment{{minute(5.25), mistake}, {minute(11), ""}},
		},
		"an error of memory that cannot be corrected is told for an hour": {
			[]string{gpu("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "0x20 1x400")},
			[]moment{{minute(5), ""}, {minute(5.25), broken}, {minute(65), broken}, {minute(66), ""}},
		},
		"rows that were replaced long ago are no news, and one more is": {
			[]string{gpu("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "4x280 5x40")},
			[]moment{{minute(1), ""}, {minute(70), ""}, {minute(70.5), broken}},
		},
		"transfers that are repeated now and then are no news": {
			[]string{gpu("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "7000x80 7000+1x60")},
			[]moment{{minute(20), ""}, {minute(34), ""}},
		},
		"transfers that are repeated all the time are told": {
			[]string{gpu("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "7000x80 7000+2.5x60 7150x100")},
			[]moment{{minute(20), ""}, {minute(35.25), replays}, {minute(51), ""}},
		},
	})

	held := func(values string) string {
		return `plimsoll_container_gpu_memory_used_bytes{gpu="0", UUID="GPU-aa", id="/docker/aa", name="train", image="torch", node="n1", job="plimsoll-agent"} ` + values
	}
	heldBy := func(id, values string) string {
		return strings.Replace(app(id, "plimsoll_container_gpu_memory_used_bytes", values), "{", `{gpu="0", UUID="GPU-aa", `, 1)
	}
	tellEvery(t, time.Minute, map[string]story{
		"memory of a GPU with which nobody computes is told after an hour": {
			[]string{held("8589934592x90"), gpu("DCGM_FI_DEV_GPU_UTIL", "0x90")},
			[]moment{{minute(59), ""}, {minute(60), idle}},
		},
		"a container of a pod that is replaced within the hour is still the same": {
			[]string{
				gpu("DCGM_FI_DEV_GPU_UTIL", "0x90"), heldBy("aa", "8589934592x30"), heldBy("bb", "_x20 8589934592x70"),
			},
			[]moment{{minute(59), ""}, {minute(60), "GPUIdleButHeld info: Container app of pod web-0 holds 8GiB of GPU 0 on n1, which has been idle for an hour"}},
		},
		"who computes now and then is not idle": {
			[]string{held("8589934592x90"), gpu("DCGM_FI_DEV_GPU_UTIL", "0x40 30x1 0x50")},
			[]moment{{minute(60), ""}, {minute(90), ""}},
		},
		"a GPU that nobody holds may be idle": {
			[]string{held("0x90"), gpu("DCGM_FI_DEV_GPU_UTIL", "0x90")},
			[]moment{{minute(90), ""}},
		},
	})
}
