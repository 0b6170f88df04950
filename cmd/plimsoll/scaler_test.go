package main

import (
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/collector/inventory"
)

func TestOnlyAgentsThatFellSilentAreLost(t *testing.T) {
	now := time.Unix(1e9, 0)
	node := func(name string, seen, lost time.Duration) inventory.Node {
		return inventory.Node{Name: name, Seen: now.Add(seen), Lost: now.Add(lost)}
	}
	heard, lost := countAgents([]inventory.Node{
		{Name: "here", Seen: now},
		{Name: "recalled", Seen: now, Recalled: true},
		node("silent", -15*time.Second, 0),
		node("goodbye", -time.Second, 0),
		node("given up by another run", -10*time.Hour, 0),
	}, func(name string) bool { return name == "goodbye" })
	if heard != 1 || len(lost) != 1 {
		t.Errorf("%d heard, %d lost, want one each", heard, len(lost))
	}
}
