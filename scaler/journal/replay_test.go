package journal

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// again makes a decision of a journal anew, and fails the test if another comes
// out.
func again(t *testing.T, j *Journal, id string) {
	t.Helper()
	r, err := j.Find(id)
	if err != nil {
		t.Fatal(err)
	}
	// As the API hands it out, and a client takes it.
	data, err := json.Marshal(map[string]any{"data": r})
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Data Record }
	if err := json.Unmarshal(data, &answer); err != nil {
		t.Fatal(err)
	}
	got, err := Replay(answer.Data)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Same {
		t.Fatalf("decision %s (-recorded +made):\n%s", id, cmp.Diff(string(got.Recorded), string(got.Made)))
	}
}

// loaded are policies with all that a decision may go by, as the loader makes them.
func loaded(t *testing.T) []policy.App {
	t.Helper()
	text, err := os.ReadFile("testdata/policies.yml")
	if err != nil {
		t.Fatal(err)
	}
	file, err := policy.Parse("policies.yml", text, policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range file.Apps {
		file.Apps[i].Ceiling = policy.DefaultCeiling
	}
	return file.Apps
}

// chance is what a scaler may see at one tick: mostly sense, now and then not.
func chance(r *rand.Rand, app policy.App, now time.Time, desired int, load float64) decide.Observation {
	o := decide.Observation{Now: now, Desired: desired, Ready: max(0, desired-r.IntN(2))}
	switch r.IntN(40) {
	case 0:
		o.Err = "no answer, \"soon\" <perhaps>"
	case 1:
		o.Updating = true
	case 2:
		o.Failing, o.Starting = r.IntN(3), r.IntN(3)
	case 3:
		o.Lost, o.Frozen = []string{"n1", "n2"}, "3 of 9 policies are blind"
	case 4:
		o.Hand = decide.Hand{Pause: decide.PauseIn, PauseUntil: now.Add(time.Minute), Floor: 3, Ceiling: 9, Until: now.Add(time.Second), By: "ann"}
	case 5:
		o.Boot = time.Duration(r.IntN(60)) * time.Second
		o.Ahead = &decide.Ahead{Signal: app.Signals[0].Name, Load: load * 1.3, At: now.Add(time.Minute), Model: "median", Most: load * 2}
	}
	for _, s := range app.Signals {
		reading := decide.Reading{Signal: s.Name}
		n := 1
		if s.Source != policy.Query {
			n = o.Ready
		}
		for i := range n {
			v := load * s.Target.Value * (0.9 + 0.2*r.Float64()) / float64(max(1, n))
			if s.Target.Value == 0 {
				v = r.Float64()
			}
			switch r.IntN(1500) {
			case 0:
				v = math.NaN()
			case 1:
				v = math.Inf(1)
			case 2:
				v = -v
			case 3:
				v = 1e18
			}
			sample := decide.Sample{At: now.Add(-time.Duration(r.IntN(5)) * time.Second).Local(), Value: v}
			if n > 1 {
				sample.Replica = string(rune('a' + i%26))
			}
			reading.Samples = append(reading.Samples, sample)
		}
		if r.IntN(500) == 0 {
			reading = decide.Reading{Signal: s.Name, Err: "the query returns nothing"}
		}
		if r.IntN(500) > 0 {
			o.Signals = append(o.Signals, reading)
		}
	}
	return o
}

// TestAnyDecisionIsMadeAgainByteForByte: whatever is seen, what is written down of
// a decision is enough to make it again.
func TestAnyDecisionIsMadeAgainByteForByte(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, Program: "test"})
	r := rand.New(rand.NewPCG(7, 11))
	moved, kinds := 0, map[decide.Action]int{}
	for _, app := range loaded(t) {
		state, now, desired := decide.State{}, noon, 3
		for i := range 1500 {
			now = now.Add(2 * time.Second)
			switch r.IntN(800) {
			case 0:
				now = now.Add(time.Hour)
			case 1:
				now = now.Add(-time.Hour)
			case 2:
				desired = r.IntN(12)
			}
			load := 6 + 5*math.Sin(float64(i)/40)
			o := chance(r, app, now.Local(), desired, load)
			past := state
			next, d := decide.Next(app, past, o)
			state = next
			e := Entry{Policy: app.Name, Target: app.Target.String(), Mode: app.Mode, Observation: o, Decision: d, App: &app, State: &past}
			if d.Apply {
				e.Result = Accepted
			}
			if d.To != d.From && o.Err == "" {
				desired = d.To // where the policy only advises, somebody obeys
				moved++
			}
			kinds[d.Action]++
			record(t, j, e)
		}
	}
	if moved < 40 || kinds[decide.Refuse] == 0 || kinds[decide.Shrink] < 10 || kinds[decide.Grow] < 10 {
		t.Fatalf("%d changes, actions %v: too little happened", moved, kinds)
	}
	entries := read(t, j, Query{Limit: 1 << 20})
	for i, e := range entries {
		if i%50 == 0 {
			again(t, j, e.ID)
		}
	}
	policies := map[string]json.RawMessage{}
	for _, line := range lines(t, dir) {
		var told struct {
			Basis string
			App   json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &told); err != nil {
			t.Fatal(err)
		}
		if told.App != nil {
			policies[told.Basis] = told.App
		}
		if !ofPolicy([]byte(line), "") {
			continue
		}
		got, err := Replay(Record{Entry: json.RawMessage(strings.TrimSpace(line)), Policy: policies[told.Basis], Written: true})
		if err != nil {
			t.Fatal(err)
		}
		if !got.Same {
			t.Fatalf("decision %s (-recorded +made):\n%s", got.ID, cmp.Diff(string(got.Recorded), string(got.Made)))
		}
	}
	if len(entries) < 500 {
		t.Errorf("only %d entries", len(entries))
	}
	t.Logf("%d entries made again, %d changes, actions %v", len(entries), moved, kinds)
}

func TestADecisionOfAnotherProgramShowsWhereItDiffers(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, Program: "0.0.1"})
	app := loaded(t)[0]
	past := decide.State{}
	o := chance(rand.New(rand.NewPCG(1, 2)), app, noon, 3, 3)
	_, d := decide.Next(app, past, o)
	d.To++ // as another program would have it
	record(t, j, Entry{Policy: app.Name, Mode: app.Mode, Observation: o, Decision: d, App: &app, State: &past})
	r, err := j.Find(read(t, j, Query{})[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Replay(r)
	if err != nil {
		t.Fatal(err)
	}
	if got.Same || got.Program != "0.0.1" || string(got.Recorded) == string(got.Made) {
		t.Errorf("%+v", got)
	}
}

func TestWhatCannotBeMadeAgainIsSaid(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	app := loaded(t)[0]
	e := hold("web", 0)
	e.App, e.State = &app, &decide.State{}
	record(t, j, e, hold("blank", 1))
	entries := read(t, j, Query{})
	web, err := j.Find(entries[1].ID)
	if err != nil {
		t.Fatal(err)
	}
	blank, err := j.Find(entries[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(r Record, change func(*Record)) Record { change(&r); return r }
	for want, r := range map[string]Record{
		"does not say what it was based on": blank,
		"does not match its own hash": changed(web, func(r *Record) {
			r.Entry = json.RawMessage(strings.Replace(string(r.Entry), `"desired":2`, `"desired":3`, 1))
		}),
		"was made by policy": changed(web, func(r *Record) {
			r.Policy = json.RawMessage(strings.Replace(string(r.Policy), `"max":40`, `"max":41`, 1))
		}),
		"read the decision": {Entry: json.RawMessage(`[]`)},
	} {
		if _, err := Replay(r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if _, err := j.Find("000000000"); !errors.Is(err, ErrNoEntry) {
		t.Errorf("error %v, want ErrNoEntry", err)
	}
}

// TestHowFarAJournalReachesBack is the figure of docs/explain.md: a day of a policy
// whose load goes up and down once, with noise in it.
func TestHowFarAJournalReachesBack(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, MaxBytes: 2 << 20}) // so that some of it is packed
	app := loaded(t)[0]
	app.Schedules = nil
	app.Interval, app.In.Window, app.Out.Window = 10*time.Second, 5*time.Minute, 0
	r := rand.New(rand.NewPCG(3, 4))
	var state decide.State
	desired, changes := 4, 0
	for now := noon; now.Before(noon.Add(24 * time.Hour)); now = now.Add(app.Interval) {
		load := 6 + 2*math.Sin(2*math.Pi*now.Sub(noon).Hours()/24)
		o := decide.Observation{Now: now, Desired: desired, Ready: desired, Boot: 12 * time.Second}
		each := decide.Reading{Signal: "cpu"}
		for i := range desired {
			each.Samples = append(each.Samples, decide.Sample{
				Replica: "node-1/3f2a9c0d4e5b" + string(rune('a'+i)), At: now.Add(-time.Second),
				Value: 0.5 * load / float64(desired) * (0.95 + 0.1*r.Float64()),
			})
		}
		o.Signals = []decide.Reading{each, {Signal: "rps", Samples: []decide.Sample{{At: now, Value: 230 * load * (0.98 + 0.04*r.Float64())}}}}
		past := state
		next, d := decide.Next(app, past, o)
		state = next
		e := Entry{Policy: app.Name, Target: app.Target.String(), Mode: app.Mode, Observation: o, Decision: d, App: &app, State: &past}
		if d.Apply {
			desired, e.Result = d.To, Accepted
			changes++
		}
		record(t, j, e)
	}
	var text, packed int64 // of the segments that are full
	full := j.disk.Segments()
	full = full[:len(full)-1]
	for _, seg := range full {
		packed += seg.Size
		for line := range seg.Forward() {
			text += int64(len(line.Text)) + 1
		}
	}
	for i, e := range read(t, j, Query{Limit: 1 << 20}) {
		if i%20 == 0 {
			again(t, j, e.ID) // packed or not
		}
	}
	written := entryLines(t, dir)
	size := float64(len(strings.Join(written, ""))) * float64(packed) / float64(text)
	days := float64(64<<20) / (100 * size)
	t.Logf("%d changes and %d entries a day, %.0f bytes of %d: 64 MiB are %.1f days of 100 such policies",
		changes, len(written), size, len(strings.Join(written, "")), days)
	if changes < 4 || days < 4 {
		t.Errorf("%d changes a day, %.1f days", changes, days)
	}
}
