package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// berth is a file system that answers.
func berth(string) (node.Space, error) {
	return node.Space{SizeBytes: 1000, FreeBytes: 500, AvailBytes: 400, Files: 50, FilesFree: 20}, nil
}

func steadyClock() (node.Timex, error) {
	return node.Timex{Synchronized: true, Offset: 0.0015, MaxError: 0.016, Tick: 0.01, FrequencyRatio: 1.0000015, TAIOffset: 37}, nil
}

// metal is a copy of that tree of node/testdata with what cannot be committed.
func metal(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS("node/testdata/metal")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "run/udev/data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(root, "udev-nvme0n1"), filepath.Join(root, "run/udev/data/b259:0")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../../devices/platform/nct6775.656", filepath.Join(root, "sys/class/hwmon/hwmon1/device")); err != nil {
		t.Fatal(err)
	}
	return root
}

func hostOptions(root string) HostOptions {
	return HostOptions{
		Roots: node.Roots{Proc: filepath.Join(root, "proc"), Sys: filepath.Join(root, "sys"), Root: root},
		Lanes: everyLane, Processes: true, Version: "0.1.0",
	}
}

// TestGoldenHost has the second tick's batch: what the first sent for has come.
func TestGoldenHost(t *testing.T) {
	for tree, file := range map[string]string{"metal": "golden_host_metal.prom", "kernel-6.18": "golden_host.prom"} {
		t.Run(tree, func(t *testing.T) {
			root := "node/testdata/kernel-6.18"
			if tree == "metal" {
				root = metal(t)
			}
			synctest.Test(t, func(t *testing.T) {
				opts := hostOptions(root)
				if tree != "metal" {
					opts.Processes = false // its processes are not in the fixture
				}
				s := newHostSource(opts, berth, steadyClock)
				defer s.Close()
				read(t, s, 0)
				synctest.Wait()
				got := strings.ReplaceAll(exposition(read(t, s, 4)), strconv.Quote(runtime.Version()), `"go"`)
				golden(t, file, got)
			})
		})
	}
}

func TestAHungFileSystemCostsItsOwnSeriesAndNoTime(t *testing.T) {
	root := metal(t)
	synctest.Test(t, func(t *testing.T) {
		hung := filepath.Join(root, "mnt/nfs")
		server := make(chan struct{}) // closed when it is up again
		asked := 0
		s := newHostSource(hostOptions(root), func(path string) (node.Space, error) {
			if path == hung {
				asked++
				<-server
			}
			return berth(path)
		}, steadyClock)
		defer s.Close()

		const sound, dead = `{device="/dev/nvme0n1p2",fstype="ext4",job="node-exporter",mountpoint="/"}`,
			`{device="files2.example:/export",fstype="nfs4",job="node-exporter",mountpoint="/mnt/nfs"}`
		var b sample.Batch
		second := func(tick uint64) (map[string]string, error) {
			began := time.Now()
			b.Reset(tick, noon.Add(time.Duration(tick)*time.Second))
			err := s.Collect(t.Context(), &b)
			if took := time.Since(began); took != 0 {
				t.Errorf("tick %d waited for %s", tick, took)
			}
			<-time.After(time.Second) // of virtual time
			synctest.Wait()
			return values(&b), err
		}

		said := 0
		for tick := range uint64(130) {
			got, err := second(tick)
			if errors.Is(err, errNoAnswer) {
				said++
				if !strings.Contains(err.Error(), "/mnt/nfs") {
					t.Errorf("tick %d: %v", tick, err)
				}
			}
			if _, there := got["node_filesystem_device_error"+dead]; !there {
				continue
			}
			if got["node_filesystem_device_error"+dead] != "1" || got["node_filesystem_size_bytes"+dead] != "" {
				t.Errorf("tick %d: the hung one has %v", tick, got)
			}
			if got["node_filesystem_device_error"+sound] != "0" || got["node_filesystem_size_bytes"+sound] != "1000" {
				t.Errorf("tick %d: its neighbour has %v", tick, got)
			}
		}
		if asked != 1 || said < 2 {
			t.Errorf("asked %d times, told of %d times; want one goroutine, and more than one word of it", asked, said)
		}

		close(server)
		synctest.Wait()
		for tick := range uint64(12) {
			got, _ := second(130 + tick)
			if got["node_filesystem_size_bytes"+dead] == "1000" && got["node_filesystem_device_error"+dead] == "0" {
				return
			}
		}
		t.Error("a file system that is back has no values")
	})
}

func TestFileSystemsAreReadInTheFourthLaneAndTheirAgeIsTold(t *testing.T) {
	root := metal(t)
	synctest.Test(t, func(t *testing.T) {
		opts := hostOptions(root)
		opts.Lanes = Lanes{First: 1, Second: 5, Third: 15}
		s := newHostSource(opts, berth, steadyClock)
		defer s.Close()
		ages := map[uint64]string{15: "15", 30: "30", 45: "45", 60: "60", 75: "15"}
		for tick := range uint64(76) {
			got := values(read(t, s, tick))
			size := got[`node_filesystem_size_bytes{device="/dev/nvme0n1p2",fstype="ext4",job="node-exporter",mountpoint="/"}`]
			if (size != "") != (tick%60 == 1) {
				t.Errorf("tick %d: size %q", tick, size)
			}
			if age := got[`plimsoll_agent_filesystem_age_seconds{job="plimsoll-agent"}`]; age != ages[tick] {
				t.Errorf("tick %d: age %q, want %q", tick, age, ages[tick])
			}
			<-time.After(time.Second) // of virtual time
			synctest.Wait()
		}
	})
}

func TestGroupsOfTheHostSayTheirLane(t *testing.T) {
	root := metal(t)
	synctest.Test(t, func(t *testing.T) {
		opts := hostOptions(root)
		opts.Lanes.Third = 15
		s := newHostSource(opts, berth, steadyClock)
		defer s.Close()
		lanes := map[string]uint64{"node_filesystem_size_bytes": 60, "node_os_info": 60, "node_arp_entries": 15, "node_hwmon_temp_celsius": 15}
		for tick := range uint64(2) {
			for _, c := range read(t, s, tick).Columns {
				name := c.Group.Series[0].Metric.Name
				if want, asked := lanes[name]; c.Group.Every == 0 || asked && c.Group.Every != want {
					t.Errorf("%s every %d ticks, want %d", name, c.Group.Every, want)
				}
				delete(lanes, name)
			}
			synctest.Wait()
		}
		if len(lanes) != 0 {
			t.Errorf("not seen: %v", lanes)
		}
	})
}

func TestAMountThatLeavesEndsAlone(t *testing.T) {
	root := metal(t)
	synctest.Test(t, func(t *testing.T) {
		opts := hostOptions(root)
		opts.Lanes.Third = 2 // file systems at each eighth tick
		s := newHostSource(opts, berth, steadyClock)
		defer s.Close()
		var ended []string
		for tick := range uint64(20) {
			if tick == 5 {
				rewrite(t, filepath.Join(root, "proc/1/mountinfo"), func(all string) string {
					return strings.ReplaceAll(all, "/srv/cold", "/srv/warm")
				})
			}
			for _, g := range read(t, s, tick).Ended {
				ended = append(ended, labels(g.Labels))
			}
			synctest.Wait()
		}
		if len(ended) != 1 || !strings.Contains(ended[0], "/srv/cold data") {
			t.Errorf("ended %v, want that mount alone", ended)
		}
	})
}

func TestNoMoreFileSystemsAreAskedThanAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan struct{})
		running, most := make(chan struct{}, 10_000), 0
		release := make(chan struct{})
		p := newProbes(func(string) (node.Space, error) {
			running <- struct{}{}
			<-release
			return node.Space{}, nil
		}, closed)
		mounts := make([]node.Mount, 3*mostProbes)
		for i := range mounts {
			mounts[i] = node.Mount{ID: fmt.Sprint(i), Path: "/x", MountPoint: "/x"}
		}
		for range 3 {
			began := time.Now()
			for _, a := range p.ask(mounts) {
				if !errors.Is(a.err, errNoAnswer) {
					t.Errorf("answer %+v", a)
				}
			}
			if took := time.Since(began); took > probePatience {
				t.Errorf("took %s", took)
			}
			most = max(most, len(running))
		}
		if most != mostProbes {
			t.Errorf("%d goroutines in three rounds, want %d", most, mostProbes)
		}
		close(release)
		synctest.Wait()
		for i, a := range p.ask(mounts) {
			if a.err != nil {
				t.Errorf("mount %d after all answered: %v", i, a.err)
			}
		}
	})
}

func TestAFileSystemThatFailsSaysSoInItsSeriesOnly(t *testing.T) {
	root := metal(t)
	synctest.Test(t, func(t *testing.T) {
		s := newHostSource(hostOptions(root), func(path string) (node.Space, error) {
			if strings.HasSuffix(path, "/boot/efi") {
				return node.Space{}, fs.ErrPermission
			}
			return berth(path)
		}, steadyClock)
		defer s.Close()
		read(t, s, 0)
		synctest.Wait()
		got := values(read(t, s, 1)) // fails the test if Collect says more
		const efi = `{device="/dev/nvme0n1p1",fstype="vfat",job="node-exporter",mountpoint="/boot/efi"}`
		if got["node_filesystem_device_error"+efi] != "1" || got["node_filesystem_free_bytes"+efi] != "" {
			t.Errorf("got %v", got)
		}
	})
}

func TestCloseDoesNotWaitForWhatNeverReturns(t *testing.T) {
	root := metal(t)
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := newHostSource(hostOptions(root), func(path string) (node.Space, error) { <-release; return berth(path) }, steadyClock)
		read(t, s, 0)
		began := time.Now()
		if err := s.Close(); err != nil || time.Since(began) > leave {
			t.Errorf("Close: %v after %s", err, time.Since(began))
		}
		close(release)
	})
}

func TestAnErrandThatIsOutIsNotSentAgainAndItsSeriesAreAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		sent := 0
		p := later(func() ([]float64, error) { sent++; <-gate; return []float64{7}, nil },
			&hostValues{newNodeGroup(gauge("x", "x"))})
		var b sample.Batch
		tick := func(due bool) (bool, error) {
			b.Reset(0, noon)
			looked, err := p.tick(&b, due)
			synctest.Wait()
			return looked, err
		}
		if looked, err := tick(true); looked || err != nil {
			t.Errorf("the first tick looked: %t, %v", looked, err)
		}
		gate <- struct{}{}
		synctest.Wait()
		if looked, err := tick(true); !looked || err != nil || b.Len() != 1 {
			t.Errorf("the second: %t, %v, %d samples", looked, err, b.Len())
		}
		if looked, err := tick(true); !looked || !errors.Is(err, errOut) || b.Len() != 0 || len(b.Columns) != 1 || sent != 2 {
			t.Errorf("the third: %t, %v, %d samples in %d columns, sent %d times", looked, err, b.Len(), len(b.Columns), sent)
		}
		gate <- struct{}{}
	})
}

func TestAPanicOfAnErrandIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newErrand(func() (int, error) { panic("bug") })
		if err := e.send(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, ok, err := e.fetch(); !ok || err == nil || !strings.Contains(err.Error(), "bug") {
			t.Errorf("%t, %v", ok, err)
		}
	})
}

func TestTheLedgerEndsWhatIsGoneAndNothingElse(t *testing.T) {
	var l ledger
	m := &sample.Metric{Name: "x", Help: "x", Type: sample.Gauge}
	take := func(values ...string) *sample.Batch {
		var b sample.Batch
		b.Reset(0, noon)
		for i, v := range values {
			l.put(&b, m, float64(i), sample.Label{Name: "v", Value: v})
		}
		l.settle(&b)
		return &b
	}
	first := take("a", "b", "b")
	if first.Len() != 2 {
		t.Errorf("%d samples, want the second b left out", first.Len())
	}
	second := take("c", "b")
	if len(second.Ended) != 1 || second.Ended[0] != first.Columns[0].Group {
		t.Errorf("ended %v, want a", second.Ended)
	}
	if second.Columns[1].Group != first.Columns[1].Group {
		t.Error("b has another group than before")
	}
	if b := take("a", "b", "c"); len(b.Ended) != 0 || b.Len() != 3 {
		t.Errorf("%d ended, %d samples", len(b.Ended), b.Len())
	}
}

func TestTextfilesAreSeriesOfTheNode(t *testing.T) {
	root, dir := metal(t), t.TempDir()
	file := filepath.Join(dir, "backup.prom")
	written := time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)
	put := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(dir, name), written, written); err != nil {
			t.Fatal(err)
		}
	}
	put("backup.prom", "# TYPE backup_bytes gauge\nbackup_bytes{job=\"nightly\"} 12\n")
	put("broken.prom", "backup_bytes{ 12\n")
	synctest.Test(t, func(t *testing.T) {
		opts := hostOptions(root)
		opts.TextfileDir = dir
		s := newHostSource(opts, berth, steadyClock)
		defer s.Close()
		var b sample.Batch
		tick := func(n uint64) (map[string]string, error) {
			b.Reset(n, noon)
			err := s.Collect(t.Context(), &b)
			synctest.Wait()
			return values(&b), err
		}
		_, _ = tick(0)
		got, err := tick(1)
		if err == nil || !strings.Contains(err.Error(), "broken.prom") {
			t.Errorf("error %v, want one that names the file", err)
		}
		for series, want := range map[string]string{
			`backup_bytes{exported_job="nightly",job="node-exporter"}`:                    "12",
			fmt.Sprintf(`node_textfile_mtime_seconds{file=%q,job="node-exporter"}`, file): fmt.Sprint(written.Unix()),
			`node_textfile_scrape_error{job="node-exporter"}`:                             "1",
		} {
			if got[series] != want {
				t.Errorf("%s %q, want %q", series, got[series], want)
			}
		}
		if err := os.Remove(filepath.Join(dir, "broken.prom")); err != nil {
			t.Fatal(err)
		}
		_, _ = tick(2)
		if got, err = tick(3); err != nil || got[`node_textfile_scrape_error{job="node-exporter"}`] != "0" {
			t.Errorf("mended: %v, %v", got, err)
		}
	})
}

func TestWhatThisMachineHasIsReadWithoutError(t *testing.T) {
	opts := HostOptions{Lanes: Lanes{Third: 1 << 40}, Processes: true, Version: "0.1.0"} // all at tick 0, and never again
	s := HostSource(opts).(*hostSource)
	defer s.Close()
	got := values(read(t, s, 0))
	over := time.After(time.Minute)
	for tick := uint64(1); slices.ContainsFunc(s.parts, func(p hostReading) bool { return p.name != "" && !p.looked }); tick++ {
		select {
		case <-over:
			t.Fatal("not everything has been read in a minute")
		case <-time.After(time.Millisecond):
			maps.Copy(got, values(read(t, s, tick)))
		}
	}
	for _, series := range []string{"node_filefd_maximum", "node_sockstat_sockets_used", "node_netstat_Tcp_InSegs", "node_processes_pids"} {
		if got[series+`{job="node-exporter"}`] == "" {
			t.Errorf("no %s", series)
		}
	}
}

func TestHostMetricsSayTheirUnit(t *testing.T) {
	root := metal(t)
	synctest.Test(t, func(t *testing.T) {
		s := newHostSource(hostOptions(root), berth, steadyClock)
		defer s.Close()
		read(t, s, 0)
		synctest.Wait()
		for _, c := range read(t, s, 4).Columns {
			for _, one := range c.Group.Series {
				m := one.Metric
				base := strings.TrimSuffix(m.Name, "_total")
				for _, unit := range []string{"seconds", "bytes"} {
					if strings.HasSuffix(base, "_"+unit) != (m.Unit == unit) {
						t.Errorf("%s has unit %q", m.Name, m.Unit)
					}
				}
				if m.Help == "" || strings.HasSuffix(m.Name, "_total") != (m.Type == sample.Counter) {
					t.Errorf("%s, a %s, says %q", m.Name, m.Type, m.Help)
				}
			}
		}
	})
}

func TestATickAtWhichNothingOfTheHostIsDueAllocatesNothing(t *testing.T) {
	s := newHostSource(HostOptions{Roots: hostOptions("node/testdata/metal").Roots, Lanes: Lanes{Third: 1 << 40}}, berth, steadyClock)
	defer s.Close()
	var b sample.Batch
	b.Reset(1, noon)
	if allocs := testing.AllocsPerRun(100, func() {
		if err := s.Collect(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations per tick, want none", allocs)
	}
}

// BenchmarkHostSource is what a tick of the third lane takes of the goroutine
// that samples; one of the others takes next to nothing.
func BenchmarkHostSource(b *testing.B) {
	for name, tick := range map[string]uint64{"third lane": 0, "other ticks": 1} {
		b.Run(name, func(b *testing.B) {
			s := HostSource(HostOptions{Lanes: DefaultLanes()}).(*hostSource)
			defer s.Close()
			var batch sample.Batch
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset(tick, noon)
				_ = s.Collect(b.Context(), &batch) // an errand may be out still
			}
		})
	}
}
