package agent

import (
	"slices"
	"strconv"
	"testing"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/exit"
)

// lastReadings are what was read of containers at their ends.
type lastReadings struct {
	finals  map[string]exit.Record
	records []exit.Record
}

func (e *lastReadings) Final(cgroup string) (exit.Record, bool) {
	r, ok := e.finals[cgroup]
	return r, ok
}

func (e *lastReadings) Records(n uint64) ([]exit.Record, uint64) {
	return e.records[n:], uint64(len(e.records))
}

// ending gives a harbour somebody who reads the ends of containers.
func (h *harbour) ending() *lastReadings {
	e := &lastReadings{finals: make(map[string]exit.Record)}
	h.source.opts.Exits = e
	return e
}

// endOf is the end of a container that had used 7.5 s of CPU time and was killed
// for want of memory once.
func (h *harbour) endOf(c discover.Container, life uint64) exit.Record {
	of := func(n uint64) cgroup.Opt[uint64] { return cgroup.Opt[uint64]{V: n, OK: true} }
	return exit.Record{
		Life: life, Container: c, Seen: h.now, Ended: h.now, Complete: true,
		CPU:       cgroup.CPU{Usage: cgroup.Opt[cgroup.Nanoseconds]{V: 7_500_000_000, OK: true}},
		PeakBytes: of(1 << 20), OOMKills: of(1),
		IO: []cgroup.DeviceIO{{Device: cgroup.Device{Major: 254}, Reads: of(3), ReadBytes: of(4096)}},
	}
}

const (
	usageSeries = "container_cpu_usage_seconds_total"
	killsSeries = "container_oom_events_total"
	peakSeries  = "container_memory_max_usage_bytes"
	readsSeries = "container_fs_reads_total"
)

func TestWhatAContainerHadUsedAtItsEndIsItsLastSample(t *testing.T) {
	for name, leave := range map[string]func(*harbour){
		"where it is no longer listed":        func(h *harbour) { h.there() },
		"where it is listed and has no group": func(*harbour) {},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarbour(t, "hybrid", cron())
			e := h.ending()
			h.skip(3)
			h.remove(cron().Cgroup)
			leave(h)
			e.finals[cron().Cgroup] = h.endOf(cron(), 1)
			e.records = append(e.records, e.finals[cron().Cgroup])
			h.ooms = []string{idleID, idleID} // the kill that the record has
			got := h.sail()
			want(t, got, "7.5", usageSeries, "cron")
			want(t, got, "1048576", peakSeries, "cron")
			want(t, got, "3", readsSeries, "cron")
			got = h.sail()
			want(t, got, "", usageSeries, "cron")
			want(t, got, "1", killsSeries, "cron")
			if !slices.Contains(h.endedNames(), usageSeries) {
				t.Errorf("ended: %v", h.endedNames())
			}
			h.ooms = []string{idleID} // once more, as version 1 does
			for range 20 {
				got = h.sail()
				if v := of(got, killsSeries, "cron"); len(v) > 0 && v[0] != "1" {
					t.Fatalf("%s kills, want 1", v[0])
				}
				want(t, got, "", usageSeries, "cron")
			}
		})
	}
}

func TestAnEndThatWasReadTooLateDoesNotTurnACounterBack(t *testing.T) {
	h := newHarbour(t, "hybrid", web())
	e := h.ending()
	h.skip(3)
	r := h.endOf(web(), 1)
	r.Complete, r.CPU.Usage.V = false, 1
	e.finals[web().Cgroup], e.records = r, append(e.records, r)
	h.write("unified/docker/"+busyID+"/cpu.stat", "usage_usec 999000000\n")
	h.there()
	want(t, h.sail(), "999", usageSeries, "web")
	for range 3 {
		want(t, h.sail(), "", usageSeries, "web")
	}
}

func TestAContainerThatLivedBetweenTwoTicksHasSeriesThatBeginAtZero(t *testing.T) {
	h := newHarbour(t, "hybrid")
	e := h.ending()
	h.skip(3)
	e.records = append(e.records, h.endOf(web(), 1))
	want(t, h.sail(), "0", usageSeries, "web")
	got := h.sail()
	want(t, got, "7.5", usageSeries, "web")
	want(t, got, "1048576", peakSeries, "web")
	got = h.sail()
	want(t, got, "", usageSeries, "web")
	want(t, got, "1", killsSeries, "web")
	if !slices.Contains(h.endedNames(), usageSeries) {
		t.Errorf("ended: %v", h.endedNames())
	}
}

func TestABriefLifeOfAContainerThatRunsAgainIsLeftToItsService(t *testing.T) {
	h := newHarbour(t, "hybrid", web())
	e := h.ending()
	h.skip(3)
	e.records = append(e.records, h.endOf(web(), 1))
	for range 4 { // the harbour sees to it that no series has two samples
		want(t, h.sail(), "0.12337", usageSeries, "web")
	}
}

func TestAContainerThatComesBackWaitsUntilItsBriefLifeIsTold(t *testing.T) {
	h := newHarbour(t, "hybrid")
	e := h.ending()
	h.skip(2)
	e.records = append(e.records, h.endOf(web(), 1))
	want(t, h.sail(), "0", usageSeries, "web")
	h.there(web())
	want(t, h.sail(), "7.5", usageSeries, "web")
	want(t, h.sail(), "", usageSeries, "web")
	want(t, h.sail(), "0.12337", usageSeries, "web")
}

// neverBack fails if the CPU time that is told shrinks.
func neverBack(t *testing.T, h *harbour, ticks int, least float64) {
	t.Helper()
	for range ticks {
		for _, v := range of(h.sail(), usageSeries, "web") {
			n, err := strconv.ParseFloat(v, 64)
			if err != nil || n < least {
				t.Fatalf("CPU time %s after %v", v, least)
			}
			least = n
		}
	}
}

func TestARecordThatComesAfterTheSeriesEndedIsNoOtherLife(t *testing.T) {
	h := newHarbour(t, "hybrid", web())
	e := h.ending()
	r := h.endOf(web(), 1)
	h.skip(3)
	h.remove(web().Cgroup)
	h.there()
	h.sail()
	r.Ended = h.now
	e.records = append(e.records, r)
	neverBack(t, h, 5, 0.12)
}

func TestTheEndOfALaterLifeIsNotThatOfTheSeries(t *testing.T) {
	h := newHarbour(t, "hybrid", web())
	e := h.ending()
	h.skip(3)
	r := h.endOf(web(), 2)
	r.CPU.Usage.V = 1_000_000
	e.finals[web().Cgroup] = r
	h.remove(web().Cgroup)
	h.there()
	neverBack(t, h, 5, 0.12)
}

func TestBriefLivesOfOneContainerHaveOneRowThatIsLeft(t *testing.T) {
	h := newHarbour(t, "hybrid")
	e := h.ending()
	h.skip(3)
	e.records = append(e.records, h.endOf(web(), 1))
	h.skip(10)
	e.records = append(e.records, h.endOf(web(), 2))
	want(t, h.sail(), "0", usageSeries, "web")
	h.sail()
	want(t, h.sail(), "2", killsSeries, "web")
	h.skip(20) // the harbour sees to it that no series has two samples
}

func TestAContainerOfWhichOnlyTheEndWasNoticedIsNotBrief(t *testing.T) {
	h := newHarbour(t, "hybrid")
	e := h.ending()
	h.skip(3)
	r := h.endOf(web(), 1)
	r.UsedBefore = 7_000_000_000
	e.records = append(e.records, r)
	for range 4 {
		want(t, h.sail(), "", usageSeries, "web")
	}
}
