package scrape

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// fleet is a scraper whose targets are servers in memory.
type fleet struct {
	t       testing.TB
	scraper *Scraper
	servers map[string]func() net.Conn
}

func newFleet(t testing.TB, opts Options) *fleet {
	t.Helper()
	opts.Processes = func(string) ([]int, error) { return nil, os.ErrNotExist }
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, scraper: s, servers: map[string]func() net.Conn{}}
	s.dial = func(_ context.Context, t *Target) (net.Conn, error) {
		connect := f.servers[t.cgroup]
		if connect == nil {
			return nil, os.ErrNotExist
		}
		return connect(), nil
	}
	return f
}

func (f *fleet) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.scraper.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			f.t.Errorf("Run: %v", err)
		}
	})
}

// add makes a target.
func (f *fleet) add(cgroup string, spec Spec, h http.HandlerFunc) *Target {
	f.t.Helper()
	f.servers[cgroup] = serve(f.t, h)
	target := f.scraper.Add(cgroup, spec, []sample.Label{{Name: "id", Value: cgroup}, {Name: "job", Value: "test"}}, 15)
	if target == nil {
		f.t.Fatal("there are too many")
	}
	return target
}

func text(lines ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", textFormat)
		fmt.Fprintln(w, strings.Join(lines, "\n"))
	}
}

// ticks calls each once a second, as an agent does.
func ticks(n int, each func(second int)) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		synctest.Wait()
		each(i)
	}
}

func (f *fleet) counted() map[string]uint64 {
	all := make(map[string]uint64)
	for r, n := range f.scraper.Stats().Counts {
		if n > 0 {
			all[Reason(r).String()] = n
		}
	}
	return all
}

func TestATargetIsScrapedAtItsIntervalFromItsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, Options{})
		asked := 0
		target := f.add("/a", plain, func(w http.ResponseWriter, r *http.Request) {
			asked++
			text(fmt.Sprintf("asked_total %d", asked))(w, r)
		})
		f.run()
		var at []int
		ticks(100, func(second int) {
			u, ok := target.Take()
			if !ok {
				return
			}
			at = append(at, second)
			if !u.Up || u.Scraped != 1 || u.Kept != 1 || len(lines(u.Columns)) != 1 {
				t.Errorf("at %d s: %+v", second, u)
			}
			want(t, "series", lines(u.Columns), []string{fmt.Sprintf("untyped asked_total %d", asked)})
		})
		if len(at) < 6 || at[0] > 15 {
			t.Fatalf("scraped at %v s", at)
		}
		for i := 1; i < len(at); i++ {
			if at[i]-at[i-1] != 15 {
				t.Errorf("scraped at %v s", at)
			}
		}
	})
}

func TestTargetsAreSpreadOverTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, Options{})
		var targets []*Target
		for i := range 100 {
			targets = append(targets, f.add(fmt.Sprint("/docker/", i), plain, text("x 1")))
		}
		f.run()
		seconds := make(map[int]int)
		ticks(15, func(second int) {
			for _, target := range targets {
				if u, ok := target.Take(); ok && u.Up {
					seconds[second]++
				}
			}
		})
		sum := 0
		for second, n := range seconds {
			if sum += n; n > 20 {
				t.Errorf("%d of 100 targets in second %d", n, second)
			}
		}
		if sum != 100 {
			t.Errorf("%d of 100 targets in an interval", sum)
		}
	})
}

func TestTargetsThatHangDisturbNoOther(t *testing.T) {
	tests := map[string]struct {
		hang  http.HandlerFunc
		learn int // seconds until it is known which ones hang
	}{
		"with no answer": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 2},
		"in mid-body": {func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, "x 1")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, 90},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, Options{})
				for i := range 40 {
					f.add(fmt.Sprint("/hangs/", i), plain, tt.hang)
				}
				fast := plain
				fast.Interval, fast.Timeout = time.Second, time.Second
				target := f.add("/well", fast, text("x 1"))
				f.run()
				ticks(tt.learn, func(int) { target.Take() })
				ticks(120, func(second int) {
					if u, ok := target.Take(); !ok || !u.Up || u.Duration > 0 {
						t.Errorf("second %d: %v, %+v", second, ok, u)
					}
				})
				if c := f.counted(); c["timeout"] < 40 {
					t.Errorf("counted %v", c)
				}
			})
		})
	}
}

func TestAnAnswerThatCannotBeReadInTimeIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, Options{})
		for range slots {
			f.scraper.slots <- struct{}{}
		}
		target := f.add("/a", plain, text("x 1"))
		f.run()
		ticks(60, func(int) {})
		if u, ok := target.Take(); ok {
			t.Errorf("%+v", u)
		}
		if c := f.counted(); len(c) != 1 || c["busy"] < 3 {
			t.Errorf("counted %v", c)
		}
	})
}

func TestATargetThatWasSlowOnceIsTrustedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, Options{})
		var slow atomic.Bool
		slow.Store(true)
		target := f.add("/a", plain, func(w http.ResponseWriter, r *http.Request) {
			if slow.Load() {
				<-r.Context().Done()
				return
			}
			text("x 1")(w, r)
		})
		f.run()
		ticks(30, func(int) {})
		if u, ok := target.Take(); !ok || u.Up || u.Duration != plain.Timeout || !target.slow {
			t.Errorf("%+v, slow %v", u, target.slow)
		}
		slow.Store(false)
		ticks(20, func(int) {})
		if u, ok := target.Take(); !ok || !u.Up || target.slow {
			t.Errorf("%+v, slow %v", u, target.slow)
		}
	})
}

func TestTheSeriesOfATargetThatFailsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, Options{})
		var broken atomic.Bool
		target := f.add("/a", plain, func(w http.ResponseWriter, r *http.Request) {
			if broken.Load() {
				http.Error(w, "no", http.StatusInternalServerError)
				return
			}
			text("x 1", "y 2")(w, r)
		})
		f.run()
		var update Update
		scrape := func() []string {
			ticks(15, func(int) {
				if u, ok := target.Take(); ok {
					update = u
				}
			})
			return lines(update.Columns)
		}
		want(t, "well", scrape(), []string{"untyped x 1", "untyped y 2"})
		group := update.Columns[0].Group
		broken.Store(true)
		want(t, "broken", scrape(), []string(nil))
		if update.Up || len(update.Columns) != 1 || update.Columns[0].Group != group || len(update.Ended) != 0 {
			t.Errorf("%+v, want the same group with nothing in it", update)
		}
		broken.Store(false)
		want(t, "well again", scrape(), []string{"untyped x 1", "untyped y 2"})
		if update.Columns[0].Group != group {
			t.Error("another group")
		}
		want(t, "counted", f.counted(), map[string]uint64{"status": 1})
	})
}

func TestNothingIsLostOfWhatIsNotTakenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, Options{})
		n := 0
		target := f.add("/a", plain, func(w http.ResponseWriter, r *http.Request) {
			n++
			text(fmt.Sprintf(`x{n="%d"} 1`, n))(w, r)
		})
		f.run()
		ticks(15, func(int) {})
		first, _ := target.Take()
		ticks(60, func(int) {})
		u, ok := target.Take()
		if !ok || n != 5 || len(u.Ended) != 4 || u.Ended[0] != first.Columns[0].Group || !u.Renewed {
			t.Errorf("after %d scrapes: %+v", n, u)
		}
		want(t, "series", lines(u.Columns), []string{`untyped x{n="5"} 1`})
		if _, ok := target.Take(); ok {
			t.Error("taken twice")
		}
	})
}

func TestATargetThatStopsGivesAllBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, Options{Targets: 2})
		closed := make(chan bool, 1)
		well := f.add("/well", plain, text("x 1", "y 1"))
		hangs := f.add("/hangs", plain, func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			closed <- true
		})
		if f.scraper.Add("/more", plain, nil, 1) != nil {
			t.Error("a third target is let in")
		}
		f.run()
		ticks(15, func(int) {})
		if s := f.scraper.Stats(); s.Targets != 2 || s.Series != 2 {
			t.Errorf("%+v", s)
		}
		hangs.Stop()
		synctest.Wait()
		select {
		case <-closed:
		default:
			t.Error("its connection is open still")
		}
		well.Stop()
		synctest.Wait()
		if s := f.scraper.Stats(); s.Targets != 0 || s.Series != 0 {
			t.Errorf("%+v", s)
		}
		ticks(30, func(int) {})
		well.Take()
		ticks(30, func(int) {})
		if _, ok := well.Take(); ok {
			t.Error("it is scraped still")
		}
		want(t, "counted", f.counted(), map[string]uint64{"too_many_targets": 1})
	})
}

func TestEachReasonHasAName(t *testing.T) {
	seen := make(map[string]bool)
	n := 0
	for _, list := range [][]Reason{Failures(), Drops(), Refusals()} {
		for _, r := range list {
			n++
			if r.String() == "" || seen[r.String()] {
				t.Errorf("reason %d is called %q", r, r)
			}
			seen[r.String()] = true
		}
	}
	if n != int(reasons) {
		t.Errorf("%d reasons of %d", n, reasons)
	}
}

func TestARealTargetIsScrapedInItsNetwork(t *testing.T) {
	h := newHouse(t)
	l, port := h.listen("127.0.0.1:0")
	server := &http.Server{Handler: text("# TYPE orders_total counter", `orders_total{job="x"} 7`)}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	s, err := New(Options{Processes: h.networks().processes})
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, scraper: s}
	f.run()
	target := s.Add("/house", Spec{Scheme: "http", Port: port, Path: "/metrics", Interval: time.Second, Timeout: time.Second}, []sample.Label{{Name: "job", Value: "house"}}, 1)
	var u Update
	eventually(t, "a scrape in its second", func() bool {
		u, _ = target.Take()
		return u.Up
	})
	want(t, "series", lines(u.Columns), []string{`counter orders_total{exported_job="x"} 7`})
}
