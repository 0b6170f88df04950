package delivery

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"google.golang.org/grpc"

	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/agent/spool"
	"github.com/plimsoll-io/plimsoll/agent/stream"
	"github.com/plimsoll-io/plimsoll/collector/store"
)

const metric = "delivered"

// agent is a spool and the stream that empties it.
type agent struct {
	name   string
	spool  *spool.Spool
	groups []*sample.Group
}

func newAgent(t *testing.T, n int) *agent {
	t.Helper()
	a := &agent{name: fmt.Sprint("n", n)}
	var err error
	if a.spool, err = spool.Open(spool.Options{Dir: t.TempDir(), BootID: "boot"}); err != nil {
		t.Fatal(err)
	}
	m := &sample.Metric{Name: metric, Type: sample.Counter}
	for i := 0; i < series; i += groupOf {
		g := &sample.Group{}
		for j := i; j < i+groupOf; j++ {
			g.Series = append(g.Series, sample.Series{Metric: m, Labels: []sample.Label{{Name: "series", Value: strconv.Itoa(j)}}})
		}
		a.groups = append(a.groups, g)
	}
	return a
}

// stream sends until the test ends.
func (a *agent) stream(t *testing.T, c *collector, opts stream.Options) {
	t.Helper()
	opts.Spool, opts.Target, opts.Node = a.spool, "passthrough:collector", a.name
	opts.DialOptions = []grpc.DialOption{grpc.WithContextDialer(c.dial)}
	s, err := stream.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := a.spool.Close(); err != nil {
			t.Error(err)
		}
	})
}

// valueOf is that of a series in a frame.
func valueOf(frame, series int) float64 { return float64(frame*10_000 + series) }

// put spools the next frame.
func (a *agent) put(t *testing.T, at time.Time) {
	t.Helper()
	n, i := int(a.spool.NextSeq()), 0
	var b sample.Batch
	b.Reset(0, at)
	for _, g := range a.groups {
		for j, v := 0, b.Add(g); j < len(v); j++ {
			v[j] = valueOf(n, i)
			i++
		}
	}
	if err := a.spool.Append(&b); err != nil {
		t.Fatal(err)
	}
}

// story is how the samples come to be.
type story struct {
	past bool // all are there before the collector is, from hours ago
	back bool // half-way the clock is set back by an hour
}

// times are those of the frames, by number.
func (s story) times(now time.Time) map[int]time.Time {
	start := now.Truncate(time.Second).Add(-frames * time.Second)
	if s.past {
		start = start.Add(-6 * time.Hour)
	}
	at := map[int]time.Time{}
	for n := 1; n <= frames; n++ {
		at[n] = start.Add(time.Duration(n) * time.Second)
		if s.back && n > frames/2 {
			at[n] = at[n].Add(-time.Hour)
		}
	}
	return at
}

// A collector that is killed ten times and more, with kill -9, at any moment, has
// stored at the end what the agents had read: all of it, once.
func TestAKilledCollectorStoresEverySampleOnce(t *testing.T) {
	for name, s := range map[string]story{
		"live in order":         {},
		"live out of order":     {back: true},
		"backfill in order":     {past: true},
		"backfill out of order": {past: true, back: true},
	} {
		// In full these take minutes more; make test tells them in short.
		if s.back && !beside && os.Getenv("PLIMSOLL_ALL_STORIES") == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			if beside {
				t.Parallel()
			}
			tell(t, s)
		})
	}
}

func tell(t *testing.T, s story) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	c := &collector{t: t, dir: t.TempDir(), listens: "127.0.0.1:0"}
	times := s.times(time.Now())
	var fleet []*agent
	for n := range agents {
		fleet = append(fleet, newAgent(t, n))
	}
	put := func(n int) {
		for _, a := range fleet {
			a.put(t, times[n])
		}
	}
	written := 0
	if s.past {
		for written < frames {
			written++
			put(written)
		}
	}
	began := time.Now()
	c.start()
	defer func() { c.kill() }()
	opts := stream.Options{Log: slog.New(slog.DiscardHandler), MaxFrames: 2 * ahead}
	for _, a := range fleet {
		a.stream(t, c, opts)
	}

	// The kills come when so many frames are acknowledged, and some time later.
	points := make([]int, kills)
	for i := range points {
		points[i] = chance.IntN(agents * frames * 8 / 10)
	}
	slices.Sort(points)
	killed, before := 0, -1
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for all := 0; all < agents*frames; {
		<-tick.C
		if time.Since(began) > limit {
			t.Fatalf("after %v, %d of %d frames are acknowledged; the collector was killed %d times\n%v", limit, all, agents*frames, killed, c.said(""))
		}
		all = 0
		least := frames
		for _, a := range fleet {
			acked := int(a.spool.Stats().Acked)
			all, least = all+acked, min(least, acked)
		}
		if written < frames && written < least+ahead {
			written++
			put(written)
		}
		if killed == kills || all < points[killed] || all <= before {
			continue
		}
		<-time.After(time.Duration(chance.IntN(80)) * time.Millisecond)
		c.kill()
		killed, before = killed+1, all
		for range chance.IntN(ahead) {
			if written < frames {
				written++
				put(written)
			}
		}
		c.start()
	}
	if killed < kills {
		t.Fatalf("killed %d times only, want %d: all was acknowledged before", killed, kills)
	}
	took := time.Since(began)
	c.kill() // what is acknowledged has to survive that, too
	stored := count(t, c.dir, times)
	t.Logf("%d agents × %d series × %d frames: %d samples stored of %d sent, killed %d times, in %v",
		agents, series, frames, stored, agents*series*frames, killed+1, took.Round(100*time.Millisecond))
	if stored != agents*series*frames {
		t.Errorf("%d samples stored, %d sent", stored, agents*series*frames)
		for _, l := range append(c.said("level=WARN"), c.said("level=ERROR")...) {
			t.Log(l.text)
		}
	}
	for _, a := range fleet {
		if st := a.spool.Stats(); st.Dropped != (spool.Count{}) || st.Damaged != (spool.Count{}) {
			t.Errorf("spool of %s: %+v", a.name, st)
		}
	}
}

// count reads what is stored, sample by sample, and compares it with what was
// sent.
func count(t *testing.T, dir string, times map[int]time.Time) (samples int) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: dir, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	var inTime []int
	for n := range times {
		inTime = append(inTime, n)
	}
	slices.SortFunc(inTime, func(a, b int) int { return cmp.Compare(times[a].UnixMilli(), times[b].UnixMilli()) })
	if lost := st.Losses(); len(lost) > 0 {
		t.Errorf("the store has set aside: %v", lost)
	}
	q, err := st.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", metric))
	wrong := 0
	var it chunkenc.Iterator
	for set.Next() {
		ls := set.At().Labels()
		number, err := strconv.Atoi(ls.Get("series"))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		it = set.At().Iterator(it)
		for it.Next() == chunkenc.ValFloat {
			at, v := it.At()
			if value.IsStaleNaN(v) {
				continue // while its agent was taken for lost
			}
			if wrong < 10 && (n >= len(inTime) || at != times[inTime[n]].UnixMilli() || v != valueOf(inTime[n], number)) {
				wrong++
				t.Errorf("sample %d of %s is %v at %v", n, ls, v, time.UnixMilli(at))
			}
			n++
		}
		if err := it.Err(); err != nil {
			t.Fatal(err)
		}
		if wrong < 10 && n != len(inTime) {
			wrong++
			t.Errorf("%d samples of %s, want %d", n, ls, len(inTime))
		}
		samples += n
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	return samples
}
