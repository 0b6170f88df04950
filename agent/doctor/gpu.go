package doctor

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/gpu"
)

func gpuChecks() []check {
	return []check{
		{"gpu", "nvml", "DCGM_FI_*, plimsoll_container_gpu_*", gpus},
	}
}

// gpus has a child of this program read the GPUs, as an agent does.
func gpus(ctx context.Context, e *exam) Finding {
	if e.opts.GPU == nil {
		return off("--no-gpu")
	}
	cards, signs := e.nvidia()
	if len(signs) == 0 {
		return off("no sign of an NVIDIA GPU: no card in /sys/bus/pci, no driver in /proc, no device in /dev")
	}
	var said testimony
	h, err := gpu.New(gpu.Options{Args: e.opts.GPU, Log: said.logger()})
	if err != nil {
		return missing(err.Error(), remedy{})
	}
	asking, cancel := context.WithTimeout(ctx, e.opts.Limit-500*time.Millisecond)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = h.Run(asking) // that there is none, or that it fails, is in what it says
	}()
	defer func() {
		cancel()
		select {
		case <-ended:
		case <-ctx.Done(): // a child in a driver that hangs ends when that lets go of it
		}
	}()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !h.State().Up && said.all() == "" && asking.Err() == nil {
		<-again.C
	}
	s := h.State()
	switch {
	case s.Up && len(s.Snapshot.Devices) < cards:
		return limited(fmt.Sprintf("%d of %d GPUs can be seen", len(s.Snapshot.Devices), cards), nvidiaRuntime())
	case s.Up:
		return ok(fmt.Sprintf("%d GPUs, driver %s", len(s.Snapshot.Devices), s.Snapshot.Driver))
	case s.Starts == 0:
		return missing(list(signs)+"; "+said.all(), remedy{node: "use a build with GPUs in it: CGO_ENABLED=1, on glibc"})
	case said.all() == "":
		return missing(fmt.Sprintf("%s; the driver does not answer within seconds", list(signs)), remedy{
			node: "keep the driver loaded with nvidia-persistenced; if nvidia-smi hangs too, look for NVRM in dmesg and reboot",
		})
	}
	return missing(list(signs)+"; "+said.all(), nvidiaRuntime())
}

func nvidiaRuntime() remedy {
	return remedy{
		docker: "--gpus all -e NVIDIA_DRIVER_CAPABILITIES=utility",
		kube:   "runtimeClassName: nvidia, env NVIDIA_VISIBLE_DEVICES=all and NVIDIA_DRIVER_CAPABILITIES=utility",
		node:   "install the NVIDIA driver, and for containers nvidia-container-toolkit",
	}
}

// nvidia is how many cards the machine has, and all that tells of any.
func (e *exam) nvidia() (cards int, signs []string) {
	sys := cmp.Or(e.opts.Roots.Sys, "/sys")
	devices, err := filepath.Glob(filepath.Join(sys, "bus/pci/devices/*/vendor"))
	if err != nil {
		devices = nil // a root with a bracket in its name
	}
	for _, file := range devices {
		class := contentOf(filepath.Join(filepath.Dir(file), "class"))
		const display = "0x03"
		if strings.TrimSpace(contentOf(file)) == "0x10de" && strings.HasPrefix(class, display) {
			cards++
		}
	}
	if cards > 0 {
		signs = append(signs, fmt.Sprintf("%d NVIDIA GPUs on the bus", cards))
	}
	for _, file := range []string{filepath.Join(e.proc, "driver/nvidia/version"), "/dev/nvidiactl"} {
		if there(file) {
			signs = append(signs, file)
		}
	}
	if only, set := os.LookupEnv("NVIDIA_VISIBLE_DEVICES"); set && len(signs) > 0 {
		signs = append(signs, fmt.Sprintf("NVIDIA_VISIBLE_DEVICES=%.100s", only))
	}
	return cards, signs
}
