package netns

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const headings = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
`

// row is a line of net/dev.
func row(name string, counts ...int) string {
	line := fmt.Sprintf("%6s:", name)
	for i := range columns {
		n := 0
		if i < len(counts) {
			n = counts[i]
		}
		line += fmt.Sprintf("%8d ", n)
	}
	return line + "\n"
}

func names(r *Reading) (names []string) {
	for _, i := range r.Interfaces {
		names = append(names, i.Name)
	}
	return names
}

func TestParseDev(t *testing.T) {
	var got Reading
	data := headings + row("eth0", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16) + "wlan0:18446744073709551615 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0 0 new\n"
	if err := parseDev([]byte(data), &got); err != nil {
		t.Fatal(err)
	}
	want := []Interface{
		{"eth0", [NumCounts]uint64{
			ReceivedBytes: 1, ReceivedPackets: 2, ReceiveErrors: 3, ReceivesDropped: 4,
			SentBytes: 9, SentPackets: 10, SendErrors: 11, SendsDropped: 12,
		}},
		{"wlan0", [NumCounts]uint64{ReceivedBytes: 1<<64 - 1, SentBytes: 1}},
	}
	if !reflect.DeepEqual(got.Interfaces, want) {
		t.Errorf("%+v, want %+v", got.Interfaces, want)
	}
}

func TestInterfacesOfNestedContainersAreNotTheContainers(t *testing.T) {
	data, err := os.ReadFile("testdata/dev")
	if err != nil {
		t.Fatal(err)
	}
	var got Reading
	if err := parseDev(data, &got); err != nil {
		t.Fatal(err)
	}
	// veth0 may be the way out of a pod; veth1a2b3c4 and vethdeadbeef lead to
	// containers inside this one.
	if want := "veth0 eth0 tmp0 tmp1"; strings.Join(names(&got), " ") != want {
		t.Errorf("%q, want %s", names(&got), want)
	}
}

func TestTunnelsOfTheKernelAreToldOfOnceTheyAreUsed(t *testing.T) {
	var got Reading
	for data, want := range map[string][]string{
		row("tunl0") + row("sit0") + row("eth0"):                            {"eth0"},
		row("tunl0", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1) + row("ip6tnl0", 100): {"tunl0", "ip6tnl0"},
	} {
		if err := parseDev([]byte(headings+data), &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(names(&got), want) {
			t.Errorf("%q, want %q", names(&got), want)
		}
	}
}

func TestInterfacesAreBounded(t *testing.T) {
	var data strings.Builder
	for i := range MaxInterfaces + 30 {
		data.WriteString(row(fmt.Sprintf("eth%d", i)))
		data.WriteString(row(fmt.Sprintf("veth%07x", i))) // takes no room
	}
	for name, tt := range map[string]struct {
		data    string
		leftOut int
	}{
		"whole":   {data.String(), 30},
		"cut off": {strings.TrimSuffix(data.String(), row("veth000005d")) + " veth00", 31},
	} {
		var got Reading
		if err := parseDev([]byte(headings+tt.data), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Interfaces) != MaxInterfaces || got.Interfaces[0].Name != "eth0" || got.LeftOut != tt.leftOut {
			t.Errorf("%s: %d interfaces from %s, %d left out, want %d", name, len(got.Interfaces), got.Interfaces[0].Name, got.LeftOut, tt.leftOut)
		}
	}
}

func TestWhatTheKernelDoesNotWriteIsNoReading(t *testing.T) {
	for name, data := range map[string]string{
		"empty":     "",
		"no name":   headings + " : 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
		"too short": headings + "eth0: 1 2 3 4 5 6 7 8 9 10 11\n",
		"negative":  headings + row("eth0", -1),
		"too large": headings + "eth0:18446744073709551616 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0\n",
	} {
		var r Reading
		if err := parseDev([]byte(data), &r); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: error %v, want ErrFormat", name, err)
		}
	}
}

func TestStartIsReadWhateverTheName(t *testing.T) {
	const after = " S 30811 30838 30838 0 -1 4194560 112 0 0 0 0 1 0 0 20 0 1 0 98221 2285568 1 18446744073709551615"
	for name, want := range map[string]bool{"(cat)": true, "(a) b (c))": true, "(x": false, "(\n) 1 2)": true} {
		if n, ok := parseStarted([]byte("30838 " + name + after)); ok != want || ok && n != 98221 {
			t.Errorf("%q: %d, %v", name, n, ok)
		}
	}
	if _, ok := parseStarted([]byte("30838 (cat) S 1 2\n")); ok {
		t.Error("a line that is cut off says when")
	}
}

func TestSocketsOfOldKernelsAreTheMachines(t *testing.T) {
	for release, want := range map[string]bool{
		"3.10.0-1160.el7.x86_64": false, "4.14.336-257.562.amzn2": false, "4.15.0-213-generic": false,
		"4.16.0": true, "4.18.0-553.el8_10": true, "6.1.0-37-amd64": true, "10.0": true, "": false, "unknown": false,
	} {
		if got := countsSockets(release); got != want {
			t.Errorf("%q: %v, want %v", release, got, want)
		}
	}
}

// A copy of /proc serves as well, where files with several links are those of
// one network.
func TestReadsACopyOfProc(t *testing.T) {
	proc := t.TempDir()
	data, err := os.ReadFile("testdata/dev")
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range []string{"self", "100"} {
		if err := os.MkdirAll(filepath.Join(proc, pid, "net"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, pid, "net/dev"), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(proc, "100/stat"), []byte("100 (a) S 1 2 3 0 -1 4 5 6 0 0 0 1 0 0 20 0 1 0 77 8\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := New(proc)
	p := open(t, r, 100)
	if p.Started != 77 || p.PID != 100 || p.Network == 0 {
		t.Errorf("%+v", p)
	}
	var reading Reading
	if err := r.Read(p, &reading); err != nil || len(reading.Interfaces) != 4 || reading.Network != p.Network {
		t.Errorf("%+v, %v", reading, err)
	}
	if node, err := r.Node(); err != nil || node == p.Network || node == 0 {
		t.Errorf("the node's network is %d, %v; without a first process it is the reader's own", node, err)
	}
	if err := os.RemoveAll(filepath.Join(proc, "100")); err != nil {
		t.Fatal(err)
	}
	if err := r.Read(p, &reading); !errors.Is(err, ErrGone) {
		t.Errorf("error %v, want ErrGone", err)
	}
}

func FuzzParseDev(f *testing.F) {
	if data, err := os.ReadFile("testdata/dev"); err == nil {
		f.Add(data)
	}
	f.Add([]byte(headings + row("eth0", 1) + "a:b:1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6\n"))
	f.Add([]byte("\xff\xfe: 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6\nx"))
	var used Reading
	f.Fuzz(func(t *testing.T, data []byte) {
		var fresh Reading
		err := parseDev(data, &used)
		if err2 := parseDev(data, &fresh); (err == nil) != (err2 == nil) || err != nil && !errors.Is(err, ErrFormat) {
			t.Fatalf("%v, in fresh memory %v", err, err2)
		}
		if len(used.Interfaces) > MaxInterfaces || used.LeftOut > bytes.Count(data, []byte("\n"))+1 {
			t.Errorf("%d interfaces, %d left out", len(used.Interfaces), used.LeftOut)
		}
		if len(used.Interfaces) != len(fresh.Interfaces) || used.LeftOut != fresh.LeftOut {
			t.Fatalf("%+v, in fresh memory %+v", used, fresh)
		}
		for i := range fresh.Interfaces {
			if used.Interfaces[i] != fresh.Interfaces[i] {
				t.Errorf("%+v, in fresh memory %+v", used.Interfaces[i], fresh.Interfaces[i])
			}
		}
	})
}

func FuzzParseStarted(f *testing.F) {
	f.Add([]byte("30838 (tini -- (x)) S 30811 30838 30838 0 -1 4194560 112 0 0 0 0 1 0 0 20 0 1 0 98221 2285568 \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, ok := parseStarted(data); !ok && n != 0 {
			t.Errorf("%d is not known and not 0", n)
		}
	})
}

func FuzzParseSockets(f *testing.F) {
	if data, err := os.ReadFile("testdata/sockstat"); err == nil {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := parseSockets(data); err != nil && (n != 0 || !errors.Is(err, ErrFormat)) {
			t.Errorf("%d, %v", n, err)
		}
	})
}
