package scaler

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/internal/chain"
	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

func TestAWorkloadIsAskedForByAnyOfItsNames(t *testing.T) {
	s := served(t)
	targeted := func(name, target string, seconds int) journal.Entry {
		e := scaled(name, seconds)
		e.Target = target
		return e
	}
	s.keep(targeted("shop", "swarm/shop_web", 7))
	s.keep(targeted("other", "swarm/shop", 8))
	for form, want := range map[string][]string{
		"?workload=web&limit=1":      {"web out 6s..6s ×1"},
		"?workload=fake/web&limit=1": {"web out 6s..6s ×1"}, // by the policy in force
		"?workload=swarm/shop_web":   {"shop out 7s..7s ×1"},
		"?workload=shop_web":         {"shop out 7s..7s ×1"},
		"?workload=hop_web":          nil,
	} {
		var entries []journal.Entry
		if code, problem := get(t, s, DecisionsPath+form, &entries); code != http.StatusOK {
			t.Errorf("%q: %d %s", form, code, problem)
		}
		if diff := cmp.Diff(want, brief(entries)); diff != "" {
			t.Errorf("%q: %s", form, diff)
		}
	}
}

func TestADecisionIsServedForReplay(t *testing.T) {
	s := served(t)
	text, err := os.ReadFile("journal/testdata/policies.yml")
	if err != nil {
		t.Fatal(err)
	}
	file, err := policy.Parse("policies.yml", text, policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	app := file.Apps[0]
	var past decide.State
	o := decide.Observation{Now: noon.Add(time.Minute), Desired: 3, Ready: 3}
	_, d := decide.Next(app, past, o)
	e := journal.Entry{Policy: app.Name, Target: app.Target.String(), Mode: app.Mode, Observation: o, Decision: d, App: &app, State: &past}
	s.keep(e)
	e.Observation.Now = o.Now.Add(2 * time.Second)
	_, e.Decision = decide.Next(app, past, e.Observation)
	s.keep(e) // not written yet
	var entries []journal.Entry
	if code, problem := get(t, s, DecisionsPath+"?limit=2&inputs=true", &entries); code != http.StatusOK || len(entries) != 2 {
		t.Fatal(code, problem, len(entries))
	}
	for i, e := range entries {
		if e.App == nil || e.State == nil {
			t.Errorf("%s comes without its inputs", e.ID)
		}
		var r journal.Record
		if code, problem := get(t, s, DecisionsPath+"/"+e.ID, &r); code != http.StatusOK {
			t.Fatal(code, problem)
		}
		if got, err := journal.Replay(r); err != nil || !got.Same || r.Written != (i == 1) {
			t.Errorf("%s: %+v, error %v", e.ID, got, err)
		}
	}
	if code, problem := get(t, s, DecisionsPath+"/000000000", nil); code != http.StatusNotFound || !strings.Contains(problem, "too old to be kept") {
		t.Errorf("%d %s", code, problem)
	}
	for _, form := range []string{"?inputs=yes", "?workload=a&policy=b"} {
		if code, problem := get(t, s, DecisionsPath+form, nil); code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", form, code, problem)
		}
	}
}

func TestTheChainIsLookedAtOnRequest(t *testing.T) {
	s := served(t)
	var v journal.Verification
	if code, problem := get(t, s, JournalPath, &v); code != http.StatusOK || len(v.Breaks) != 0 || v.Entries == 0 {
		t.Fatalf("%d %s %+v", code, problem, v)
	}
	if code, _ := get(t, s, JournalPath+"?witness="+v.Head.String(), &v); code != http.StatusOK || len(v.Breaks) != 0 {
		t.Errorf("%d %+v", code, v)
	}
	other := chain.Link{Seq: v.Head.Seq + 5}
	if code, _ := get(t, s, JournalPath+"?witness="+other.String(), &v); code != http.StatusOK || len(v.Breaks) != 1 {
		t.Errorf("%d %+v", code, v)
	}
	if code, problem := get(t, s, JournalPath+"?witness=1", nil); code != http.StatusBadRequest {
		t.Errorf("%d %s", code, problem)
	}
	s.journal = nil
	for _, path := range []string{JournalPath, DecisionsPath + "/000000000"} {
		if code, problem := get(t, s, path, nil); code != http.StatusNotFound || !strings.Contains(problem, "no journal") {
			t.Errorf("%s: %d %s", path, code, problem)
		}
	}
}

func TestAVerificationThatCannotBeIsToldByItsReason(t *testing.T) {
	for err, want := range map[error]int{
		journal.ErrVerifying: http.StatusServiceUnavailable, // come again
		syscall.EIO:          http.StatusInternalServerError,
	} {
		w := httptest.NewRecorder()
		verifyJournal(func(chain.Link) (journal.Verification, error) { return journal.Verification{}, err }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, JournalPath, nil))
		if w.Code != want || !strings.Contains(w.Body.String(), err.Error()) {
			t.Errorf("%v: %d %s", err, w.Code, w.Body)
		}
	}
}
