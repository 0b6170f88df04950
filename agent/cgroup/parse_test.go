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
	usual := DeviceIO{Device: Device{254, 0}, ReadBytes: n(1), WriteBytes: n(2), Reads: n(3), Writes: n(4)}
	discards, cost := usual, usual
	discards.DiscardBytes = n(5)
	cost.Cost = IOCost{Usage: known[Nanoseconds](10e3), Wait: known[Nanoseconds](2e3)}
	tests := map[string]struct {
		data string
		want []DeviceIO
		bad  bool
	}{
		"nothing": {},
		"two devices": {
			data: "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n7:1 rbytes=8\n",
			want: []DeviceIO{discards, {Device: Device{7, 1}, ReadBytes: n(8)}},
		},
		"a device without an account whose line does not end": {
			data: "7:7 7:6 254:0 rbytes=1 wbytes=2 rios=3 wios=4\n7:5 \n",
			want: []DeviceIO{usual},
		},
		"cost, and latency between": {
			data: "254:0 rbytes=1 wbytes=2 rios=3 wios=4 cost.vrate=112.50 cost.usage=10 use_delay=1 depth=max cost.wait=2\n",
			want: []DeviceIO{cost},
		},
		"only what is not asked for": {data: "254:0 cost.vrate=100.00\n"},
		"an account of nobody":       {data: "rbytes=1\n", bad: true},
		"not a number":               {data: "254:0 rbytes=x\n", bad: true},
		"not a time":                 {data: "254:0 cost.wait=2.5\n", bad: true},
		"not a device":               {data: "vda rbytes=1\n", bad: true},
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

func TestBlkioOperationsCountTwoKindsAndBytesAll(t *testing.T) {
	n := known[uint64]
	const data = "254:0 Read 1\n254:0 Write 2\n254:0 Sync 3\n254:0 Async 4\n254:0 Discard 5\n254:0 Total 8\n254:0 Flush 9\nTotal 8\n"
	got, ok := parseBlkio(nil, 0, []byte(data), false)
	want := []DeviceIO{{
		Device: Device{254, 0}, ReadBytes: n(1), WriteBytes: n(2),
		SyncBytes: n(3), AsyncBytes: n(4), DiscardBytes: n(5), TotalBytes: n(8),
	}}
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Errorf("parsed %v:\n%s", ok, diff)
	}
	if got, ok = parseBlkio(got, 0, []byte(data), true); !ok {
		t.Fatal("not parsed")
	}
	want[0].Reads, want[0].Writes = n(1), n(2)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSwapThatIsKeptCompressedIsTold(t *testing.T) {
	var m MemoryStat // the lines stand so since 5.19, where zswap is built in
	if !m.parse2([]byte("anon 1\nshmem 0\nzswap 4096\nzswapped 16384\nfile_mapped 0\nzswpin 1\n")) {
		t.Fatal("not parsed")
	}
	if m.ZswapBytes != known[uint64](4096) || m.ZswappedBytes != known[uint64](16384) {
		t.Errorf("got %v for %v, want 4096 for 16384", m.ZswapBytes, m.ZswappedBytes)
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
