package decide

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// FuzzDecide makes decisions of whatever a journal may hold: policies that nobody
// checked, pasts that never were, platforms that lie. None may panic or leave its
// bounds, and each can be made again from what is written of it.
func FuzzDecide(f *testing.F) {
	seeds := uint64(40)
	if underRace {
		seeds = 8
	}
	for seed := range seeds {
		w := newWandering(seed)
		c := &course{policy: w.policy, now: noon, desired: w.replicas, serving: w.replicas}
		for i := range w.ticks[:30+seed] {
			past := c.state.Clone()
			c.tick(&w.ticks[i])
			if i%10 == 9 {
				data, err := json.Marshal(Input{c.policy, past, c.observe(&w.ticks[i])})
				if err != nil {
					f.Fatal(err)
				}
				f.Add(data, uint64(0))
				for lie := range uint64(8) {
					f.Add(data, 1+8*seed+lie)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		var in Input
		if json.Unmarshal(lied(data, seed), &in) != nil {
			return
		}
		s, d := in.Decide()
		bounded(t, in, d)
		text := d.Why()
		var back Input
		if problem := again(in, &back); problem != "" {
			t.Fatal(problem)
		}
		s2, d2 := back.Decide()
		if asJSON(s2) != asJSON(s) || asJSON(d2) != asJSON(d) || d2.Why() != text {
			t.Fatalf("before it was written: %s\nafter: %s", asJSON(d), asJSON(d2))
		}
		in.State = s
		in.Observation.Now = in.Observation.Now.Add(in.Policy.Interval)
		_, d = in.Decide()
		bounded(t, in, d)
	})
}

// lied is data with some of its values replaced by such as nobody would expect.
func lied(data []byte, seed uint64) []byte {
	var tree any
	if seed == 0 || json.Unmarshal(data, &tree) != nil {
		return data
	}
	r := rand.New(rand.NewPCG(seed, 3))
	var visit func(v any) any
	visit = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(v)) {
				v[key] = visit(v[key])
			}
			if r.IntN(20) == 0 && v["cron"] == nil && v["duration"] != nil {
				v["cron"], v["tz"] = "*/7 * * * *", "America/New_York"
				delete(v, "at")
			}
			return v
		case []any:
			for i := range v {
				v[i] = visit(v[i])
			}
			if len(v) > 0 && r.IntN(10) == 0 {
				return append(v, v[r.IntN(len(v))])
			}
			return v
		case float64:
			lies := []float64{0, -1, 1, 3, 1e-300, 1e300, -1e300, math.MaxInt64 / 2, math.MinInt64, 1 << 53, 5e9, v + 1, v * 2}
			if r.IntN(12) == 0 {
				return lies[r.IntN(len(lies))]
			}
			return v
		case string:
			lies := []string{"", "web", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59+14:00", "2026-11-11T12:00:07Z", "NaN", "+Inf", "off", "auto", "100h", "track", "desired", "steps", "total", "active"}
			if r.IntN(25) == 0 {
				return lies[r.IntN(len(lies))]
			}
		}
		return v
	}
	tree = visit(tree)
	lie, err := json.Marshal(tree)
	if err != nil {
		return data
	}
	// Whole numbers are written as such, or they could not be read as integers.
	return exponent.ReplaceAllFunc(lie, func(n []byte) []byte {
		v, err := strconv.ParseFloat(string(n), 64)
		if err != nil || math.Abs(v) > math.MaxInt64/2 {
			return n
		}
		return strconv.AppendInt(nil, int64(v), 10)
	})
}

var exponent = regexp.MustCompile(`-?\d(\.\d+)?e\+\d+`)

// bounded is I1, of policies that may make no sense.
func bounded(t *testing.T, in Input, d Decision) {
	t.Helper()
	p := in.Policy
	ceiling := policy.DefaultCeiling
	if p.Ceiling > 0 {
		ceiling = p.Ceiling
	}
	least := min(max(1, p.Min), max(1, p.Max), ceiling)
	if p.AllowZero != nil {
		least = 0
	}
	switch most := min(max(1, p.Min, p.Max), ceiling); {
	case d.To > d.From && d.To > most:
		t.Fatalf("%d → %d is above %d", d.From, d.To, most)
	case d.To < d.From && d.To < least:
		t.Fatalf("%d → %d is below %d", d.From, d.To, least)
	case d.To != d.From && cmp.Compare(d.To, d.From) != map[Action]int{Grow: 1, Shrink: -1}[d.Action]:
		t.Fatalf("%s, from %d to %d", d.Action, d.From, d.To)
	case d.Apply && p.Mode != policy.Active:
		t.Fatalf("may be carried out in mode %s", p.Mode)
	}
}
