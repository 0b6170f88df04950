package scaler

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/conf"
	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// The paths by which people have their say.
const (
	PausePath    = "/api/plimsoll/v1/scaler/pause"
	ResumePath   = "/api/plimsoll/v1/scaler/resume"
	OverridePath = "/api/plimsoll/v1/scaler/override"
	ReleasePath  = "/api/plimsoll/v1/scaler/release"
	AuditPath    = "/api/plimsoll/v1/scaler/audit"
)

// maxHandBody is the largest request, in bytes.
const maxHandBody = 16 << 10

// What may be asked for in a row, and each second after that.
const (
	handsAtOnce = 100
	handsEach   = time.Second
)

// HandRequest is what a person asks for.
type HandRequest struct {
	// Policy is its name, or its target: "swarm/shop_web". journal.AllPolicies is all, for
	// a pause and its end.
	Policy string `json:"policy"`
	// Direction of a pause: in, out or all.
	Direction decide.Pause `json:"direction,omitempty"`
	// Floor and Ceiling of an override, in replicas, within min and max.
	Floor   int `json:"floor,omitempty"`
	Ceiling int `json:"ceiling,omitempty"`
	// Until is when it ends, RFC 3339, or For how long it lasts: "2h", "3d". An hour
	// if there is neither; 30 days at most.
	Until string `json:"until,omitempty"`
	For   string `json:"for,omitempty"`
	// Reason is needed.
	Reason string `json:"reason"`
	// By is who asks, where the collector does not ask for a password.
	By string `json:"by,omitempty"`
}

// HandAnswer is what came of a request.
type HandAnswer struct {
	Act journal.Act `json:"act"`
	// Warning is what is wrong though it counts, empty if nothing is.
	Warning string `json:"warning,omitempty"`
}

// refusal is why a request cannot be met.
type refusal struct {
	code int
	kind string
	err  error
}

func badRequest(err error) *refusal { return &refusal{http.StatusBadRequest, "bad_data", err} }

// serveHand answers requests of one verb.
func (s *Scaler) serveHand(verb journal.Verb) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.pace.Allow() {
			s.hands.metrics.refused.Inc()
			w.Header().Set("Retry-After", strconv.Itoa(int(handsEach.Seconds())))
			complain(w, http.StatusTooManyRequests, "unavailable", fmt.Errorf("more than %d requests in a row: try again in a second", handsAtOnce))
			return
		}
		a, refused := s.readHand(verb, w, r)
		if refused != nil {
			complain(w, refused.code, refused.kind, refused.err)
			return
		}
		a, err := s.hands.say(a)
		switch {
		case errors.Is(err, errNothingToEnd):
			complain(w, http.StatusConflict, "conflict", fmt.Errorf("policy %s has no %s to end", a.Policy, map[journal.Verb]string{journal.VerbResume: "pause", journal.VerbRelease: "override"}[verb]))
			return
		case err != nil:
			s.metrics.journalErrors.Inc()
			complain(w, http.StatusInternalServerError, "internal",
				fmt.Errorf("nothing was changed, for it could not be written to the audit log: %w; mode: paused in the policy file, and a reload, needs none", err))
			return
		}
		warning := s.saveHands()
		s.wakeHand(a)
		answer(w, HandAnswer{a, warning})
	}
}

// wakeHand lets those policies decide now that an act is about.
func (s *Scaler) wakeHand(a journal.Act) {
	if a.Policy != journal.AllPolicies {
		s.wake(a.Policy)
		return
	}
	s.mu.Lock()
	apps := s.apps // replaced as a whole, never changed
	s.mu.Unlock()
	for _, app := range apps {
		s.wake(app.Name)
	}
}

// saveHands returns what a person is to know if it fails.
func (s *Scaler) saveHands() (warning string) {
	if err := s.hands.sweep(); err != nil {
		s.metrics.stateErrors.Inc()
		return fmt.Sprintf("it counts, but a restart would forget it: %v", err)
	}
	return ""
}

// readHand makes an act of a request.
func (s *Scaler) readHand(verb journal.Verb, w http.ResponseWriter, r *http.Request) (a journal.Act, refused *refusal) {
	var req HandRequest
	if refused := readBody(w, r, &req); refused != nil {
		return a, refused
	}
	now := s.hands.wall().Round(0).UTC()
	a = journal.Act{At: now, Verb: verb, Direction: req.Direction, Floor: req.Floor, Ceiling: req.Ceiling, Reason: req.Reason, By: req.By}
	a.From, _, _ = net.SplitHostPort(r.RemoteAddr)
	if name, proven := s.who(r); proven {
		if a.By != name {
			a.Says = a.By
		}
		a.By, a.Proven = name, true
	}
	a.By = cmp.Or(a.By, "somebody")
	if a.Says != "" {
		if err := checkText("by", a.Says, nameMost); err != nil {
			return a, badRequest(err)
		}
	}
	if err := req.fits(verb); err != nil {
		return a, badRequest(err)
	}
	app, refused := s.named(req.Policy, verb)
	if refused != nil {
		return a, refused
	}
	a.Policy = app.Name
	if verb == journal.VerbPause {
		a.Direction = cmp.Or(a.Direction, decide.PauseAll)
	}
	if err := checkAct(a); err != nil {
		return a, badRequest(err)
	}
	if verb == journal.VerbResume || verb == journal.VerbRelease {
		return a, nil
	}
	if err := within(a, app); err != nil {
		return a, badRequest(err)
	}
	var until time.Time
	var span time.Duration
	var err error
	if req.Until != "" {
		if until, err = time.Parse(time.RFC3339, req.Until); err != nil {
			return a, badRequest(fmt.Errorf("until %q: want a time such as 2026-11-21T22:00:00Z", req.Until))
		}
	}
	if req.For != "" {
		if span, err = conf.ParseDuration(req.For); err != nil || span <= 0 {
			return a, badRequest(fmt.Errorf("for %q: want how long, such as 30m, 2h or 3d", req.For))
		}
	}
	if a.Until, err = lasts(now, until, span); err != nil {
		return a, badRequest(err)
	}
	return a, nil
}

// fits finds what does not belong into a request of that verb: it would be taken
// for heard.
func (req HandRequest) fits(verb journal.Verb) error {
	bounds, direction, time := req.Floor != 0 || req.Ceiling != 0, req.Direction != "", req.Until != "" || req.For != ""
	switch {
	case verb == journal.VerbPause && bounds:
		return errors.New("a pause has no floor and no ceiling: that is an override")
	case verb == journal.VerbOverride && direction:
		return errors.New("an override has no direction: that is a pause")
	case (verb == journal.VerbResume || verb == journal.VerbRelease) && (bounds || direction || time):
		return fmt.Errorf("%s takes a policy and a reason, and nothing else", verb)
	}
	return nil
}

// within holds an override against the bounds of the policy, which it cannot pass.
func within(a journal.Act, app policy.App) error {
	for _, b := range []struct {
		name string
		n    int
	}{{"floor", a.Floor}, {"ceiling", a.Ceiling}} {
		if b.n != 0 && (b.n < app.Min || b.n > app.Max) {
			return fmt.Errorf("%s %d: policy %s has min %d and max %d, and an override stays within; edit the policy to go beyond", b.name, b.n, app.Name, app.Min, app.Max)
		}
	}
	return nil
}

// named finds the policy that a person means. What counts of one that is no more
// can be ended.
func (s *Scaler) named(name string, verb journal.Verb) (policy.App, *refusal) {
	said := s.hands.of(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == journal.AllPolicies {
		if verb == journal.VerbOverride || verb == journal.VerbRelease {
			return policy.App{}, badRequest(errors.New("an override is of one policy: 10 replicas are much to one and nothing to another"))
		}
		return policy.App{Name: journal.AllPolicies}, nil
	}
	var names []string
	for _, app := range s.apps {
		if app.Name == name || app.Target.String() == name {
			return app, nil
		}
		names = append(names, app.Name)
	}
	if verb == journal.VerbResume && said.Pause != nil || verb == journal.VerbRelease && said.Override != nil {
		return policy.App{Name: name}, nil
	}
	err := fmt.Errorf("no policy is called %q", name)
	switch near := conf.Nearest(name, names); {
	case name == "":
		return policy.App{}, badRequest(errors.New("policy is needed: the name of one, or * for all"))
	case near != "":
		err = fmt.Errorf("%w, did you mean %q?", err, near)
	case len(names) == 0:
		err = fmt.Errorf("%w: there are no policies", err)
	default:
		slices.Sort(names)
		const few = 10
		more := ""
		if len(names) > few {
			more = fmt.Sprintf(" and %d more", len(names)-few)
			names = names[:few]
		}
		err = fmt.Errorf("%w; there are: %s%s", err, strings.Join(names, ", "), more)
	}
	return policy.App{}, &refusal{http.StatusNotFound, "not_found", err}
}

// readBody reads one JSON object, in which everything is known.
func readBody(w http.ResponseWriter, r *http.Request, into any) *refusal {
	// A form on a page elsewhere cannot have this type without being asked about.
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &refusal{http.StatusUnsupportedMediaType, "bad_data", errors.New("send JSON, with Content-Type: application/json")}
	}
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxHandBody))
	body.DisallowUnknownFields()
	if err := body.Decode(into); err != nil {
		return badRequest(fmt.Errorf(`not understood: %w; want {"policy":"name","reason":"why"} and what the request is about`, err))
	}
	if _, err := body.Token(); !errors.Is(err, io.EOF) {
		return badRequest(errors.New("there is more than one object"))
	}
	return nil
}

// serveAudit answers what people have said, the newest first.
func (s *Scaler) serveAudit(w http.ResponseWriter, r *http.Request) {
	q := journal.ActQuery{Policy: r.FormValue("policy")}
	if err := parseLimit(r.FormValue("limit"), &q.Limit); err != nil {
		complain(w, http.StatusBadRequest, "bad_data", err)
		return
	}
	acts, err := s.Acts(q)
	if err != nil {
		complain(w, http.StatusInternalServerError, "internal", err)
		return
	}
	answer(w, append([]journal.Act{}, acts...)) // none is [], not null
}

// Acts are what people have said, the newest first; without a journal, what still
// counts of it.
func (s *Scaler) Acts(q journal.ActQuery) ([]journal.Act, error) {
	if s.journal != nil {
		return s.journal.Acts(q)
	}
	acts := slices.DeleteFunc(s.hands.all(), func(a journal.Act) bool { return !q.Matches(a) })
	slices.SortStableFunc(acts, func(a, b journal.Act) int { return b.At.Compare(a.At) })
	return acts[:min(cmp.Or(q.Limit, 100), len(acts))], nil
}
