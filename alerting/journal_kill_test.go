package alerting_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/silence"

	"github.com/plimsoll-io/plimsoll/alerting"
)

const (
	lives = 10 // that go on at a time
	kills = 10 // of each
	// tail is how many bytes of what a process said are shown when a life fails.
	tail  = 2 << 10
	clock = "15:04:05.000"
)

// lifeRules give each container two alerts. They have no "for": by restoring that
// after a start, Prometheus makes some that fire wait again, and when they end
// meanwhile nobody says so before their time is out.
const lifeRules = nearLimit + `      - alert: OverLimit
        expr: container_memory_working_set_bytes / container_spec_memory_limit_bytes > 0.95
        labels: {severity: critical}
`

// lifeConfig puts both into one group.
func lifeConfig(hook string) string {
	return fmt.Sprintf(`route: {receiver: hook, group_by: [name], group_wait: 0s, group_interval: 50ms, repeat_interval: 1h}
receivers: [{name: hook, webhook_configs: [{url: %q}]}]
`, hook)
}

// TestKilledAtAnyMomentNothingIsLostAndNothingIsToldTwice kills processes that
// alert, in the middle of what they do, and lets others go on with what is left
// on disk. It then holds what a webhook has received against what has happened.
func TestKilledAtAnyMomentNothingIsLostAndNothingIsToldTwice(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("PLIMSOLL_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("PLIMSOLL_TEST_SEED=%d", seed)
	var told, unknown, twice, silenced atomic.Int64
	var all sync.WaitGroup
	for n := range lives {
		all.Go(func() {
			t.Run(strconv.Itoa(n), func(t *testing.T) {
				l := newLife(t, rand.New(rand.NewPCG(seed, uint64(n))))
				for range kills {
					l.untilKilled()
				}
				l.toItsEnd()
				l.judge()
				told.Add(int64(len(l.ledger.entries)))
				unknown.Add(int64(len(l.unknown)))
				twice.Add(l.twice)
				silenced.Add(int64(len(l.silences)))
			})
		})
	}
	all.Wait()
	t.Logf("%d kills; %d messages; %d silences made, all kept; %d notifications of unknown outcome, of which %d had arrived and were sent again",
		lives*kills, told.Load(), silenced.Load(), unknown.Load(), twice.Load())
	if told.Load() < lives*kills || silenced.Load() == 0 {
		t.Error("too little has happened for this to be a test")
	}
}

// life is that of some containers, over many processes.
type life struct {
	t      *testing.T
	w      *world
	rand   *rand.Rand
	ledger *ledger
	spawns int // processes so far

	uses     map[string]float64
	log      []use
	silences map[string]*silenceLife
	hushed   string // ID of the silence
	unknown  []*unknownGroup
	twice    int64
}

// use is what a container has used from some time on.
type use struct {
	at    time.Time
	name  string
	bytes float64
}

// silenceLife is what the API has acknowledged of a silence.
type silenceLife struct{ ended, asked bool }

// unknownGroup is one that may have been told of something when a process was
// killed.
type unknownGroup struct {
	key   string
	begun time.Time // it was begun to be told
	by    int       // the process that was killed
	used  bool      // it was told again
}

func newLife(t *testing.T, r *rand.Rand) *life {
	l := &life{t: t, rand: r, ledger: newLedger(t), uses: map[string]float64{}, silences: map[string]*silenceLife{}}
	l.w = &world{t: t, dir: t.TempDir()}
	t.Cleanup(func() {
		if said, err := os.ReadFile(l.w.path("log")); err == nil && t.Failed() {
			t.Logf("the last process said at its end:\n%s", said[max(0, len(said)-tail):])
		}
	})
	l.w.write("rules.yml", lifeRules)
	for n := range 6 {
		l.uses[fmt.Sprintf("c%d", n)] = 50
	}
	// One is above its limit for the whole time, and one also has a silence.
	l.uses["steady"], l.uses["hushed"] = 92, 92
	return l
}

// spawn starts the next process, whose messages say that they are its own: the
// last of one that was killed may be read after the first of the next.
func (l *life) spawn() *child {
	l.spawns++
	l.w.write("alertmanager.yml", lifeConfig(fmt.Sprintf("%s/?process=%d", l.ledger.url, l.spawns)))
	return spawn(l.t, l.w.dir)
}

// untilKilled lives in a process of its own that is killed soon, often before
// it has quite begun.
func (l *life) untilKilled() {
	c := l.spawn()
	moment := time.Duration(l.rand.Int64N(int64(700 * time.Millisecond)))
	alive, dead := make(chan struct{}), make(chan struct{})
	if l.rand.IntN(4) == 0 {
		close(alive)
	}
	go func() {
		defer close(dead)
		<-alive
		<-time.After(moment)
		c.kill()
	}()
	l.happen(c, alive, dead)
	<-dead
	l.inspect()
}

// happen lets things happen until the process is dead. It closes alive once
// they do, unless somebody has.
func (l *life) happen(c *child, alive chan struct{}, dead <-chan struct{}) {
	<-c.up
	for !l.hush(c) { // until it runs
		select {
		case <-dead:
			return
		case <-time.After(time.Millisecond):
		}
	}
	if l.hushed == "" {
		l.hushed = c.silence("hushed")
	}
	for name, bytes := range l.uses {
		if name != "hushed" || l.hushed != "" {
			c.uses(name, bytes)
		}
	}
	select {
	case <-alive:
	default:
		close(alive)
	}
	for {
		select {
		case <-dead:
			return
		case <-time.After(time.Duration(l.rand.Int64N(int64(20 * time.Millisecond)))):
		}
		switch l.rand.IntN(8) {
		case 0:
			l.hush(c)
		case 1:
			for id, s := range l.silences {
				if !s.ended {
					s.asked = true
					code, _ := c.ask("DELETE", "/api/v2/silence/"+id, "")
					s.ended = code == 200
					break
				}
			}
		default:
			name := fmt.Sprintf("c%d", l.rand.IntN(6))
			l.use(c, name, []float64{50, 92, 99}[l.rand.IntN(3)])
		}
	}
}

// hush makes a silence, and tells whether it was acknowledged.
func (l *life) hush(c *child) bool {
	id := c.silence(fmt.Sprintf("hush-%d", len(l.silences)))
	if id != "" {
		l.silences[id] = &silenceLife{}
	}
	return id != ""
}

func (l *life) use(c *child, name string, bytes float64) {
	l.log = append(l.log, use{time.Now(), name, bytes})
	l.uses[name] = bytes
	c.uses(name, bytes)
}

// inspect looks at what a killed process has left.
func (l *life) inspect() {
	left, err := alerting.ReadRemains(l.w.path("alerting"))
	if err != nil {
		l.t.Errorf("what is left cannot be read: %v", err)
		return
	}
	for key, begun := range left.Unknown {
		l.unknown = append(l.unknown, &unknownGroup{key: key, begun: begun, by: l.spawns})
	}
	for id, s := range l.silences {
		found, err := left.Silences.QueryOne(l.t.Context(), silence.QIDs(id))
		if err != nil {
			l.t.Errorf("silence %s was acknowledged and is lost: %v", id, err)
			continue
		}
		ended := found.EndsAt.AsTime().Before(time.Now())
		if ended && !s.asked || !ended && s.ended {
			l.t.Errorf("silence %s: ended %v, want %v", id, ended, s.ended)
		}
	}
}

// toItsEnd lets all causes end and waits for that to be told.
func (l *life) toItsEnd() {
	c := l.spawn()
	c.ready()
	for name, bytes := range l.uses {
		if name != "hushed" || l.hushed != "" {
			c.uses(name, bytes)
		}
	}
	c.eventually("what fires all the time is told", func() bool { return len(l.ledger.of("steady")) > 0 })
	for name := range l.uses {
		if name != "hushed" {
			l.use(c, name, 50)
		}
	}
	c.eventually("the end of all is told", func() bool {
		for _, last := range l.last() {
			if last != "resolved" {
				return false
			}
		}
		return true
	})
	// Whatever would still be told is, while groups are flushed some times more.
	c.evaluates(settled)
	c.end()
}

// last is what was last told of each alert, by name of container and alert.
func (l *life) last() map[string]string {
	last := map[string]string{}
	for name := range l.uses {
		for _, e := range l.ledger.of(name) {
			for _, a := range e.Alerts {
				last[name+" "+a.Labels["alertname"]] = a.Status
			}
		}
	}
	return last
}

// judge goes through all that was told.
func (l *life) judge() {
	if n := len(l.ledger.of("hushed")); n > 0 {
		l.t.Errorf("%d messages of what is silenced", n)
	}
	firings, ends := 0, 0
	for _, e := range l.ledger.of("steady") {
		if e.Status == "firing" {
			firings++
		} else {
			ends++
		}
	}
	if firings == 0 || ends == 0 {
		l.t.Errorf("of what fired all the time, %d messages said so and %d that it ended", firings, ends)
	}
	for name := range l.uses {
		if !l.judgeOne(name) {
			l.t.Logf("what happened to %s:\n%s", name, l.story(name))
		}
	}
}

// judgeOne goes through what was told of one container.
func (l *life) judgeOne(name string) (right bool) {
	right = true
	wrong := func(format string, args ...any) {
		right = false
		l.t.Errorf(format, args...)
	}
	type toldAlert struct {
		status string
		start  time.Time
	}
	known := map[string]toldAlert{}
	var previous ledgerEntry
	for _, e := range l.ledger.of(name) {
		news := false
		for _, a := range e.Alerts {
			alertname := a.Labels["alertname"]
			before := known[alertname]
			// Of what has ended before, another end is news.
			news = news || a.Status != before.status || a.Status == "resolved" && !a.StartsAt.Equal(before.start)
			if a.Status == "resolved" && before.status == "firing" && !l.wasLow(name, alertname, before.start, e.at) {
				wrong("%s of %s was told to be resolved while its cause went on", alertname, name)
			}
			if before.status == "firing" && !a.StartsAt.Equal(before.start) && !l.wasLow(name, alertname, before.start, e.at) {
				wrong("%s of %s, told to fire since %v, is told to be %s since %v", alertname, name, before.start, a.Status, a.StartsAt)
			}
			known[alertname] = toldAlert{a.Status, a.StartsAt}
		}
		if !news {
			if l.mayRepeat(previous, e) {
				l.twice++
			} else {
				wrong("%s: told by process %d at %v what process %d told at %v, and its outcome was known",
					name, e.process, e.at, previous.process, previous.at)
			}
		}
		previous = e
	}
	for alertname, k := range known {
		if k.status != "resolved" {
			wrong("%s of %s was never told to be resolved", alertname, name)
		}
	}
	return right
}

// story is what happened to a container and what was told of it, in its order.
func (l *life) story(name string) string {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	for _, u := range l.log {
		if u.name == name {
			lines = append(lines, line{u.at, fmt.Sprintf("uses %v", u.bytes)})
		}
	}
	for _, u := range l.unknown {
		if strings.Contains(u.key, strconv.Quote(name)) {
			lines = append(lines, line{u.begun, fmt.Sprintf("process %d began to tell, and was killed", u.by)})
		}
	}
	for _, e := range l.ledger.of(name) {
		text := fmt.Sprintf("process %d told", e.process)
		for _, a := range e.Alerts {
			text += fmt.Sprintf(", %s %s since %s", a.Labels["alertname"], a.Status, a.StartsAt.Format(clock))
		}
		lines = append(lines, line{e.at, text})
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var story strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&story, "%s %s\n", line.at.UTC().Format(clock), line.text)
	}
	return story.String()
}

// mayRepeat tells whether two messages of a group that say the same came from two
// processes, the first of which was killed before it knew what had become of it.
func (l *life) mayRepeat(first, second ledgerEntry) bool {
	for _, u := range l.unknown {
		if !u.used && u.key == second.GroupKey && first.at.After(u.begun) && first.process <= u.by && u.by < second.process {
			u.used = true
			return true
		}
	}
	return false
}

// wasLow tells whether the cause of an alert was away at some time.
func (l *life) wasLow(name, alertname string, from, to time.Time) bool {
	limit := 90.0
	if alertname == "OverLimit" {
		limit = 95
	}
	before, low := 50.0, false
	for _, u := range l.log {
		switch {
		case u.name != name || u.at.After(to):
		case u.at.Before(from):
			before = u.bytes
		default:
			low = low || u.bytes <= limit
		}
	}
	return low || before <= limit
}
