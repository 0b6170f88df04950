package scaler

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// What is told of a moment does not depend on what comes after it.
func TestWhatIsForetoldKnowsNothingOfWhatComes(t *testing.T) {
	app := foreseen()
	app.Forecast.Season = policy.Daily
	from := aMonday.AddDate(0, 0, 9)
	app.Events = []policy.Event{{Name: "sale", At: from.Add(5 * time.Hour), Duration: time.Hour, Factor: 2, Base: policy.P95SevenDays}}
	tr := trace{at: traces()[0].at}
	whole := tr.days(10)
	other := whole
	cut := 9*1440 + 4*60
	other.Values = append([]float64(nil), whole.Values...)
	for i := cut; i < len(other.Values); i++ {
		other.Values[i] = math.NaN()
	}
	one, says, err := Foretell(app, whole, from, time.Minute)
	if err != nil || !strings.HasPrefix(says, "forecast on") {
		t.Fatal(says, err)
	}
	two, _, err := Foretell(app, other, from, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	told, based := 0, 0
	for at := from; at.Before(whole.Start.Add(time.Duration(cut) * time.Minute)); at = at.Add(20 * time.Second) {
		a, b := decide.Observation{Now: at}, decide.Observation{Now: at}
		one(&a)
		two(&b)
		if (a.Ahead == nil) != (b.Ahead == nil) || a.Ahead != nil && *a.Ahead != *b.Ahead {
			t.Fatalf("%v: %+v and %+v", at, a.Ahead, b.Ahead)
		}
		if a.Ahead != nil {
			told++
		}
		if len(a.Bases) != len(b.Bases) || len(a.Bases) > 0 && a.Bases[0] != b.Bases[0] {
			t.Fatalf("%v: %+v and %+v", at, a.Bases, b.Bases)
		}
		based += len(a.Bases)
	}
	if told == 0 || based == 0 {
		t.Errorf("%d times something was expected, %d times a base was known", told, based)
	}
}

func TestForetellSaysWhatIsWrong(t *testing.T) {
	load := traces()[0].days(7)
	for name, tt := range map[string]struct {
		change func(*policy.App)
		from   time.Time
		says   string
		err    string
		silent bool
	}{
		"nothing to foretell":           {func(a *policy.App) { a.Forecast = nil }, aMonday, "", "", true},
		"a forecast that is off":        {func(a *policy.App) { a.Forecast.Enabled = false }, aMonday, "", "", true},
		"too short a history":           {func(*policy.App) {}, aMonday.AddDate(0, 0, 3), "forecast learning: ", "", false},
		"no signal that tracks":         {func(a *policy.App) { a.Signals[0].Type = policy.Threshold }, aMonday, "", "track", true},
		"a time before the load begins": {func(*policy.App) {}, aMonday.AddDate(0, 0, -1), "", "does not reach", true},
		"a time after it ends":          {func(*policy.App) {}, aMonday.AddDate(0, 0, 8), "", "does not reach", true},
	} {
		t.Run(name, func(t *testing.T) {
			app := foreseen()
			app.Signals = []policy.Signal{app.Signals[0]}
			tt.change(&app)
			hint, says, err := Foretell(app, load, tt.from, 0)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) || !strings.HasPrefix(says, tt.says) || (hint == nil) != tt.silent {
				t.Errorf("hint %v, %q, error %v", hint != nil, says, err)
			}
		})
	}
}
