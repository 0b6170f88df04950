// Package day lets a collector and its agents live through a day in minutes:
// spools, streams, gRPC, ingest and the store as they are, and a clock that moves
// on once everybody has done what there was to do.
//
//	go test -run TestDay -timeout 20m -v ./bench/day -args -hours 24 -agents 100 -containers 100
//
// Without flags it is a short one, of few.
package day

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

var (
	hours      = flag.Int("hours", 5, "how long the day is")
	agents     = flag.Int("agents", 3, "agents")
	containers = flag.Int("containers", 20, "containers of each, at a time")
	series     = flag.Int("series", 10, "series of each container")
	interval   = flag.Duration("interval", time.Minute, "of the agents")
	heaps      = flag.String("heaps", "", "directory for a heap profile of every third hour")
)

const (
	// headSpan is how much of time the store has in memory before it makes a
	// block of it,
	headSpan = 3 * time.Hour
	// late by as much as a round of its upkeep and of the agents.
	headSlack = 5 * time.Minute
)

func TestDayOfChurn(t *testing.T) {
	var w *world
	began, used := wall(t), cpu(t)
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t)
		defer w.end()
		ticks := int(time.Duration(*hours) * time.Hour / *interval)
		for tick := range ticks {
			if tick*int(*interval)%int(time.Hour) == 0 {
				w.look()
			}
			for _, a := range w.agents {
				a.tick(uint64(tick))
			}
			<-time.After(*interval)
		}
		<-time.After(time.Minute) // the last are acknowledged
		w.look()
		w.nothingIsLost()
	})
	t.Logf("%d h of %d agents, %d containers at a time, %d in all, %d samples: %.0f s, %.0f s of CPU\n%s", *hours, *agents,
		*agents**containers, w.born, w.samples, (wall(t) - began).Seconds(), (cpu(t) - used).Seconds(), table(w.seen))
	judge(t, w.seen)
}

// picture is what there is at a full hour.
type picture struct {
	hour       int
	goroutines int
	heap       float64 // MB after a collection
	head       int     // series in memory,
	lately     int     // and those that had a sample since what should be the head's begin
	alive      int     // and that still run
	span       time.Duration
	blocks     int
	disk, log  float64 // MB
	unmerged   float64 // compactions that failed
}

func table(seen []picture) string {
	var b strings.Builder
	fmt.Fprintln(&b, "| hour | heap, MB | goroutines | series in memory | of these, alive | head spans | blocks | on disk, MB | of it, log |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|---|---|---|")
	for _, p := range seen {
		fmt.Fprintf(&b, "| %d | %.0f | %d | %d | %d | %s | %d | %.0f | %.0f |\n",
			p.hour, p.heap, p.goroutines, p.head, p.alive, p.span.Round(time.Minute), p.blocks, p.disk, p.log)
	}
	return b.String()
}

// judge compares the hours with each other and with what must be.
func judge(t *testing.T, seen []picture) {
	for _, p := range seen {
		if p.hour == 0 {
			continue
		}
		if p.goroutines > seen[1].goroutines+10 {
			t.Errorf("hour %d: %d goroutines, %d in the first", p.hour, p.goroutines, seen[1].goroutines)
		}
		if p.head > p.lately+*agents*8 { // what the collector writes about each agent
			t.Errorf("hour %d: %d series in memory, of which %d had a sample in the last %s", p.hour, p.head, p.lately, headSpan+headSlack)
		}
		if p.span > headSpan+headSlack {
			t.Errorf("hour %d: %s of samples are in memory; blocks are not made of them", p.hour, p.span)
		}
		if p.unmerged > 0 {
			t.Errorf("hour %d: %.0f compactions have failed", p.hour, p.unmerged)
		}
	}
	if n := len(seen); n > 12 {
		early, late := most(seen[4:n/2]), most(seen[n/2:])
		if late > 1.2*early {
			t.Errorf("%.0f MB in the second half of the day, %.0f in the first", late, early)
		}
	}
}

func most(of []picture) (mb float64) {
	for _, p := range of {
		mb = max(mb, p.heap)
	}
	return mb
}

// life is how long a container lives: of ten, one is a job of ten minutes, four
// are replaced every two hours, five stay all day.
func life(number int, rng *rand.Rand) time.Duration {
	var mean time.Duration
	switch number % 10 {
	case 0:
		mean = 10 * time.Minute
	case 1, 2, 3, 4:
		mean = 2 * time.Hour
	default:
		return 1000 * time.Hour
	}
	return time.Duration(rng.ExpFloat64() * float64(mean))
}

// container is one that runs, its values in what the kernel counts in.
type container struct {
	group  *sample.Group
	values []float64
	ends   time.Time
}

func (w *world) newContainer(node string, number int, rng *rand.Rand) *container {
	w.born++
	c := &container{ends: time.Now().Add(life(number, rng)), values: make([]float64, *series)}
	c.group = &sample.Group{Labels: []sample.Label{
		{Name: "id", Value: fmt.Sprintf("/docker/%s%016x%016x%016x", node, w.born, rng.Uint64(), rng.Uint64())},
		{Name: "name", Value: fmt.Sprintf("c%d", number)},
		{Name: "image", Value: "registry.example.com/team/service:1.2.3"},
	}}
	for i := range *series {
		c.group.Series = append(c.group.Series, sample.Series{Metric: w.metrics[i]})
	}
	return c
}

// move is what a tick brings: counters grow, every third series stays.
func (c *container) move(into []float64, rng *rand.Rand) {
	for i := range c.values {
		if i%3 != 2 {
			c.values[i] += float64(rng.IntN(1_000_000))
		}
		into[i] = c.values[i] / 1e6
	}
}

// wall is a clock that a bubble does not hold.
func wall(t *testing.T) time.Duration { return clock(t, unix.CLOCK_MONOTONIC) }

func cpu(t *testing.T) time.Duration { return clock(t, unix.CLOCK_PROCESS_CPUTIME_ID) }

func clock(t *testing.T, id int32) time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(id, &now); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.Nano())
}
