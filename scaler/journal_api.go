package scaler

import (
	"errors"
	"net/http"

	"github.com/plimsoll-io/plimsoll/internal/chain"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
)

// JournalPath is where the chain of the journal is looked at.
const JournalPath = "/api/plimsoll/v1/scaler/journal"

var errNoJournal = errors.New("this scaler keeps no journal")

// serveDecision answers with the Record of one decision, which is what replay
// takes.
func (s *Scaler) serveDecision(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if s.journal == nil {
		complain(w, http.StatusNotFound, "not_found", errNoJournal)
		return
	}
	record, err := s.journal.Find(id)
	switch {
	case errors.Is(err, journal.ErrNoEntry):
		complain(w, http.StatusNotFound, "not_found", err)
	case err != nil:
		complain(w, http.StatusInternalServerError, "internal", err)
	default:
		answer(w, record)
	}
}

func (s *Scaler) serveVerify(w http.ResponseWriter, r *http.Request) {
	if s.journal == nil {
		complain(w, http.StatusNotFound, "not_found", errNoJournal)
		return
	}
	verifyJournal(s.journal.Verify).ServeHTTP(w, r)
}

// verifyJournal is Journal.Verify.
type verifyJournal func(witness chain.Link) (journal.Verification, error)

// ServeHTTP answers with a Verification. It reads the whole journal.
func (verify verifyJournal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var witness chain.Link
	if text := r.URL.Query().Get("witness"); text != "" {
		if err := witness.UnmarshalText([]byte(text)); err != nil {
			complain(w, http.StatusBadRequest, "bad_data", err)
			return
		}
	}
	v, err := verify(witness)
	switch {
	case errors.Is(err, journal.ErrVerifying):
		complain(w, http.StatusServiceUnavailable, "unavailable", err)
	case err != nil:
		complain(w, http.StatusInternalServerError, "internal", err)
	default:
		answer(w, v)
	}
}
