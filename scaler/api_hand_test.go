package scaler

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/driver/fake"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// governed is a scaler with two policies, which is not running.
func governed(t testing.TB, j *journal.Journal) *Scaler {
	t.Helper()
	web, api := holding(policy.Active), holding(policy.Advise)
	web.Min = 2
	api.Name, api.Target.Service = "checkout", "shop_checkout"
	s, err := New(Options{
		Policies: []policy.App{web, api}, Query: answers(nil), Drivers: map[string]driver.Driver{"fake": &fake.Platform{}},
		Journal: j, HandFile: filepath.Join(t.TempDir(), "hand.json"),
		Who: func(r *http.Request) (string, bool) {
			name, _, ok := r.BasicAuth()
			return name, ok
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// post sends a body to the API.
func post(s *Scaler, path, body string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func decodeAnswer(t *testing.T, w *httptest.ResponseRecorder) HandAnswer {
	t.Helper()
	var body struct {
		Status string
		Data   HandAnswer
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Status != "success" {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return body.Data
}

func TestWhoSaidWhatFromWhereAndWhyIsInTheAuditLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := governed(t, open(t, journal.Options{Dir: t.TempDir()}))
		decodeAnswer(t, post(s, PausePath, `{"policy":"web","direction":"in","for":"2h","reason":"load test","by":"bob@laptop"}`, nil))
		<-time.After(time.Second)
		a := decodeAnswer(t, post(s, OverridePath, `{"policy":"fake/shop_checkout","floor":4,"reason":"sale","by":"bob@laptop"}`, func(r *http.Request) { r.SetBasicAuth("alice", "x") }))
		if want := time.Now().Add(time.Hour); !a.Act.Until.Equal(want) || a.Warning != "" || a.Act.Policy != "checkout" {
			t.Errorf("%+v, want an hour for policy checkout", a)
		}
		<-time.After(time.Second)
		decodeAnswer(t, post(s, ResumePath, `{"policy":"web","reason":"done"}`, nil))

		var acts []journal.Act
		if code, problem := get(t, s, AuditPath, &acts); code != http.StatusOK {
			t.Fatal(code, problem)
		}
		if len(acts) != 3 {
			t.Fatalf("audit %+v", acts)
		}
		resume, override, pause := acts[0], acts[1], acts[2]
		if pause.Verb != journal.VerbPause || pause.By != "bob@laptop" || pause.Proven || pause.From != "192.0.2.1" || pause.Reason != "load test" || pause.Direction != decide.PauseIn || !pause.Until.Equal(pause.At.Add(2*time.Hour)) {
			t.Errorf("pause %+v", pause)
		}
		if override.By != "alice" || !override.Proven || override.Says != "bob@laptop" || override.Floor != 4 {
			t.Errorf("override %+v", override)
		}
		if resume.Verb != journal.VerbResume || resume.By != "somebody" || resume.ID == pause.ID || resume.Order <= pause.Order {
			t.Errorf("resume %+v", resume)
		}
		if code, _ := get(t, s, AuditPath+"?policy=checkout&limit=5", &acts); code != http.StatusOK || len(acts) != 1 {
			t.Errorf("of checkout: %d %+v", code, acts)
		}
		var one Status
		if code, _ := get(t, s, PoliciesPath+"/checkout", &one); code != http.StatusOK || one.Hand.Override == nil || one.Hand.Override.Reason != "sale" {
			t.Errorf("policy %d %+v", code, one.Hand)
		}
	})
}

func TestWhatIsNotUnderstoodIsRefusedWithWhatToDo(t *testing.T) {
	s := governed(t, nil)
	for name, tt := range map[string]struct {
		path, body string
		code       int
		want       string
	}{
		"nothing":                    {PausePath, ``, 400, `want {\"policy\":\"name\"`},
		"a list":                     {PausePath, `[]`, 400, "not understood"},
		"a typo":                     {PausePath, `{"policy":"web","raeson":"x"}`, 400, "raeson"},
		"two":                        {PausePath, `{"policy":"web","reason":"x"} {}`, 400, "more than one"},
		"a novel":                    {PausePath, `{"policy":"web","reason":"` + strings.Repeat("x", 1<<15) + `"}`, 400, "too large"},
		"no reason":                  {PausePath, `{"policy":"web"}`, 400, "reason is needed"},
		"a reason of spaces":         {PausePath, `{"policy":"web","reason":"  "}`, 400, "reason is needed"},
		"a long reason":              {PausePath, `{"policy":"web","reason":"` + strings.Repeat("x", 501) + `"}`, 400, "500 at most"},
		"a reason of two lines":      {PausePath, `{"policy":"web","reason":"a\nb"}`, 400, "cannot be printed"},
		"a name of two lines":        {PausePath, `{"policy":"web","reason":"x","by":"a\nb"}`, 400, "cannot be printed"},
		"no policy":                  {PausePath, `{"reason":"x"}`, 400, "policy is needed"},
		"a policy with a typo":       {PausePath, `{"policy":"wep","reason":"x"}`, 404, `did you mean \"web\"?`},
		"a policy that is none":      {PausePath, `{"policy":"zzzzzzzz","reason":"x"}`, 404, "there are: checkout, web"},
		"a direction that is none":   {PausePath, `{"policy":"web","direction":"up","reason":"x"}`, 400, "want in, out or all"},
		"a pause with a floor":       {PausePath, `{"policy":"web","floor":3,"reason":"x"}`, 400, "that is an override"},
		"until and for":              {PausePath, `{"policy":"web","for":"1h","until":"2100-01-01T00:00:00Z","reason":"x"}`, 400, "give one of them"},
		"a time that is over":        {PausePath, `{"policy":"web","until":"2001-01-01T00:00:00Z","reason":"x"}`, 400, "is over already"},
		"a time that is none":        {PausePath, `{"policy":"web","until":"tomorrow","reason":"x"}`, 400, "2026-11-21T22:00:00Z"},
		"a span that is none":        {PausePath, `{"policy":"web","for":"5","reason":"x"}`, 400, "such as 30m, 2h or 3d"},
		"a span of nothing":          {PausePath, `{"policy":"web","for":"0s","reason":"x"}`, 400, "such as 30m"},
		"for ever":                   {PausePath, `{"policy":"web","for":"31d","reason":"x"}`, 400, "30 days is the longest"},
		"a resume with a span":       {ResumePath, `{"policy":"web","for":"1h","reason":"x"}`, 400, "nothing else"},
		"a resume of what goes on":   {ResumePath, `{"policy":"web","reason":"x"}`, 409, "has no pause to end"},
		"a release of nothing":       {ReleasePath, `{"policy":"web","reason":"x"}`, 409, "has no override to end"},
		"an override of nothing":     {OverridePath, `{"policy":"web","reason":"x"}`, 400, "needs a floor, a ceiling, or both"},
		"a floor above the ceiling":  {OverridePath, `{"policy":"web","floor":5,"ceiling":4,"reason":"x"}`, 400, "above the ceiling"},
		"a floor below zero":         {OverridePath, `{"policy":"web","floor":-5,"reason":"x"}`, 400, "above 0"},
		"a floor above max":          {OverridePath, `{"policy":"web","floor":21,"reason":"x"}`, 400, "min 2 and max 20"},
		"a ceiling below min":        {OverridePath, `{"policy":"web","ceiling":1,"reason":"x"}`, 400, "min 2 and max 20"},
		"half a replica":             {OverridePath, `{"policy":"web","floor":2.5,"reason":"x"}`, 400, "floor"},
		"an override of all":         {OverridePath, `{"policy":"*","floor":5,"reason":"x"}`, 400, "of one policy"},
		"an override in a direction": {OverridePath, `{"policy":"web","floor":5,"direction":"in","reason":"x"}`, 400, "that is a pause"},
	} {
		t.Run(name, func(t *testing.T) {
			if w := post(s, tt.path, tt.body, nil); w.Code != tt.code || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("%d %s, want %d and %q", w.Code, w.Body, tt.code, tt.want)
			}
		})
	}
	if all := s.hands.all(); len(all) > 0 {
		t.Errorf("something was done: %+v", all)
	}
}

func TestWhatCountsOfAPolicyThatIsNoMoreCanBeEnded(t *testing.T) {
	s := governed(t, nil)
	decodeAnswer(t, post(s, PausePath, `{"policy":"web","reason":"x"}`, nil))
	decodeAnswer(t, post(s, OverridePath, `{"policy":"checkout","floor":2,"reason":"x"}`, nil))
	if err := s.Reload(nil); err != nil {
		t.Fatal(err)
	}
	for path, body := range map[string]string{
		PausePath:    `{"policy":"web","reason":"more of it"}`,
		OverridePath: `{"policy":"checkout","floor":3,"reason":"more of it"}`,
		ReleasePath:  `{"policy":"web","reason":"it has a pause only"}`,
		ResumePath:   `{"policy":"checkout","reason":"it has an override only"}`,
	} {
		if w := post(s, path, body, nil); w.Code != http.StatusNotFound {
			t.Errorf("%s %s: %d %s", path, body, w.Code, w.Body)
		}
	}
	decodeAnswer(t, post(s, ResumePath, `{"policy":"web","reason":"it is gone"}`, nil))
	decodeAnswer(t, post(s, ReleasePath, `{"policy":"checkout","reason":"it is gone"}`, nil))
	if s.hands.of("web").Pause != nil || s.hands.of("checkout").Override != nil {
		t.Errorf("it counts yet: %+v", s.hands.all())
	}
	if w := post(s, ResumePath, `{"policy":"web","reason":"again"}`, nil); w.Code != http.StatusNotFound {
		t.Errorf("a second time: %d %s", w.Code, w.Body)
	}
}

// A page on another site, open in the browser of someone who may, changes nothing.
func TestAPageElsewhereHasNoSay(t *testing.T) {
	s := governed(t, nil)
	const body = `{"policy":"web","reason":"x"}`
	for name, tt := range map[string]struct {
		change func(*http.Request)
		code   int
	}{
		"from another site":   {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, http.StatusForbidden},
		"from another origin": {func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, http.StatusForbidden},
		"as a form could":     {func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, http.StatusUnsupportedMediaType},
		"as another form":     {func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, http.StatusUnsupportedMediaType},
		"by a link":           {func(r *http.Request) { r.Method = http.MethodGet }, http.StatusMethodNotAllowed},
	} {
		if w := post(s, PausePath, body, tt.change); w.Code != tt.code {
			t.Errorf("%s: %d, want %d", name, w.Code, tt.code)
		}
	}
	if s.hands.of("web").Pause != nil {
		t.Error("it is paused")
	}
	if w := post(s, PausePath, body, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") }); w.Code != http.StatusOK {
		t.Errorf("from its own page: %d", w.Code)
	}
}

func TestWhoeverAsksTooFastIsToldToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := governed(t, nil)
		const body = `{"policy":"web","reason":"x"}`
		for range handsAtOnce {
			if w := post(s, PausePath, body, nil); w.Code != http.StatusOK {
				t.Fatal(w.Code, w.Body)
			}
		}
		if w := post(s, PausePath, body, nil); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
		<-time.After(time.Second)
		if w := post(s, PausePath, body, nil); w.Code != http.StatusOK {
			t.Errorf("a second later: %d", w.Code)
		}
	})
}

// FuzzHandBody: whatever is sent, what is taken keeps to the rules.
func FuzzHandBody(f *testing.F) {
	f.Add(`{"policy":"web","direction":"in","for":"2h","reason":"x"}`, byte(0))
	f.Add(`{"policy":"web","floor":5,"ceiling":9,"until":"2026-12-01T00:00:00Z","reason":"x","by":"me"}`, byte(2))
	f.Add(`{"policy":"*","reason":"\u0000"}`, byte(1))
	f.Add(`{"policy":"fake/web","floor":1e9,"for":"-1h"}`, byte(2))
	paths := []string{PausePath, ResumePath, OverridePath, ReleasePath}
	f.Fuzz(func(t *testing.T, body string, which byte) {
		s := governed(t, nil)
		w := post(s, paths[int(which)%len(paths)], body, nil)
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%d %q", w.Code, w.Body)
		}
		if w.Code != http.StatusOK {
			if w.Code/100 != 4 || len(s.hands.all()) != 0 || !bytes.Contains(w.Body.Bytes(), []byte(`"error"`)) {
				t.Fatalf("%d %s %+v", w.Code, w.Body, s.hands.all())
			}
			return
		}
		a := decodeAnswer(t, w).Act
		left := a.Until.Sub(a.At)
		if strings.TrimSpace(a.Reason) == "" || a.By == "" || checkAct(a) != nil || left <= 0 || left > handMost {
			t.Errorf("%q is taken as %+v", body, a)
		}
		if a.Verb == journal.VerbOverride && (a.Floor > 20 || a.Ceiling > 20 || a.Floor+a.Ceiling < 2) {
			t.Errorf("%q passes the bounds: %+v", body, a)
		}
	})
}
