package cgroup

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIOStat(t *testing.T) {
	n := known[uint64]
	tests := map[string]struct {
		data string
		want []DeviceIO
		bad  bool
	}{
		"nothing": {},
		"two devices": {
			data: "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n7:1 rbytes=8 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n",
			want: []DeviceIO{{Device{254, 0}, n(1), n(2), n(3), n(4)}, {Device{7, 1}, n(8), n(0), n(1), n(0)}},
		},
		"a device without an account whose line does not end": {
			data: "7:7 7:6 254:0 rbytes=1 wbytes=2 rios=3 wios=4\n7:5 \n",
			want: []DeviceIO{{Device{254, 0}, n(1), n(2), n(3), n(4)}},
		},
		"cost and latency between": {
			data: "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0 cost.usage=10 cost.wait=2.5 use_delay=1 depth=max\n",
			want: []DeviceIO{{Device{254, 0}, n(1), n(2), n(3), n(4)}},
		},
		"an account of nobody": {data: "rbytes=1\n", bad: true},
		"not a number":         {data: "254:0 rbytes=x\n", bad: true},
		"not a device":         {data: "vda rbytes=1\n", bad: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := parseIOStat(nil, []byte(tt.data))
			if ok == tt.bad {
				t.Fatalf("parsed: %v", ok)
			}
			if diff := cmp.Diff(tt.want, got); !tt.bad && diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestKernelMemoryBefore5_18IsTheSumOfItsParts(t *testing.T) {
	var m MemoryStat
	if !m.parse2([]byte("anon 1\nkernel_stack 16384\npercpu 0\nsock 8\nslab_reclaimable 5\nslab_unreclaimable 6\nslab 11\n")) {
		t.Fatal("not parsed")
	}
	if m.KernelBytes != known[uint64](16395) {
		t.Errorf("kernel memory %v, want 16395", m.KernelBytes)
	}
}

func TestStallWithoutFull(t *testing.T) { // cpu.pressure before 5.13
	var s Stall
	if !s.parse([]byte("some avg10=0.00 avg60=0.00 avg300=0.00 total=12\n")) {
		t.Fatal("not parsed")
	}
	if s.Some != known[Nanoseconds](12e3) || s.Full.OK {
		t.Errorf("got %v, want 12 µs and nothing", s)
	}
}

func TestNumbersThatDoNotFitAreRefused(t *testing.T) {
	for digits, want := range map[string]Opt[uint64]{
		"0":                    known[uint64](0),
		"18446744073709551615": known[uint64](math.MaxUint64),
		"18446744073709551616": {},
		"99999999999999999999": {},
		"":                     {},
		"-1":                   {},
		"1 ":                   {},
		"0x1":                  {},
	} {
		if n, ok := parseUint([]byte(digits)); ok != want.OK || ok && n != want.V {
			t.Errorf("%q: %d, %v; want %v", digits, n, ok, want)
		}
	}
	if _, ok := parseTime([]byte("18446744073709552"), microsecond); ok {
		t.Error("584 years in microseconds were taken for nanoseconds that fit")
	}
}

func TestFileThatMakesNoSenseIsAnErrorThatNamesIt(t *testing.T) {
	root := extract(t, "v2")
	group := fixtures["v2"].busy
	write(t, root, map[string]string{group + "/pids.current": "many\n"})
	g := open(t, newFS(t, Options{Root: root}), group)
	pids, err := g.PIDs()
	if !errors.Is(err, errFormat) || !strings.Contains(err.Error(), "pids.current") || !strings.Contains(err.Error(), busyID) {
		t.Errorf("error %v, want one that names file and group", err)
	}
	if pids.Current.OK || pids.Limit != known[Limit](100) {
		t.Errorf("read %v, want the limit alone", pids)
	}
}
