package burst

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
)

// inBubble runs a lane in virtual time, without triggers.
func inBubble(t *testing.T, opts Options, groups []string, test func(l *Lane, tr *tree)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tr := newTree(t, groups...)
		opts.Root, opts.Triggers = tr.root, -1
		l, err := New(opts)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if n := l.fs.Opened(); n != 0 {
				t.Errorf("%d descriptors are open after the end", n)
			}
		}()
		l.Follow(groups)
		synctest.Wait()
		test(l, tr)
	})
}

// use has a group use so many CPUs for a while, between the readings.
func (tr *tree) use(group string, used *time.Duration, cpus float64, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		*used += time.Duration(cpus * float64(10*time.Millisecond))
		tr.set(group, *used, *used/2, int(*used/time.Millisecond))
		<-time.After(10 * time.Millisecond)
	}
}

func near(o cgroup.Opt[float64], want float64) bool { return o.OK && math.Abs(o.V-want) < 0.001 }

func TestABurstTellsTheBusiestWindowAndTheMean(t *testing.T) {
	inBubble(t, Options{}, []string{"/a"}, func(l *Lane, tr *tree) {
		l.Begin("/a", CPUPressure)
		<-time.After(5 * time.Millisecond) // so as never to write at the moment of a reading
		var used time.Duration
		tr.use("/a", &used, 0.5, 400*time.Millisecond)
		tr.use("/a", &used, 3, 200*time.Millisecond)
		tr.use("/a", &used, 0.5, 400*time.Millisecond)
		got := l.Take(nil)
		if len(got) != 1 || got[0].Group != "/a" || got[0].Windows != 10 {
			t.Fatalf("read %+v", got)
		}
		r := got[0]
		if !near(r.CPUMax, 3) || !near(r.CPUMean, 0.8*0.5+0.2*3) {
			t.Errorf("CPUs: %v at most, %v on average", r.CPUMax, r.CPUMean)
		}
		if !near(r.ThrottledMax, 1.5) || !near(r.ThrottledMean, 0.5) {
			t.Errorf("withheld: %v at most, %v on average", r.ThrottledMax, r.ThrottledMean)
		}
		if !r.MemoryMax.OK || r.MemoryMax.V != 1000 || r.MemoryMean.V >= r.MemoryMax.V {
			t.Errorf("memory: %v at most, %v on average", r.MemoryMax, r.MemoryMean)
		}
		// What was told is not told again.
		tr.use("/a", &used, 0.5, 500*time.Millisecond)
		if r := l.Take(nil)[0]; r.Windows != 5 || !near(r.CPUMax, 0.5) {
			t.Errorf("read %+v", r)
		}
	})
}

func TestABurstLastsHalfAMinuteFromItsLastCause(t *testing.T) {
	inBubble(t, Options{}, []string{"/a"}, func(l *Lane, _ *tree) {
		l.Begin("/a", CPUUsage)
		<-time.After(20 * time.Second)
		l.Begin("/a", MemoryPressure)
		<-time.After(29 * time.Second)
		if len(l.Take(nil)) != 1 {
			t.Error("over too early")
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		s := l.Stats()
		if len(l.Take(nil)) != 0 || s.Groups != 0 || l.fs.Opened() != 0 {
			t.Errorf("not over: %+v, %d open", s, l.fs.Opened())
		}
		if s.Begun[CPUUsage] != 1 || s.Begun[MemoryPressure] != 0 || s.Readings != 500 {
			t.Errorf("%+v", s)
		}
		<-time.After(time.Hour)
		if again := l.Stats(); again.Readings != s.Readings {
			t.Errorf("%d readings while nothing is the matter", again.Readings-s.Readings)
		}
	})
}

func TestNoMoreGroupsThanAllowedAreInBurst(t *testing.T) {
	var groups []string
	for i := range 40 {
		groups = append(groups, fmt.Sprint("/", i))
	}
	inBubble(t, Options{Most: 10, Standing: 4}, groups, func(l *Lane, _ *tree) {
		for i, g := range groups[:6] {
			if got := l.Stand(g, time.Second); got != (i < 4) {
				t.Errorf("room for standing group %d: %t", i, got)
			}
		}
		for _, g := range groups {
			l.Begin(g, CPUPressure)
		}
		in := func() (names []string) {
			for _, r := range l.Take(nil) {
				names = append(names, r.Group)
			}
			return names
		}
		if got := in(); !slices.Equal(got, groups[:10]) {
			t.Errorf("in burst: %v, want the first ten that had a cause", got)
		}
		if s := l.Stats(); s.Refused != 30 || s.Begun[Asked] != 4 || s.Begun[CPUPressure] != 10 {
			t.Errorf("%+v", s)
		}
		// A group that has its place for long gives it to another, in turn, but
		// not one that somebody asked for.
		for range 301 {
			<-time.After(time.Second)
			for _, g := range groups[:10] {
				l.Begin(g, CPUPressure)
			}
		}
		l.Begin("/20", CPUPressure)
		if got := in(); !slices.Equal(got, append(slices.Concat(groups[:4], groups[5:10]), "/20")) {
			t.Errorf("in burst: %v", got)
		}
		if s := l.Stats(); s.Displaced != 1 || s.Groups != 10 {
			t.Errorf("%+v", s)
		}
	})
}

func TestAStandingGroupIsReadAtItsOwnPaceAndInABurstAtThatOfBursts(t *testing.T) {
	inBubble(t, Options{}, []string{"/a"}, func(l *Lane, _ *tree) {
		if l.Stand("/other", time.Second) {
			t.Error("room for a group that is not there")
		}
		<-time.After(5 * time.Millisecond) // so as never to take at the moment of a reading
		l.Stand("/a", 500*time.Millisecond)
		windows := func(d time.Duration) (n int) {
			<-time.After(d)
			for _, r := range l.Take(nil) {
				n += r.Windows
			}
			return n
		}
		windows(2 * time.Second)
		if n := windows(10 * time.Second); n != 20 {
			t.Errorf("%d windows in 10 s", n)
		}
		l.Begin("/a", Throttling)
		windows(time.Second)
		if n := windows(10 * time.Second); n != 100 {
			t.Errorf("%d windows in 10 s of burst", n)
		}
		windows(30 * time.Second)
		if n := windows(10 * time.Second); n != 20 {
			t.Errorf("%d windows in 10 s after the burst", n)
		}
		if late := l.Stats().Late; late > 1 { // the one between the two paces
			t.Errorf("%d late", late)
		}
		l.Stand("/a", 0)
		windows(time.Second)
		if n := windows(10 * time.Second); n != 0 {
			t.Errorf("%d windows after nobody wants it any more", n)
		}
	})
}

func TestAGroupThatIsGoneLeaves(t *testing.T) {
	inBubble(t, Options{}, []string{"/a", "/b"}, func(l *Lane, tr *tree) {
		l.Begin("/a", CPUPressure)
		l.Begin("/b", CPUPressure)
		<-time.After(time.Second)
		l.Follow([]string{"/a"})
		synctest.Wait()
		if got := l.Take(nil); len(got) != 1 || got[0].Group != "/a" {
			t.Errorf("in burst: %+v", got)
		}
		l.Begin("/b", CPUPressure)
		if got := l.Stats().Groups; got != 1 {
			t.Errorf("%d in burst: a group that is not there is", got)
		}
		// One that vanished before it was opened.
		l.Follow([]string{"/a", "/c"})
		l.Begin("/c", CPUPressure)
		<-time.After(time.Second)
		if s := l.Stats(); s.Groups != 1 || s.Failed != 1 {
			t.Errorf("%+v", s)
		}
		tr.set("/c", 0, 0, 0)
		l.Begin("/c", CPUPressure)
		<-time.After(time.Second)
		if s := l.Stats(); s.Groups != 2 {
			t.Errorf("%+v: one that came back under its name is not in burst", s)
		}
	})
}

func TestWindowsHaveTheirTrueLength(t *testing.T) {
	at := func(ms int, used time.Duration) *point {
		return &point{at: time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond), usage: cgroup.Opt[cgroup.Nanoseconds]{V: cgroup.Nanoseconds(used), OK: true}}
	}
	none := cgroup.Opt[uint64]{}
	tests := map[string]struct {
		points    []*point
		max, mean float64
		absent    bool
	}{
		"punctual":                           {points: []*point{at(0, 0), at(100, 50*time.Millisecond), at(200, 250*time.Millisecond)}, max: 2, mean: 1.25},
		"one reading missing":                {points: []*point{at(0, 0), at(100, 50*time.Millisecond), at(300, 250*time.Millisecond)}, max: 1, mean: 250. / 300},
		"idle":                               {points: []*point{at(0, time.Hour), at(100, time.Hour)}},
		"a counter that began anew":          {points: []*point{at(0, time.Hour), at(100, 0), at(200, 10*time.Millisecond)}, max: 0.1, mean: 0.1},
		"a counter that is not there":        {points: []*point{{at: at(0, 0).at}, {at: at(100, 0).at}}, absent: true},
		"a counter that came between":        {points: []*point{{at: at(0, 0).at}, at(100, time.Hour)}, absent: true},
		"a counter that is there from later": {points: []*point{{at: at(0, 0).at}, at(100, time.Hour), at(200, time.Hour+time.Second)}, max: 10, mean: 10},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var s sum
			for i := range tt.points[1:] {
				s.add(tt.points[i], tt.points[i+1], none)
			}
			r := s.reading("/a")
			if r.Windows != len(tt.points)-1 || r.MemoryMax.OK || r.ThrottledMax.OK {
				t.Errorf("%+v", r)
			}
			if tt.absent {
				if r.CPUMax.OK || r.CPUMean.OK {
					t.Errorf("%+v, want nothing", r)
				}
			} else if !near(r.CPUMax, tt.max) || !near(r.CPUMean, tt.mean) {
				t.Errorf("%+v, want %v and %v", r, tt.max, tt.mean)
			}
		})
	}
}

func TestReadingsKeepTheirGridAndAreNeverTooNear(t *testing.T) {
	epoch := time.Unix(1000, 0)
	for now, want := range map[int]int{0: 100, 1: 100, 49: 100, 50: 100, 51: 200, 99: 200, 100: 200, 1951: 2100} {
		if got := following(epoch, epoch.Add(time.Duration(now)*time.Millisecond), 100*time.Millisecond).Sub(epoch); got != time.Duration(want)*time.Millisecond {
			t.Errorf("after %d ms comes %s, want %d ms", now, got, want)
		}
	}
}
