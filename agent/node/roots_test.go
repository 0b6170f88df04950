package node

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// machine is a tree of testdata as roots.
func machine(tree string) Roots {
	root := filepath.Join("testdata", tree)
	return Roots{Proc: filepath.Join(root, "proc"), Sys: filepath.Join(root, "sys"), Root: root}
}

// metal is a copy of that tree with what cannot be committed.
func metal(t *testing.T) Roots {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS("testdata/metal")); err != nil {
		t.Fatal(err)
	}
	udev, err := os.ReadFile(filepath.Join(root, "udev-nvme0n1"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "run/udev/data/b259:0"), string(udev))
	if err := os.Symlink("../../../devices/platform/nct6775.656", filepath.Join(root, "sys/class/hwmon/hwmon1/device")); err != nil {
		t.Fatal(err)
	}
	return Roots{Proc: filepath.Join(root, "proc"), Sys: filepath.Join(root, "sys"), Root: root}
}

func TestProtocolsOfBothVersions(t *testing.T) {
	r := machine("kernel-6.18")
	for file, keys := range map[ProtocolFile][]string{
		SNMP:    {"Tcp_InSegs", "Udp_RcvbufErrors", "Ip_Forwarding", "Icmp_InMsgs"},
		Netstat: {"TcpExt_ListenDrops", "TcpExt_TCPSynRetrans", "IpExt_InOctets"},
		SNMP6:   {"Ip6_InOctets", "Icmp6_OutMsgs", "UdpLite6_InErrors"},
	} {
		got, err := r.Protocols(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			if _, known := got[key]; !known {
				t.Errorf("%s does not know %s", file, key)
			}
		}
	}
	got, err := r.Protocols(SNMP)
	if err != nil || got["Tcp_MaxConn"] != -1 {
		t.Errorf("Tcp_MaxConn %v, %v; want -1, which is no limit", got["Tcp_MaxConn"], err)
	}
}

func TestSocketsAreCountedByProtocol(t *testing.T) {
	got, err := machine("kernel-6.18").Sockets()
	if err != nil {
		t.Fatal(err)
	}
	if page := float64(os.Getpagesize()); got["TCP_mem"] == 0 || got["TCP_mem_bytes"] != got["TCP_mem"]*page {
		t.Errorf("TCP_mem %v pages, %v bytes", got["TCP_mem"], got["TCP_mem_bytes"])
	}
	if _, known := got["UDP_tw"]; known {
		t.Error("UDP sockets linger, which no kernel says")
	}
	if six, err := machine("kernel-6.18").Sockets6(); err != nil || len(six) == 0 {
		t.Errorf("of version 6: %v, %v", six, err)
	}
	if _, err := machine("kernel-2.6.18").Sockets6(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want ErrNotExist", err)
	}
}

func TestSoftnetColumnsThatAKernelLacksAreUnknown(t *testing.T) {
	old, err := machine("metal").Softnet()
	if err != nil {
		t.Fatal(err)
	}
	want := Softnet{CPU: 1, Processed: known(0x01663fb2), Dropped: known(0), Squeezed: known(0x109a4)}
	if diff := cmp.Diff(want, old[1]); diff != "" {
		t.Error(diff)
	}
	now, err := machine("kernel-6.18").Softnet()
	if err != nil || len(now) != 2 || !now[0].FlowLimit.Known || now[1].CPU != 1 {
		t.Errorf("got %+v, %v", now, err)
	}
}

func TestUDPQueuesAreSummedUp(t *testing.T) {
	got, err := machine("metal").UDPQueues()
	if want := (UDPQueues{Transmit4: known(0x16), Receive4: known(2)}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v and no IPv6", got, err, want)
	}
}

func TestNeighboursWithHardwareAddressesOfEveryLength(t *testing.T) {
	got, err := machine("metal").Neighbours()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Neighbours{{"eth0", 2}, {"ib0", 1}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestPacketsThatNobodyWantedAreUnknownToOldKernels(t *testing.T) {
	got, err := machine("kernel-6.18").NoHandlers()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]NoHandler{{"eth0", known(0)}, {"ifb0", Number{}}, {"lo", known(0)}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestLimitsOfTheKernel(t *testing.T) {
	r := machine("kernel-6.18")
	if got, err := r.Files(); err != nil || got.Allocated.Value == 0 || got.Maximum.Value < 1000 {
		t.Errorf("files %+v, %v", got, err)
	}
	if got, err := r.Entropy(); err != nil || got.Available != known(256) || got.PoolSize != known(256) {
		t.Errorf("entropy %+v, %v", got, err)
	}
	if got, err := machine("metal").Conntrack(); err != nil || got.Entries != known(123) || got.Limit != known(65536) {
		t.Errorf("conntrack %+v, %v", got, err)
	}
}

func TestConnectionsOfAnotherNetworkNamespaceAreNotTheMachines(t *testing.T) {
	proc := t.TempDir()
	write(t, filepath.Join(proc, "sys/net/netfilter/nf_conntrack_count"), "1\n")
	if err := os.MkdirAll(filepath.Join(proc, "1/ns"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("net:[1]", filepath.Join(proc, "1/ns/net")); err != nil {
		t.Fatal(err)
	}
	if _, err := (Roots{Proc: proc}).Conntrack(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want ErrNotExist", err)
	}
}

func TestSchedulesOfEachCPU(t *testing.T) {
	got, err := machine("metal").Schedules()
	if err != nil {
		t.Fatal(err)
	}
	want := []Schedule{
		{"0", 2045936778163039, 343796328169361, 4767485306},
		{"1", 1904686152592476, 364107263788241, 5145567945},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAFrequencyThatTheDriverDoesNotKnowIsUnknown(t *testing.T) {
	got, err := machine("metal").Frequencies()
	if err != nil {
		t.Fatal(err)
	}
	want := []Frequency{{0, known(1219917), known(800000), known(2400000)}, {1, Number{}, known(800000), known(2400000)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := machine("kernel-6.18").Frequencies(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want ErrNotExist", err)
	}
}

func TestSensorsThatDoNotAnswerAreLeftOut(t *testing.T) {
	got, err := metal(t).Chips()
	if err != nil {
		t.Fatal(err)
	}
	want := []Chip{
		{ID: "coretemp", Name: "coretemp", Sensors: []Sensor{
			{Name: "temp1", Label: "Package id 0", Values: []SensorValue{{TempCrit, 100}, {TempInput, 55}, {TempMax, 84}}},
			{Name: "temp2", Values: []SensorValue{{TempInput, 54}}},
		}},
		{ID: "platform_nct6775_656", Name: "nct6779", Sensors: []Sensor{
			{Name: "fan1", Values: []SensorValue{{FanInput, 1098}, {FanMin, 0}}},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDisksAreWhatUdevSays(t *testing.T) {
	got, err := metal(t).BlockDevices()
	if err != nil {
		t.Fatal(err)
	}
	want := []BlockDevice{
		{Name: "cciss/c0d0", Major: "104", Minor: "0"},
		{Name: "loop0", Major: "7", Minor: "0"},
		{
			Name: "nvme0n1", Major: "259", Minor: "0", Model: "SAMSUNG MZVL21T0HCLR", Path: "pci-0000:02:00.0-nvme-1",
			Revision: "GXA7801Q", Serial: "S641NF0R123456", WWN: "eui.0025385b21404321", Rotational: "0",
		},
		{Name: "sda", Major: "8", Minor: "0", Rotational: "1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestProcessesByState(t *testing.T) {
	got, err := machine("metal").Processes()
	if err != nil {
		t.Fatal(err)
	}
	if got.Processes != known(2) || got.Threads != known(9) || got.MaxProcesses != known(4194304) || got.MaxThreads != known(513832) {
		t.Errorf("got %+v", got)
	}
	for i, letter := range ProcessStates {
		want := known(uint64(strings.Count("SR", string(letter))))
		if got.States[i] != want {
			t.Errorf("state %c: %v, want %v", letter, got.States[i], want)
		}
	}
}

func TestOSRelease(t *testing.T) {
	got, err := machine("metal").OSRelease()
	if err != nil || got["ID"] != "debian" || got["PRETTY_NAME"] != "Debian GNU/Linux 12 (bookworm)" {
		t.Errorf("got %v, %v", got, err)
	}
	odd := parseOSRelease([]byte("# ID=no\nID='a b'\nNAME=\"x\\\"y\\$\"\nVERSION=\nnonsense\nA=\"\n"))
	want := map[string]string{"ID": "a b", "NAME": `x"y$`, "VERSION": "", "A": `"`}
	if diff := cmp.Diff(want, odd); diff != "" {
		t.Error(diff)
	}
}

func TestTimexIsInSecondsWhateverItsUnit(t *testing.T) {
	raw := syscall.Timex{Offset: 1500, Status: staNano | 1, Maxerror: 16, Tick: 10000, Freq: 65536, Tai: 37, Jitter: 3}
	got := timexOf(timeError, &raw)
	if got.Synchronized || got.Offset != 1.5e-6 || got.MaxError != 16e-6 || got.Tick != 0.01 || got.FrequencyRatio != 1+1e-6 || got.TAIOffset != 37 {
		t.Errorf("got %+v", got)
	}
	raw.Status = 0
	if got := timexOf(0, &raw); !got.Synchronized || got.Offset != 1.5e-3 {
		t.Errorf("in µs: got %+v", got)
	}
}

func TestMounts(t *testing.T) {
	r := machine("metal")
	got, err := r.Mounts()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 10 {
		t.Fatalf("%d mounts, want 10: of two on one directory the latter hides the former", len(got))
	}
	by := make(map[string]Mount)
	for _, m := range got {
		by[m.MountPoint] = m
	}
	cold := Mount{
		ID: "41", Device: "/dev/sda1", DeviceID: "8:1", MountPoint: "/srv/cold data", Path: "testdata/metal/srv/cold data",
		FSType: "xfs", ReadOnly: true,
	}
	if diff := cmp.Diff(cold, by["/srv/cold data"]); diff != "" {
		t.Error(diff)
	}
	if m := by["/mnt/nfs"]; m.Device != "files2.example:/export" || m.ReadOnly {
		t.Errorf("got %+v", m)
	}
	if by["/"].ReadOnly {
		t.Error("errors=remount-ro is no ro")
	}
}

func TestMountsOfAContainerAreItsOwnUnlessTheMachinesTreeIsGiven(t *testing.T) {
	proc := t.TempDir()
	write(t, filepath.Join(proc, "1/mountinfo"), "1 0 259:2 / / rw - ext4 /dev/nvme0n1p2 rw\n")
	write(t, filepath.Join(proc, "self/mountinfo"),
		"9 0 0:99 / / rw - overlay overlay rw\n10 9 259:2 / /host rw - ext4 /dev/nvme0n1p2 rw\n11 10 8:1 / /host/srv rw - xfs /dev/sda1 rw\n12 9 0:7 / /hostile rw - tmpfs tmpfs rw\n")

	points := func(root string) (all []string) {
		t.Helper()
		mounts, err := Roots{Proc: proc, Root: root}.Mounts()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mounts {
			all = append(all, m.MountPoint+" at "+m.Path)
		}
		return all
	}
	if diff := cmp.Diff([]string{"/ at /", "/host at /host", "/host/srv at /host/srv", "/hostile at /hostile"}, points("/")); diff != "" {
		t.Errorf("without the machine's tree: %s", diff)
	}
	if diff := cmp.Diff([]string{"/ at /host"}, points("/host")); diff != "" {
		t.Errorf("with it: %s", diff)
	}
	if err := os.Remove(filepath.Join(proc, "1/mountinfo")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/ at /host", "/srv at /host/srv"}, points("/host")); diff != "" {
		t.Errorf("with it, and the first process hidden: %s", diff)
	}
}

func TestStatfsOfThisMachine(t *testing.T) {
	got, err := Statfs(t.TempDir())
	if err != nil || got.SizeBytes == 0 || got.AvailBytes > got.FreeBytes || got.FreeBytes > got.SizeBytes {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := Statfs("/nowhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want ErrNotExist", err)
	}
}

func TestWhatRootsCannotUnderstandIsAnError(t *testing.T) {
	netstat := func(b string) error { return parseNetstat([]byte(b), map[string]float64{}) }
	snmp6 := func(b string) error { return parseSNMP6([]byte(b), map[string]float64{}) }
	arp := func(b string) error { _, err := parseARP([]byte(b)); return err }
	files := func(b string) error { _, err := parseFileNr([]byte(b)); return err }
	mounts := func(b string) error { _, err := parseMountinfo([]byte(b)); return err }
	tests := map[string]struct {
		parse func(string) error
		input string
	}{
		"names without values":         {netstat, "Tcp: InSegs\n"},
		"values of another protocol":   {netstat, "Tcp: InSegs\nUdp: 1\n"},
		"more names than values":       {netstat, "Tcp: InSegs OutSegs\nTcp: 1\n"},
		"a word for a value":           {netstat, "Tcp: InSegs\nTcp: one\n"},
		"values cut off":               {netstat, "Tcp: InSegs\nTcp: 1"},
		"a name of version 6 alone":    {snmp6, "Ip6InReceives\n"},
		"a value above 64 bits":        {snmp6, "Ip6InReceives 99999999999999999999\n"},
		"an ARP line with two columns": {arp, "IP address\n192.0.2.1 eth0\n"},
		"ARP cut off":                  {arp, "IP address\n192.0.2.1"},
		"files with one number":        {files, "12\n"},
		"files without an end":         {files, "12 0 100"},
		"a mount without a dash":       {mounts, "36 35 98:0 / /mnt rw ext3 /dev/root rw\n"},
		"a mount without a device":     {mounts, "36 35 98:0 / /mnt rw - ext3\n"},
		"a mount at a relative path":   {mounts, "36 35 98:0 / mnt rw - ext3 /dev/root rw\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := tt.parse(tt.input); !errors.Is(err, ErrFormat) {
				t.Errorf("error %v, want ErrFormat", err)
			}
		})
	}
}

func TestEveryColdFileOfThisMachineIsUnderstood(t *testing.T) {
	var r Roots
	var errs []error
	look := func(err error) { errs = append(errs, err) }
	for _, file := range []ProtocolFile{SNMP, Netstat, SNMP6} {
		_, err := r.Protocols(file)
		look(err)
	}
	for _, err := range []error{
		second(r.Sockets()), second(r.Sockets6()), second(r.Softnet()), second(r.Neighbours()), second(r.UDPQueues()),
		second(r.Conntrack()), second(r.Files()), second(r.Entropy()), second(r.Schedules()), second(r.Frequencies()),
		second(r.Chips()), second(r.NoHandlers()), second(r.BlockDevices()), second(r.OSRelease()), second(r.Processes()), second(r.Mounts()), second(ReadTimex()),
	} {
		look(err)
	}
	for _, err := range errs {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
