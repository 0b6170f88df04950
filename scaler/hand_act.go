package scaler

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
)

const (
	// handDefault is how long a pause or an override lasts if nobody says.
	handDefault = time.Hour
	// handMost is how long one may last: what is to stay belongs into the policy.
	handMost = 30 * 24 * time.Hour
	// Longest texts, in bytes.
	reasonMost = 500
	nameMost   = 100
)

// speaker is the person in a decision's words: alice (flash sale).
func speaker(a journal.Act) string {
	name := a.By
	if !a.Proven {
		name += ", unproven"
	}
	return fmt.Sprintf("%s (%s)", name, a.Reason)
}

// aimOf is what an act is about: there is one pause and one override of a policy,
// and the last act counts.
func aimOf(a journal.Act) aim {
	return aim{a.Policy, a.Verb == journal.VerbPause || a.Verb == journal.VerbResume}
}

// endOf is until when an act counts: one that ends another for as long as that could
// have counted.
func endOf(a journal.Act) time.Time {
	if a.Until.IsZero() {
		return a.At.Add(handMost)
	}
	return a.Until
}

type aim struct {
	policy string
	pause  bool // or else the override
}

// supersedes tells whether an act counts rather than another one on the same thing. Of
// two that were said to two collectors at once, both choose the same.
func supersedes(a, b journal.Act) bool {
	return a.Order > b.Order || a.Order == b.Order && a.ID > b.ID
}

// checkAct finds what a person may not say, whatever the policy.
func checkAct(a journal.Act) error {
	if err := checkText("reason", a.Reason, reasonMost); err != nil {
		return err
	}
	if err := checkText("by", a.By, nameMost); err != nil {
		return err
	}
	switch a.Verb {
	case journal.VerbPause:
		if a.Direction != decide.PauseIn && a.Direction != decide.PauseOut && a.Direction != decide.PauseAll {
			return fmt.Errorf("direction %q: want in, out or all", a.Direction)
		}
	case journal.VerbOverride:
		switch {
		case a.Floor < 0 || a.Ceiling < 0:
			return errors.New("floor and ceiling are numbers of replicas, above 0")
		case a.Floor == 0 && a.Ceiling == 0:
			return errors.New("an override needs a floor, a ceiling, or both")
		case a.Ceiling > 0 && a.Floor > a.Ceiling:
			return fmt.Errorf("a floor of %d is above the ceiling of %d", a.Floor, a.Ceiling)
		case a.Policy == journal.AllPolicies:
			return errors.New("an override is of one policy: 10 replicas are much to one and nothing to another")
		}
	}
	return nil
}

// checkText refuses what would make the audit log unreadable.
func checkText(what, text string, most int) error {
	switch {
	case strings.TrimSpace(text) == "":
		return fmt.Errorf("%s is needed: whoever reads the audit log will ask for it", what)
	case len(text) > most:
		return fmt.Errorf("%s has %d bytes, %d at most", what, len(text), most)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%s has characters that cannot be printed", what)
	}
	return nil
}

// lasts is until when a pause or an override lasts that was said at now, from what
// the request has, one of them or neither: a time, or how long.
func lasts(now time.Time, until time.Time, span time.Duration) (time.Time, error) {
	switch {
	case !until.IsZero() && span != 0:
		return time.Time{}, errors.New("until and for say the same thing: give one of them")
	case until.IsZero() && span == 0:
		until = now.Add(handDefault)
	case span != 0:
		until = now.Add(span)
	}
	switch d := until.Sub(now); {
	case d <= 0:
		return time.Time{}, fmt.Errorf("until %s is over already", until.UTC().Format(time.RFC3339))
	case d > handMost:
		return time.Time{}, errors.New("30 days is the longest: what is to stay belongs into the policy file")
	}
	return until.Round(0).UTC(), nil
}

// newActID is not to be guessed, and unlike any other.
func newActID() string {
	var id [8]byte
	_, _ = rand.Read(id[:]) // it never fails
	return hex.EncodeToString(id[:])
}
