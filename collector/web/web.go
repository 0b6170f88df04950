// Package web is the page that people see: which nodes and containers there are,
// what they use, and what has happened.
//
// Its promise: each number is what PromQL says at that moment. What is not known
// is shown as a dash and never as zero, what is old is shown as old, and nothing
// that a container calls itself can be anything but text.
package web

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/collector/inventory"
	"github.com/plimsoll-io/plimsoll/collector/query"
)

const (
	staleAfter = 15 * time.Second // the age from which a value is shown as old
	timeout    = 5 * time.Second  // for the queries of one page
)

// Inventory tells who is there and what has happened.
type Inventory interface {
	Nodes() []inventory.Node
	Events() []inventory.Event
}

// Alert is one that fires.
type Alert struct {
	Name     string
	Severity string
	Summary  string
	Since    time.Time
	Muted    bool // by a silence or by another alert

	Labels      map[string]string
	Receivers   []string // that its routes lead to
	SilencedBy  []string // IDs
	InhibitedBy []string // fingerprints
	Source      string   // link to the query behind it
}

// Decision is what the scaler wants for a policy.
type Decision struct {
	Policy   string
	Mode     string // "advise" or "active", and what a person has said
	At       time.Time
	From, To string // replicas; empty if not known
	Why      string
}

// Options say where the page has its numbers from.
type Options struct {
	Query func(ctx context.Context, promql string, at time.Time, lookback time.Duration) ([]query.Sample, error)
	// Range draws a query's lines; nil for no lines.
	Range     func(ctx context.Context, promql string, from, to time.Time, step time.Duration) ([]query.Line, error)
	Inventory Inventory
	Alerting  Alerting          // nil: the page has no such sections
	Decisions func() []Decision // nil: the same
	Version   string            // of this software, for the footer
	Now       func() time.Time  // nil: time.Now
	Log       *slog.Logger
}

// Page serves the page at /, one for a query at /graph, and what both need below
// /assets/. Mount it at all three.
type Page struct {
	opts   Options
	html   *template.Template
	assets http.Handler
}

//go:embed static
var static embed.FS

// policy lets the page load its own script and style and ask its own server,
// and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// graphPolicy also lets the form for a query be sent, back to this server.
var graphPolicy = strings.Replace(policy, "form-action 'none'", "form-action 'self'", 1)

// New makes the page.
func New(opts Options) (*Page, error) {
	if opts.Query == nil || opts.Inventory == nil {
		return nil, errors.New("the page needs an engine to query and an inventory")
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	files, err := fs.Sub(static, "static")
	if err != nil {
		return nil, err
	}
	html, err := template.New("page.html").Funcs(functions).ParseFS(files, "page.html", "alerts.html", "graph.html")
	if err != nil {
		return nil, err
	}
	return &Page{opts, html, http.StripPrefix("/assets/", http.FileServerFS(files))}, nil
}

// ServeHTTP implements http.Handler.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "this page can only be read", http.StatusMethodNotAllowed)
		return
	}
	switch r.URL.Path {
	case "/":
		h.Set("Cache-Control", "no-store")
		p.serve(w, r)
	case "/graph":
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", graphPolicy)
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		p.render(w, "graph.html", p.lookAtGraph(ctx, r.URL.Query()))
	case "/assets/page.css", "/assets/page.js":
		h.Set("Cache-Control", "no-cache")
		p.assets.ServeHTTP(w, r)
	default:
		http.NotFound(w, r)
	}
}

// serve writes the whole page or, for the script that keeps it fresh, the part
// that changes.
func (p *Page) serve(w http.ResponseWriter, r *http.Request) {
	form := r.URL.Query()
	part := form.Get("fragment")
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	switch {
	case !form.Has("fragment"):
		p.render(w, "page.html", p.look(ctx))
	case part == "":
		p.render(w, "fragment", p.look(ctx))
	case p.opts.Alerting != nil && part == alertsPart:
		p.render(w, part, p.lookAtAlerts(ctx, form))
	case p.opts.Alerting != nil && part == newSilencePart:
		p.render(w, part, p.lookAtForm(form))
	case p.opts.Alerting != nil && (part == silencesPart || strings.HasPrefix(part, silencesPart+"/")): // #/silences/ID
		p.render(w, silencesPart, p.lookAtSilences(ctx))
	default:
		http.Error(w, "there is no such part", http.StatusNotFound)
	}
}

func (p *Page) render(w http.ResponseWriter, part string, view any) {
	var b bytes.Buffer
	if err := p.html.ExecuteTemplate(&b, part, view); err != nil {
		p.opts.Log.Error("page not rendered", "err", err)
		http.Error(w, "the page could not be rendered; the collector's log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes()) // the reader has gone
}
