package journal

import (
	"encoding/json"
	"testing"
)

func TestWhatPeopleSayIsInTheChain(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir})
	for i, policy := range []string{"web", "api", AllPolicies, "web"} {
		record(t, j, scaled("web", i))
		if err := j.RecordAct(Act{ID: string(rune('a' + i)), At: noon, Verb: VerbPause, Policy: policy, By: "ann", Reason: `"seq":1,"prev":"}`}); err != nil {
			t.Fatal(err)
		}
	}
	again := open(t, Options{Dir: dir})
	for q, want := range map[ActQuery]string{{}: "dcba", {Policy: "web"}: "dca", {Limit: 2}: "dc", {Policy: "api"}: "cb"} {
		acts, err := again.Acts(q)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, a := range acts {
			got += a.ID
		}
		if got != want {
			t.Errorf("%+v: %s, want %s", q, got, want)
		}
	}
	if v := verify(t, dir); v.Acts != 4 || v.Entries != 4 || len(v.Breaks) != 0 {
		t.Errorf("%+v", v)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(lines(t, dir)[3]), &m); err != nil || m["act"] == nil || m["hash"] == nil {
		t.Errorf("%s: %v", lines(t, dir)[3], err)
	}
}
