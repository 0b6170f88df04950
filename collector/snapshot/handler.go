package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Path is where snapshots are made and listed over HTTP.
const Path = "/api/plimsoll/v1/snapshots"

// tellEvery is how often a client hears of progress.
const tellEvery = 200 * time.Millisecond

// Event is a line of the answer to a POST, as JSON: progress until the snapshot
// is there or the error is known.
type Event struct {
	Done     int64     `json:"done,omitempty"`
	Total    int64     `json:"total,omitempty"`
	Snapshot *Snapshot `json:"snapshot,omitempty"` // its list of files left out
	Error    string    `json:"error,omitempty"`
}

// Handler serves
//
//	POST /api/plimsoll/v1/snapshots   makes one; a line of JSON for each Event
//	GET  /api/plimsoll/v1/snapshots   those on disk, the oldest first, in the
//	                                  envelope of Prometheus' API
//
// A client that goes away ends what it has asked for. Pages of other sites may
// not post.
func (s *Snapshots) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path, s.serveList)
	mux.HandleFunc("POST "+Path, s.serveCreate)
	return http.NewCrossOriginProtection().Handler(mux)
}

func (s *Snapshots) serveList(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	all, _, err := List(s.opts.Dir)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "error", "errorType": "internal", "error": err.Error()})
		return
	}
	for i := range all {
		all[i].Files = nil
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": append([]Snapshot{}, all...)}) // else the client has gone
}

func (s *Snapshots) serveCreate(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines, flush := json.NewEncoder(w), http.NewResponseController(w)
	say := func(e Event) {
		if lines.Encode(e) == nil {
			_ = flush.Flush() // what cannot flush sends it at the end
		}
	}
	var told time.Time
	made, err := s.Create(r.Context(), func(done, total int64) {
		if now := time.Now(); now.Sub(told) >= tellEvery {
			told = now
			say(Event{Done: done, Total: total})
		}
	})
	switch {
	case errors.Is(err, ErrBusy):
		w.WriteHeader(http.StatusConflict)
		say(Event{Error: err.Error()})
	case err != nil:
		s.opts.Log.Error("snapshot failed", "err", err)
		say(Event{Error: fmt.Sprint(err)})
	default:
		made.Files = nil
		say(Event{Snapshot: &made})
	}
}
