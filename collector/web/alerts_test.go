package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/storage"

	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/collector/web"
)

// people is what the pages about alerts are made of in a test.
type people struct {
	alerts    []web.Alert
	silences  []web.Silence
	receivers []web.Receiver
	events    []web.Event
	trouble   error
}

func (p *people) Alerts(context.Context) []web.Alert              { return p.alerts }
func (p *people) Silences(context.Context) ([]web.Silence, error) { return p.silences, p.trouble }
func (p *people) Receivers() []web.Receiver                       { return p.receivers }
func (p *people) Events(context.Context) ([]web.Event, error)     { return p.events, p.trouble }
func (p *people) Filter(text string) (web.Filter, error) {
	name, value, ok := strings.Cut(strings.Trim(text, "{}"), "=")
	if !ok {
		return web.Filter{}, errors.New("no matcher: " + text)
	}
	value = strings.Trim(value, `"`)
	return web.Filter{
		Matchers: []web.Matcher{{Name: name, Op: "=", Value: value}},
		Match:    func(labels map[string]string) bool { return labels[name] == value },
	}, nil
}

// alertsWorld has two alerts, of which one is silenced.
func alertsWorld(t *testing.T) (*world, *people) {
	w := newWorld(t)
	p := &people{
		alerts: []web.Alert{
			{
				Name: "NearLimit", Severity: "warning", Since: now.Add(-time.Minute), Summary: "web uses 95%", Receivers: []string{"ops"},
				Labels: map[string]string{"alertname": "NearLimit", "name": `we"b`}, Source: "http://plimsoll.example/graph?g0.expr=up",
			},
			{
				Name: "Down", Severity: "critical", Since: now.Add(-time.Hour), Receivers: []string{"pager", "ops"}, Muted: true, SilencedBy: []string{"x"},
				Labels: map[string]string{"alertname": "Down"},
			},
		},
		silences:  []web.Silence{{ID: "id-1", Matchers: `{alertname="Down"}`, Author: "ann", Comment: "planned", Starts: now, Ends: now.Add(time.Hour)}},
		receivers: []web.Receiver{{Name: "ops", Integrations: []web.Integration{{Name: "webhook[0]", Sent: 3, Failed: 1, Attempted: now, Problem: "refused"}}}, {Name: "pager"}},
		events:    []web.Event{{At: now.Add(-time.Second), Kind: "notified", What: "NearLimit", To: "ops/webhook[0]"}},
	}
	w.opts.Alerting = p
	return w, p
}

// A message links to #/alerts?receiver=x; the script asks for the part of that name.
func TestTheLinkOfAMessageShowsTheAlertsOfItsReceiver(t *testing.T) {
	w, _ := alertsWorld(t)
	h := w.page()
	all := get(h, "/?fragment=alerts").Body.String()
	same(t, row(t, all, "NearLimit"), "NearLimit", "warning", "active", "1 min 0 s ago", "web uses 95%", `name=we"b`, "ops", "silence")
	same(t, row(t, all, "Down"), "Down", "critical", "silenced", "1 h 0 min ago", "", "", "pager, ops", "silence")
	same(t, row(t, all, "ops"), "ops", "webhook[0]", "3", "1", "0 s ago", "refused")
	same(t, row(t, all, "pager"), "pager", "none: nobody is told", "–", "–", "–", "–")
	same(t, row(t, all, "1 s ago"), "1 s ago", "notified", "NearLimit", "ops/webhook[0]", "")

	one := get(h, "/?fragment=alerts&receiver=pager").Body.String()
	if strings.Contains(one, "NearLimit</a>") || !strings.Contains(one, "for receiver pager") || !strings.Contains(one, ">Down<") {
		t.Errorf("not the alerts of that receiver:\n%s", one)
	}
	if got := get(h, "/?fragment=alerts&receiver=nosuch").Body.String(); !strings.Contains(got, "No alert fires that is asked for") {
		t.Errorf("for a receiver that is none:\n%s", got)
	}
	if got := get(h, `/?fragment=alerts&filter=`+url.QueryEscape(`{name="we\"b"}`)).Body.String(); strings.Contains(got, ">Down<") {
		t.Errorf("the filter does not filter:\n%s", got)
	}
	if got := get(h, `/?fragment=alerts&filter=nonsense`).Body.String(); !strings.Contains(got, "no matcher: nonsense") {
		t.Errorf("what is wrong with the filter is not said:\n%s", got)
	}
}

// The link beside an alert leads to a form that has the alert's labels in it.
func TestASilenceBeginsWithTheLabelsOfItsAlert(t *testing.T) {
	w, _ := alertsWorld(t)
	h := w.page()
	found := regexp.MustCompile(`href="#/silences/new\?([^"]*)"`).FindAllStringSubmatch(get(h, "/?fragment=alerts").Body.String(), -1)
	if len(found) != 2 {
		t.Fatalf("%d links to new silences, want one for each alert", len(found))
	}
	values, err := url.ParseQuery(strings.ReplaceAll(found[0][1], "&amp;", "&"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := values.Get("filter"), `{alertname="NearLimit",name="we\"b"}`; got != want {
		t.Errorf("filter %s, want %s", got, want)
	}
	form := get(h, "/?fragment=silences%2Fnew&"+found[1][1]).Body.String()
	for _, want := range []string{`value="alertname"`, `value="Down"`, `<option selected>=</option>`, `id="new-silence"`} {
		if !strings.Contains(form, want) {
			t.Errorf("the form lacks %s:\n%s", want, form)
		}
	}
}

func TestSilencesAreListedWithAButtonThatEndsThem(t *testing.T) {
	w, p := alertsWorld(t)
	h := w.page()
	for _, path := range []string{"/?fragment=silences", "/?fragment=silences%2Fid-1"} {
		if got := get(h, path).Body.String(); !strings.Contains(got, `data-expire="id-1"`) || !strings.Contains(got, "planned") {
			t.Errorf("%s:\n%s", path, got)
		}
	}
	p.trouble = errors.New("disk on fire")
	if got := get(h, "/?fragment=silences").Body.String(); !strings.Contains(got, "disk on fire") {
		t.Errorf("trouble is kept quiet:\n%s", got)
	}
}

func TestAPartThatThereIsNotIsNotFound(t *testing.T) {
	w, _ := alertsWorld(t)
	if code := get(w.page(), "/?fragment=nosuch").Code; code != http.StatusNotFound {
		t.Errorf("%d, want 404", code)
	}
	if code := get(newWorld(t).page(), "/?fragment=alerts").Code; code != http.StatusNotFound {
		t.Errorf("%d without alerting, want 404", code)
	}
}

// ranges evaluates over time.
func ranges(s storage.Queryable) func(context.Context, string, time.Time, time.Time, time.Duration) ([]query.Line, error) {
	engine := query.NewEngine(query.EngineOptions{})
	return func(ctx context.Context, promql string, from, to time.Time, step time.Duration) ([]query.Line, error) {
		return query.Range(ctx, engine, s, promql, from, to, step)
	}
}

func TestTheLinkOfAnAlertShowsItsQuery(t *testing.T) {
	w := newWorld(t)
	w.put(0, always(1), "up", "node", "n1")
	w.put(0, rising(1), "up", "node", "n2")
	w.opts.Range = ranges(w.store)
	h := w.page()
	page := get(h, "/graph?g0.expr="+url.QueryEscape(`up >= 0`)+"&g0.tab=1").Body.String()
	same(t, row(t, page, `up{node="n1"}`), `up{node="n1"}`, "1")
	same(t, row(t, page, `up{node="n2"}`), `up{node="n2"}`, "40")
	if !strings.Contains(page, ">up &gt;= 0</textarea>") {
		t.Error("the query is not on the page")
	}
	if n := strings.Count(page, "<polyline"); n != 2 {
		t.Errorf("%d lines, want one for each series", n)
	}

	for name, tt := range map[string]struct{ query, want string }{
		"a scalar":                   {"g0.expr=1%2B1", ">2<"},
		"nothing":                    {"g0.expr=nosuch", "The query gives nothing now"},
		"a mistake":                  {"g0.expr=up%28", "It could not be evaluated"},
		"a range that is none":       {"g0.expr=up&g0.range_input=soon", "want a duration such as 1h"},
		"no query":                   {"", "<textarea"},
		"a query that is no text":    {"g0.expr=%3Cscript%3Ealert%281%29%3C%2Fscript%3E", "&lt;script&gt;"},
		"a time that is not an hour": {"g0.expr=up&g0.range_input=10m", "<polyline"},
	} {
		t.Run(name, func(t *testing.T) {
			r := get(h, "/graph?"+tt.query)
			if page := r.Body.String(); r.Code != http.StatusOK || !strings.Contains(page, tt.want) || strings.Contains(page, "<script>") {
				t.Errorf("%d, want %s in\n%s", r.Code, tt.want, page)
			}
		})
	}
}

// A gap in the samples is a gap in the line.
func TestWhatIsNotKnownIsNotDrawn(t *testing.T) {
	w := newWorld(t)
	w.put(0, always(1), "up", "node", "n1")
	w.put(40*time.Minute, always(1), "up", "node", "n1")
	w.opts.Range = ranges(w.store)
	page := get(w.page(), "/graph?g0.expr=up").Body.String()
	if n := strings.Count(page, "<polyline"); n != 2 {
		t.Errorf("%d stretches are drawn, want two with a gap between:\n%s", n, page)
	}
}

// The script is the only code of the page; what it is asked for must exist.
func TestTheScriptFitsThePage(t *testing.T) {
	w, _ := alertsWorld(t)
	h := w.page()
	script := get(h, "/assets/page.js").Body.String()
	page := get(h, "/").Body.String() + get(h, "/?fragment=silences").Body.String() + get(h, "/?fragment=silences%2Fnew").Body.String()
	for _, m := range regexp.MustCompile(`querySelector(?:All)?\("([#.])([a-z-]+)"\)`).FindAllStringSubmatch(script, -1) {
		want := map[string]string{"#": ` id="` + m[2] + `"`, ".": ` class="` + m[2] + `"`}[m[1]]
		if !strings.Contains(page, want) {
			t.Errorf("the script looks for %s%s, which is on no page", m[1], m[2])
		}
	}
	for _, name := range []string{"author", "comment", "hours", "name", "op", "value"} {
		if !strings.Contains(page, `name="`+name+`"`) {
			t.Errorf("the form has no field %s", name)
		}
	}
}

// What the script asks for, run by Node: the links of messages lead to parts,
// and a person's form becomes what Alertmanager's API takes.
func TestTheScriptAsksForWhatTheLinkNames(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		const missing = "node is not installed, which runs the script of the page"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	out, err := exec.CommandContext(t.Context(), node, "testdata/page_test.js", "static/page.js").Output()
	if err != nil {
		t.Fatal(err)
	}
	type request struct {
		Method, URL, Type string
		Body              *struct {
			Matchers []struct {
				Name, Value      string
				IsRegex, IsEqual bool
			}
			CreatedBy, Comment string
			StartsAt, EndsAt   time.Time
		}
	}
	var did struct {
		Asked        []request
		Prevented    bool
		After, Shown string
	}
	if err := json.Unmarshal(out, &did); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	var asked []string
	for _, r := range did.Asked {
		asked = append(asked, r.Method+" "+r.URL)
	}
	want := []string{
		"GET ?fragment=&", "GET ?fragment=alerts&receiver=ops+team", "GET ?fragment=silences%2Fnew&filter=%7Ba%3D%22b%3Fc%22%7D",
		"POST api/v2/silences", "DELETE api/v2/silence/id%2F1", "GET ?fragment=silences&",
	}
	if !slices.Equal(asked, want) {
		t.Fatalf("it asks for\n%q, want\n%q", asked, want)
	}
	post := did.Asked[3]
	if b := post.Body; post.Type != "application/json" || b.CreatedBy != "ann" || b.Comment != "why" || b.EndsAt.Sub(b.StartsAt) != 90*time.Minute || len(b.Matchers) != 2 {
		t.Errorf("the form becomes %s", out)
	}
	if m := post.Body.Matchers; !m[0].IsEqual || m[0].IsRegex || m[1].IsEqual || !m[1].IsRegex || m[1].Name != "c" || m[1].Value != "d.*" {
		t.Errorf("its conditions become %+v", m)
	}
	if !did.Prevented || did.After != "#/silences" || did.Shown != "answer to ?fragment=silences&" {
		t.Errorf("it ends at %s with %q", did.After, did.Shown)
	}
}
