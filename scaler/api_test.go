package scaler

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/driver/fake"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// served is a scaler with one policy and a journal, which is not running.
func served(t *testing.T) *Scaler {
	t.Helper()
	j := open(t, journal.Options{Dir: t.TempDir()})
	s, err := New(Options{
		Policies: []policy.App{{Name: "web", Interval: time.Second, Target: policy.Target{Driver: "fake", Service: "web"}}},
		Query:    answers(nil),
		Drivers:  map[string]driver.Driver{"fake": &fake.Platform{}},
		Journal:  j,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []journal.Entry{hold("web", 0), hold("web", 2), hold("web", 4), scaled("web", 6)} {
		s.keep(e)
	}
	return s
}

// get asks and decodes what is in the envelope into data.
func get(t *testing.T, s *Scaler, path string, data any) (code int, problem string) {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	var body struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("%s: %v in %q", path, err, w.Body)
	}
	if body.Status == "success" {
		if err := json.Unmarshal(body.Data, data); err != nil {
			t.Fatal(err)
		}
	}
	return w.Code, body.Error
}

func TestDecisionsAreServed(t *testing.T) {
	s := served(t)
	tests := map[string][]string{
		"":                                    {"web out 6s..6s ×1", "web hold 2s..4s ×2", "web hold 0s..0s ×1"},
		"?policy=web&limit=1":                 {"web out 6s..6s ×1"},
		"?policy=web&at=2026-11-21T12:00:03Z": {"web hold 2s..4s ×2"},
		"?policy=web&at=1795262403.5":         {"web hold 2s..4s ×2"},
		"?start=2026-11-21T12:00:05Z":         {"web out 6s..6s ×1"},
		"?start=2026-11-21T12:00:03Z&end=1795262403": {"web hold 2s..4s ×2"},
		"?policy=nobody":           nil,
		"?at=2026-11-21T11:00:00Z": nil,
	}
	for form, want := range tests {
		var entries []journal.Entry
		if code, problem := get(t, s, DecisionsPath+form, &entries); code != http.StatusOK {
			t.Errorf("%q: %d %s", form, code, problem)
		}
		if diff := cmp.Diff(want, brief(entries)); diff != "" {
			t.Errorf("%q: %s", form, diff)
		}
	}
}

func TestABadRequestIsToldWhatToDo(t *testing.T) {
	s := served(t)
	for form, hint := range map[string]string{
		"?at=yesterday": "RFC 3339",
		"?start=NaN":    "RFC 3339",
		"?end=1e300":    "RFC 3339",
		"?limit=0":      "from 1 to 1000",
		"?limit=many":   "from 1 to 1000",
		"?limit=100000": "from 1 to 1000",
		"?at=1&start=0": "leave out",
	} {
		code, problem := get(t, s, DecisionsPath+form, nil)
		if code != http.StatusBadRequest || !strings.Contains(problem, hint) {
			t.Errorf("%s: %d %q, want 400 with %q", form, code, problem, hint)
		}
	}
}

func TestPoliciesAreServedWithTheirLastTick(t *testing.T) {
	var got []Status
	if code, problem := get(t, served(t), PoliciesPath, &got); code != http.StatusOK {
		t.Fatal(code, problem)
	}
	if len(got) != 1 || got[0].Policy.Name != "web" || got[0].Last == nil || got[0].Last.Result != journal.Accepted {
		t.Errorf("policies %+v", got)
	}
}

func TestTheAPIOnlyReads(t *testing.T) {
	s := served(t)
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(method, DecisionsPath, nil))
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}
