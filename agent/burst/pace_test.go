package burst

import (
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
)

func TestPaceKnowsAJumpFromALoad(t *testing.T) {
	const mib = 1 << 20
	type second struct {
		cpus, throttled float64
		memory          uint64
	}
	tests := map[string]struct {
		seconds []second
		jumps   map[int]Cause // by second
	}{
		"nothing":                          {seconds: []second{{}, {}, {}}},
		"a load from the start":            {seconds: []second{{cpus: 4}, {cpus: 4}, {cpus: 4}}},
		"idle, then busy":                  {seconds: []second{{}, {}, {cpus: 0.5}, {cpus: 0.5}}, jumps: map[int]Cause{2: CPUUsage}},
		"busy, then busier":                {seconds: []second{{cpus: 1}, {cpus: 1}, {cpus: 1.9}}},
		"busy, then twice so":              {seconds: []second{{cpus: 1}, {cpus: 1}, {cpus: 2.1}}, jumps: map[int]Cause{2: CPUUsage}},
		"idle, then a little":              {seconds: []second{{}, {}, {cpus: 0.2}}},
		"busy, then idle":                  {seconds: []second{{cpus: 4}, {cpus: 4}, {}}},
		"a quota that begins to bite":      {seconds: []second{{cpus: 1}, {cpus: 1}, {cpus: 1, throttled: 0.3}, {cpus: 1, throttled: 0.3}}, jumps: map[int]Cause{2: Throttling}},
		"a quota that always bites":        {seconds: []second{{throttled: 1}, {throttled: 1.2}, {throttled: 0.9}}},
		"memory that jumps":                {seconds: []second{{memory: 100 * mib}, {memory: 140 * mib}, {memory: 141 * mib}}, jumps: map[int]Cause{1: MemoryUsage}},
		"much memory that grows a little":  {seconds: []second{{memory: 4000 * mib}, {memory: 4100 * mib}}},
		"little memory that grows by half": {seconds: []second{{memory: 10 * mib}, {memory: 15 * mib}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var p Pace
			var cpu cgroup.CPU
			at := time.Unix(1000, 0)
			read := func(memory uint64) (Cause, bool) {
				return p.Saw(at, cpu.Usage, cpu.Throttled, cgroup.Opt[uint64]{V: memory, OK: true})
			}
			cpu.Usage.OK, cpu.Throttled.OK = true, true
			read(tt.seconds[0].memory)
			for i, s := range tt.seconds {
				at = at.Add(time.Second)
				cpu.Usage.V += cgroup.Nanoseconds(s.cpus * 1e9)
				cpu.Throttled.V += cgroup.Nanoseconds(s.throttled * 1e9)
				want, jumps := tt.jumps[i]
				if why, jumped := read(s.memory); jumped != jumps || why != want {
					t.Errorf("second %d: %s, %t", i, why, jumped)
				}
				if diff := p.CPUs() - s.cpus; diff > 1e-9 || diff < -1e-9 {
					t.Errorf("second %d: %v CPUs, want %v", i, p.CPUs(), s.cpus)
				}
			}
		})
	}
}

func TestWhatIsUnknownIsNoJump(t *testing.T) {
	var p Pace
	at := time.Unix(1000, 0)
	cpu := cgroup.CPU{Usage: cgroup.Opt[cgroup.Nanoseconds]{V: 5e9, OK: true}}
	read := func(after time.Duration) bool {
		at = at.Add(after)
		_, jumped := p.Saw(at, cpu.Usage, cpu.Throttled, cgroup.Opt[uint64]{})
		return jumped
	}
	read(0)
	read(time.Second)
	cpu.Usage.V += 1e9
	if read(time.Microsecond) {
		t.Error("twice in a moment is a jump")
	}
	cpu.Usage.V = 0 // another group under the same name
	if read(time.Second) {
		t.Error("a counter that began anew is a jump")
	}
	cpu.Usage = cgroup.Opt[cgroup.Nanoseconds]{}
	if read(time.Second) || p.CPUs() != 0 {
		t.Error("a reading that failed is a jump")
	}
	cpu.Usage = cgroup.Opt[cgroup.Nanoseconds]{V: 50e9, OK: true}
	if read(time.Second) {
		t.Error("the first reading after one that failed is a jump")
	}
}
