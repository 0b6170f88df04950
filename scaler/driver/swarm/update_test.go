package swarm

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/scaler/driver"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// object decodes JSON without losing what a Go type would not know.
func object(t *testing.T, data []byte) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestOnlyTheCountChanges(t *testing.T) {
	service := fixture(t, "replicated.json")
	spec, err := setReplicas(service, 5)
	if err != nil {
		t.Fatal(err)
	}
	want := object(t, service)["Spec"].(map[string]any)
	want["Mode"] = map[string]any{"Replicated": map[string]any{"Replicas": float64(5)}}
	if diff := cmp.Diff(want, object(t, spec)); diff != "" {
		t.Errorf("specification (-want +got):\n%s", diff)
	}
}

func TestFieldsThatNobodyKnowsYetSurvive(t *testing.T) {
	service := []byte(`{"Spec":{"Future":{"n":12345678901234567890},"Mode":{"Replicated":{"Replicas":1,"Spread":"a<b"}}}}`)
	spec, err := setReplicas(service, 2)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"Future":{"n":12345678901234567890},"Mode":{"Replicated":{"Replicas":2,"Spread":"a\u003cb"}}}`
	if string(spec) != want {
		t.Errorf("got  %s\nwant %s", spec, want)
	}
}

func TestAServiceWithoutACountIsNotEdited(t *testing.T) {
	for name, service := range map[string]string{
		"global":       string(fixture(t, "global.json")),
		"no spec":      `{"ID":"x"}`,
		"null spec":    `{"Spec":null}`,
		"odd mode":     `{"Spec":{"Mode":"replicated"}}`,
		"null counter": `{"Spec":{"Mode":{"Replicated":null}}}`,
		"torn":         `{"Spec":{"Mode":{"Repl`,
	} {
		if spec, err := setReplicas([]byte(service), 2); err == nil {
			t.Errorf("%s: edited to %s, want an error", name, spec)
		}
	}
}

func TestTheEnginesWordsBecomeOurErrors(t *testing.T) {
	tests := map[string]struct {
		status int
		body   string
		want   error
	}{
		"a stale version, said with 500": {500, `{"message":"rpc error: code = Unknown desc = update out of sequence"}`, driver.ErrConflict},
		"a service that left meanwhile":  {404, `{"message":"service nonesuch not found"}`, driver.ErrNotFound},
		"a specification it won't have":  {400, `{"message":"invalid reservation"}`, driver.ErrRefused},
		"accepted":                       {200, `{"Warnings":null}`, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := answer(tt.status, []byte(tt.body)); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestOtherAnswersAreAnUnknownOutcome(t *testing.T) {
	err := answer(503, []byte("upstream gone\n"))
	for _, known := range []error{driver.ErrConflict, driver.ErrNotFound, driver.ErrRefused, driver.ErrCapacity} {
		if err == nil || errors.Is(err, known) {
			t.Errorf("error %v, want one that is not %v", err, known)
		}
	}
}

// FuzzSetReplicas: whatever a manager says, the edit either fails or yields a
// specification whose count is the one asked for.
func FuzzSetReplicas(f *testing.F) {
	f.Add(fixture(f, "replicated.json"), 5)
	f.Add(fixture(f, "global.json"), 1)
	f.Add([]byte(`{"Spec":{"Mode":{"Replicated":{}}}}`), 0)
	f.Fuzz(func(t *testing.T, service []byte, n int) {
		spec, err := setReplicas(service, n)
		if err != nil {
			return
		}
		var got struct {
			Mode struct{ Replicated map[string]json.RawMessage }
		}
		if err := json.Unmarshal(spec, &got); err != nil {
			t.Fatalf("%s: %v", spec, err)
		}
		var replicas int
		if err := json.Unmarshal(got.Mode.Replicated["Replicas"], &replicas); err != nil || replicas != n {
			t.Errorf("%s has count %d (%v), want %d", spec, replicas, err, n)
		}
	})
}
