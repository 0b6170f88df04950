package scaler

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

func TestReplicasAreTimedFromBeingAskedForUntilTheyAreReady(t *testing.T) {
	type look struct {
		at             int // seconds
		desired, ready int
		updating       bool
	}
	tests := map[string]struct {
		looks []look
		want  []int // seconds
	}{
		"none came":             {[]look{{0, 2, 2, false}, {60, 2, 2, false}}, nil},
		"what was there before": {[]look{{0, 5, 2, false}, {10, 5, 5, false}}, nil},
		"three at once":         {[]look{{0, 2, 2, false}, {10, 5, 2, false}, {30, 5, 5, false}}, []int{20, 20, 20}},
		"one after the other":   {[]look{{0, 2, 2, false}, {10, 4, 2, false}, {30, 4, 3, false}, {35, 4, 4, false}}, []int{20, 25}},
		"asked for in two goes": {[]look{{0, 1, 1, false}, {10, 2, 1, false}, {20, 3, 1, false}, {30, 3, 3, false}}, []int{20, 10}},
		"those no longer asked": {[]look{{0, 1, 1, false}, {10, 4, 1, false}, {20, 2, 1, false}, {30, 2, 2, false}}, []int{20}},
		"one that crashed":      {[]look{{0, 3, 3, false}, {10, 3, 2, false}, {20, 3, 3, false}}, nil},
		"a rollout":             {[]look{{0, 2, 2, false}, {10, 4, 2, true}, {30, 4, 4, true}, {60, 4, 4, false}}, nil},
		"never ready":           {[]look{{0, 1, 1, false}, {10, 2, 1, false}, {4000, 2, 1, false}, {4001, 2, 2, false}}, nil},
		"the clock went back":   {[]look{{3600, 1, 1, false}, {3610, 2, 1, false}, {0, 2, 1, false}, {5, 2, 2, false}}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var b boots
			for _, l := range tt.looks {
				b.see(noon.Add(time.Duration(l.at)*time.Second), l.desired, l.ready, l.updating)
			}
			var got []int
			for _, d := range b.took {
				got = append(got, int(d.Seconds()))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNineteenOfTwentyReplicasAreReadyByThen(t *testing.T) {
	var b boots
	if got := b.p95(); got != 0 {
		t.Errorf("%v, want 0 for not known", got)
	}
	for i := range 20 {
		b.took = append(b.took, time.Duration(i+1)*time.Second)
		b.all++
	}
	if got := b.p95(); got != 19*time.Second {
		t.Errorf("%v, want 19s", got)
	}
}

func TestOnlyTheLastReplicasCount(t *testing.T) {
	var b boots
	b.see(noon, 1, 1, false)
	for i := range 1000 {
		b.see(noon.Add(time.Duration(i)*time.Minute), i+2, i+1, false)
		b.see(noon.Add(time.Duration(i)*time.Minute+10*time.Second), i+2, i+2, false)
	}
	b.see(noon.Add(1e6*time.Second), 1, 1, false)
	b.see(noon.Add(1e6*time.Second), 1e6, 1, false)
	b.see(noon.Add(1e6*time.Second+time.Second), 1e6, 1e6, false)
	if len(b.took) != bootsKept || b.p95() != time.Second || len(b.births) != 0 {
		t.Errorf("%d kept, of which 95%% took %v; %d births", len(b.took), b.p95(), len(b.births))
	}
}

func TestANodeIsLostAsLongAsItsReplicasAreNotHeardElsewhere(t *testing.T) {
	app := policy.App{Signals: []policy.Signal{{Source: policy.CPU}}}
	on := func(nodes ...string) [][]Sample {
		var heard []Sample
		for i, node := range nodes {
			heard = append(heard, of(node, string(rune('a'+i)), 1))
		}
		return [][]Sample{heard}
	}
	var gone []string
	away := func(node string) bool {
		for _, g := range gone {
			if g == node {
				return true
			}
		}
		return false
	}
	var h hosts
	step := func(what string, heard [][]Sample, ready int, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, h.lost(app, noon, heard, ready, away)); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	step("all heard", on("n1", "n2", "n3"), 3)
	step("one missing, its agent is there", on("n1", "n2"), 3)
	step("again all", on("n1", "n2", "n3"), 3)
	gone = []string{"n3", "n9"}
	step("an agent is lost", on("n1", "n2"), 3, "n3")
	step("and stays lost", on("n1", "n2"), 3, "n3")
	step("nothing is heard at all", on(), 3, "n3")
	gone = []string{"n1", "n2", "n3"}
	step("all are lost", on(), 3, "n1", "n2", "n3")
	gone = []string{"n3"}
	step("two are back", on("n1", "n2"), 3, "n3")
	step("the third runs elsewhere now", on("n1", "n2", "n1"), 3)
	step("and the node of before is forgotten", on("n1", "n2"), 3)

	app.Signals[0].Source = policy.Query
	gone = []string{"n1"}
	step("a policy that reads no containers knows no nodes", on(), 3)
}
