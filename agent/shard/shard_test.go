package shard

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func named(names ...string) []Shard {
	shards := make([]Shard, len(names))
	for i, name := range names {
		shards[i] = Shard{Name: name, Addresses: []string{name + ":9901"}}
	}
	return shards
}

// homes is where each of n nodes is.
func homes(n int, shards []Shard) map[string]string {
	where := map[string]string{}
	for i := range n {
		node := fmt.Sprintf("rack%d-node%d", i/40, i%40)
		where[node] = Of(node, shards).Name
	}
	return where
}

// The choice is part of how a fleet is run: if it changed with a release, every
// node would move.
func TestWhereANodeBelongsNeverChanges(t *testing.T) {
	got := map[string]string{}
	for _, node := range []string{"node1", "node2", "node3", "node4", "rack7-node3", "ip-10-0-0-1", "", "größe"} {
		got[node] = Of(node, named("east", "west", "north")).Name
	}
	want := map[string]string{ // as a few lines of Python from score's comment give it
		"node1": "east", "node2": "east", "node3": "west", "node4": "east",
		"rack7-node3": "east", "ip-10-0-0-1": "north", "": "west", "größe": "east",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTheOrderOfTheListDoesNotMatter(t *testing.T) {
	want := homes(500, named("a", "b", "c", "d"))
	for _, order := range [][]string{{"d", "c", "b", "a"}, {"b", "d", "a", "c"}} {
		if diff := cmp.Diff(want, homes(500, named(order...))); diff != "" {
			t.Errorf("order %v: %s", order, diff)
		}
	}
}

func TestAnotherAddressMovesNobody(t *testing.T) {
	shards := named("a", "b", "c")
	want := homes(500, shards)
	shards[1].Addresses = []string{"elsewhere:1", "elsewhere:2"}
	if diff := cmp.Diff(want, homes(500, shards)); diff != "" {
		t.Error(diff)
	}
}

func TestACollectorThatComesTakesItsShareAndMovesNoOther(t *testing.T) {
	const n = 6000
	before := homes(n, named("a", "b", "c", "d", "e"))
	after := homes(n, named("a", "b", "c", "d", "e", "f"))
	moved := 0
	for node, at := range after {
		if at == before[node] {
			continue
		}
		moved++
		if at != "f" {
			t.Fatalf("%s moved from %s to %s", node, before[node], at)
		}
	}
	if share := n / 6; moved < share*85/100 || moved > share*115/100 {
		t.Errorf("%d of %d nodes moved, want about %d", moved, n, share)
	}
}

func TestACollectorThatGoesLeavesTheOthersWhereTheyAre(t *testing.T) {
	before, after := homes(3000, named("a", "b", "c", "d")), homes(3000, named("a", "b", "d"))
	inherited := map[string]int{}
	for node, at := range before {
		if at != "c" && after[node] != at {
			t.Fatalf("%s moved from %s to %s", node, at, after[node])
		}
		if at == "c" {
			inherited[after[node]]++
		}
	}
	for _, heir := range []string{"a", "b", "d"} {
		if inherited[heir] < 150 { // of 750
			t.Errorf("%s inherited %d nodes: %v", heir, inherited[heir], inherited)
		}
	}
}

func TestSharesAreAboutEqual(t *testing.T) {
	counts := map[string]int{}
	for _, at := range homes(8000, named("c1.example:9901", "c2.example:9901", "c3.example:9901", "c4.example:9901")) {
		counts[at]++
	}
	for name, n := range counts {
		if n < 1850 || n > 2150 {
			t.Errorf("%s has %d of 8000 nodes", name, n)
		}
	}
	if len(counts) != 4 {
		t.Errorf("shares %v", counts)
	}
}

func TestParse(t *testing.T) {
	tests := map[string]struct {
		text string
		want []Shard
		says string
	}{
		"addresses are names":   {text: "a:9901,b:9901", want: []Shard{{"a:9901", []string{"a:9901"}}, {"b:9901", []string{"b:9901"}}}},
		"a pair has a name":     {text: "east=a:1+b:2, west=c:3", want: []Shard{{"east", []string{"a:1", "b:2"}}, {"west", []string{"c:3"}}}},
		"IPv6":                  {text: "east=[::1]:9901", want: []Shard{{"east", []string{"[::1]:9901"}}}},
		"nothing":               {text: "", says: "no name"},
		"a comma too many":      {text: "a:1,", says: "no name"},
		"no port":               {text: "east=a", says: `"a" is not an address`},
		"no host":               {text: "east=:9901", says: `":9901" is not an address`},
		"a port too high":       {text: "east=a:99010", says: "no port from 1 to 65535"},
		"a name twice":          {text: "east=a:1,east=b:1", says: `shard "east" is there twice`},
		"an address twice":      {text: "east=a:1+a:1", says: "a:1 is there twice"},
		"three of a pair":       {text: "east=a:1+b:1+c:1", says: "has 3 addresses"},
		"a pair without a name": {text: "a:1+b:1", says: `the pair "a:1+b:1" needs a name`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(tt.text)
			if tt.says != "" {
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("error %v, want one that says %s", err, tt.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"a:9901,b:9901", "east=a:1+b:2,west=c:3", "=", "[::1]:1", "a=b=c:1", ",,", "+"} {
		f.Add(seed, "node1")
	}
	f.Fuzz(func(t *testing.T, text, node string) {
		shards, err := Parse(text)
		if err != nil {
			return
		}
		of := Of(node, shards)
		if !slices.ContainsFunc(shards, func(s Shard) bool { return s.Name == of.Name }) || len(of.Addresses) == 0 {
			t.Fatalf("%q belongs to %+v, which is not of %+v", node, of, shards)
		}
		var again []string
		for _, s := range shards {
			again = append(again, s.Name+"="+strings.Join(s.Addresses, "+"))
		}
		same, err := Parse(strings.Join(again, ","))
		if err != nil {
			t.Fatalf("%q was taken, %q is not: %v", text, again, err)
		}
		if diff := cmp.Diff(shards, same); diff != "" {
			t.Fatal(diff)
		}
	})
}
