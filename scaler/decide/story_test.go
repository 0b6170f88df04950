package decide

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// TestStories tells every story of testdata; its README says how they are
// written.
func TestStories(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d stories, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			s := readStory(t, file)
			for _, row := range s.rows {
				s.until(row.at)
				if s.desired != row.replicas {
					t.Fatalf("line %d: %d replicas, want %d: %s", row.line, s.desired, row.replicas, s.last.Why())
				}
				if !strings.Contains(s.last.Why(), row.because) {
					t.Fatalf("line %d: not because %q: %s", row.line, row.because, s.last.Why())
				}
			}
		})
	}
}

// story is a workload, a policy and what happens to them.
type story struct {
	t       *testing.T
	yaml    string
	policy  policy.App
	rows    []row
	boot    time.Duration
	elapsed time.Duration // since the beginning, whatever the clock says
	clock   time.Duration // how far the clock has been set

	desired int
	serving []time.Duration // when each replica is up
	load    float64
	slope   float64 // by which the load grows in a second
	event   string  // that lasts
	hints   hints
	state   State
	last    Decision
}

// hints are what a scaler knows besides the counts and readings.
type hints struct {
	boot      time.Duration
	hand      Hand
	lost      []string
	frozen    string
	ahead     string // the load that is expected
	base      string // the load that every event multiplies
	silent    int    // replicas that are not heard
	throttled *float64
	pressure  *float64
	crash     bool // what starts now never serves
}

// never is when a replica that crashes is up.
const never = time.Duration(math.MaxInt64)

// row is a line of the story's table.
type row struct {
	line     int
	at       time.Duration
	load     float64
	event    string
	replicas int
	because  string
}

func readStory(t *testing.T, file string) *story {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &story{t: t}
	var columns []int // where the table's columns start
	for i, line := range strings.Split(string(data), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || line == "policy" || word == "#":
		case line[0] == ' ':
			s.yaml += "  " + line[2:] + "\n"
		case word == "replicas":
			s.desired = number(t, rest)
		case word == "boot":
			s.boot = duration(t, rest)
		case word == "time":
			for _, name := range strings.Fields(line) {
				columns = append(columns, strings.Index(line, name))
			}
		default:
			s.rows = append(s.rows, readRow(t, i+1, line, columns))
		}
	}
	s.load = s.rows[0].load
	s.serving = make([]time.Duration, s.desired)
	s.readPolicy()
	return s
}

func readRow(t *testing.T, n int, line string, columns []int) row {
	t.Helper()
	cell := func(i int) string {
		text := []rune(line)
		end := len(text)
		if i+1 < len(columns) {
			end = min(end, columns[i+1])
		}
		return strings.TrimSpace(string(text[min(columns[i], end):end]))
	}
	load, err := strconv.ParseFloat(cell(1), 64)
	if err != nil {
		t.Fatalf("line %d: %v", n, err)
	}
	return row{line: n, at: duration(t, cell(0)), load: load, event: cell(2), replicas: number(t, cell(3)), because: cell(4)}
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func real(t *testing.T, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// usual is what a story goes by if it does not say otherwise: the defaults of a
// policy may change without making liars of all stories.
const usual = `defaults:
  out: {tolerance: 0%, window: 0s, rate: [{replicas: 10, percent: 300%, per: 15s}], lead: auto}
  in: {dead_band: 10%, window: 5m, rate: [{replicas: 1, percent: 10%, per: 1m}], settle: auto}
`

// readPolicy reads the story's policy as the scaler would, with what every
// story would otherwise have to say.
func (s *story) readPolicy() {
	s.t.Helper()
	text := "version: plimsoll.scaler/v1\n" + usual + "apps:\n- name: story\n  target: {driver: fake, service: web}\n" + s.yaml
	for key, value := range map[string]string{"mode": "active", "min": "2"} {
		if !strings.Contains(s.yaml, "  "+key+":") {
			text += "  " + key + ": " + value + "\n"
		}
	}
	file, err := policy.Parse("story", []byte(text), policy.Options{Drivers: []string{"fake"}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.policy = file.Apps[0]
}

// until ticks up to the row's time, with its event and load from then on.
func (s *story) until(at time.Duration) {
	row := s.rows[slices.IndexFunc(s.rows, func(r row) bool { return r.at == at })]
	for s.elapsed+s.policy.Interval < at {
		s.elapsed += s.policy.Interval
		s.load += s.slope * s.policy.Interval.Seconds()
		s.tick()
	}
	s.elapsed = at
	s.load, s.slope = row.load, 0
	s.happen(row.event)
	s.tick()
}

func (s *story) happen(event string) {
	what, value, _ := strings.Cut(event, "=")
	switch what {
	case "-":
	case "silent", "nan", "slip", "down", "update", "empty":
		s.event = what
	case "well":
		s.event = ""
		s.hints = hints{boot: s.hints.boot, hand: s.hints.hand}
		for i, up := range s.serving {
			if up == never {
				s.serving[i] = s.elapsed + s.boot
			}
		}
	case "ramp":
		s.slope = real(s.t, value)
	case "hand":
		s.scale(number(s.t, value))
	case "clock":
		s.clock += duration(s.t, value)
	case "edit":
		s.edit(value)
	case "restart":
		s.restart()
	case "forget":
		s.state = State{}
	default:
		s.hint(what, value)
	}
}

func (s *story) hint(what, value string) {
	h := &s.hints
	now := noon.Add(s.elapsed + s.clock)
	switch what {
	case "boot":
		h.boot = duration(s.t, value)
	case "lost":
		h.lost = strings.Fields(value)
	case "frozen":
		h.frozen = value
	case "ahead":
		h.ahead = value
	case "base":
		h.base = value
	case "mute":
		h.silent = number(s.t, value)
	case "throttled", "pressure":
		v := real(s.t, value)
		if what == "throttled" {
			h.throttled = &v
		} else {
			h.pressure = &v
		}
	case "crash":
		h.crash = true
	case "pause", "floor", "ceiling":
		said, long, _ := strings.Cut(value, " ")
		until := now.Add(duration(s.t, long))
		switch what {
		case "pause":
			h.hand.Pause, h.hand.PauseUntil, h.hand.PauseBy = Pause(said), until, "alice"
		case "floor":
			h.hand.Floor, h.hand.Ceiling, h.hand.Until, h.hand.By = number(s.t, said), 0, until, "bob"
		default:
			h.hand.Floor, h.hand.Ceiling, h.hand.Until, h.hand.By = 0, number(s.t, said), until, "bob"
		}
	default:
		s.t.Fatalf("unknown event %q=%q", what, value)
	}
}

// edit replaces keys of the policy, or takes away those it gives no value for.
func (s *story) edit(lines string) {
	for _, line := range strings.Split(lines, "; ") {
		key, _, given := strings.Cut(line, ":")
		kept := slices.DeleteFunc(strings.Split(s.yaml, "\n"), func(l string) bool { return strings.HasPrefix(l, "  "+key+":") })
		s.yaml = strings.Join(kept, "\n")
		if given {
			s.yaml += "  " + line + "\n"
		}
	}
	s.readPolicy()
	s.state = s.state.Edited()
}

func (s *story) restart() {
	data, err := json.Marshal(s.state)
	if err != nil {
		s.t.Fatal(err)
	}
	s.state = State{}
	if err := json.Unmarshal(data, &s.state); err != nil {
		s.t.Fatal(err)
	}
}

// scale starts replicas, or ends the youngest.
func (s *story) scale(n int) {
	for len(s.serving) < n {
		up := s.elapsed + s.boot
		if s.hints.crash {
			up = never
		}
		s.serving = append(s.serving, up)
	}
	s.serving, s.desired = s.serving[:n], n
}

func (s *story) tick() {
	s.state, s.last = Next(s.policy, s.state, s.observe())
	if s.last.Apply {
		s.scale(s.last.To)
	}
}

func (s *story) observe() Observation {
	o := Observation{Now: noon.Add(s.elapsed + s.clock), Desired: s.desired}
	if s.event == "down" {
		return Observation{Now: o.Now, Err: "no answer"}
	}
	for _, up := range s.serving {
		switch {
		case up == never:
			o.Failing++
		case up <= s.elapsed:
			o.Ready++
		default:
			o.Starting++
		}
	}
	s.know(&o)
	o.Updating = s.event == "update"
	heard := max(0, o.Ready-s.hints.silent)
	if o.Updating {
		heard *= 2 // the new ones beside the old
	}
	for _, signal := range s.policy.Signals {
		o.Signals = append(o.Signals, s.reading(signal, o, heard))
	}
	return o
}

// know adds what else a scaler knows.
func (s *story) know(o *Observation) {
	h := &s.hints
	o.Boot, o.Hand, o.Lost, o.Frozen = h.boot, h.hand, h.lost, h.frozen
	if h.base != "" {
		for _, e := range s.policy.Events {
			o.Bases = append(o.Bases, Base{Event: e.Name, Load: s.unit() * real(s.t, h.base)})
		}
	}
	if h.ahead != "" {
		o.Ahead = &Ahead{Signal: tracked(&s.policy).Name, Load: s.unit() * real(s.t, h.ahead), At: o.Now.Add(h.boot), Model: "median", Most: 1e9}
	}
}

// unit is what the first tracking signal reads where one core is used.
func (s *story) unit() float64 {
	if tracked(&s.policy).Name == "rps" {
		return 100
	}
	return 1
}

func (s *story) reading(signal policy.Signal, o Observation, heard int) Reading {
	r := Reading{Signal: signal.Name, Throttled: s.hints.throttled, Pressure: s.hints.pressure}
	switch {
	case s.event == "silent":
	case s.event == "empty":
		r.Empty, r.Samples = true, []Sample{{At: o.Now}}
	case signal.Name == "rps":
		v := s.load * 100
		switch s.event {
		case "slip":
			v = 1e12
		case "nan":
			v = math.NaN()
		}
		r.Samples = []Sample{{At: o.Now, Value: v}}
	default:
		for i := range heard {
			r.Samples = append(r.Samples, Sample{Replica: fmt.Sprint(i), At: o.Now, Value: min(1, s.load/float64(max(1, o.Ready)))})
		}
	}
	return r
}
