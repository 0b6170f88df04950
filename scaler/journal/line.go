package journal

import (
	"bytes"
	"strconv"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/chain"
)

// What the lines of a journal are, by how they begin. All of them are sealed.
//
//	{"segment":{"number":3,"oldest":1,…     the first of each segment
//	{"start":{"at":…,"program":…            a process begins to write
//	{"basis":"9f…","app":{…                 a policy, once in each segment that names it
//	{"id":"06gw2d4k1","policy":"web",…      a decision: an Entry
//	{"act":{…                               what a person said: an Act
//	{"stop":{…                              the process ended as it should
const (
	beginsSegment = `{"segment":`
	beginsStart   = `{"start":`
	beginsBasis   = `{"basis":"`
	beginsEntry   = `{"id":"`
	beginsAct     = `{"act":`
	beginsStop    = `{"stop":`

	// beginsOld is a decision of a journal from before there were seals.
	beginsOld = `{"policy":"`
)

// mark is a line about the journal itself.
type mark struct {
	Segment *segmentMark `json:"segment,omitempty"`
	Start   *startMark   `json:"start,omitempty"`
	Stop    *stopMark    `json:"stop,omitempty"`
}

// segmentMark anchors a segment, so that what retention dropped before it is not
// missed.
type segmentMark struct {
	Number  int    `json:"number"`  // of its file
	Found   int    `json:"found"`   // number of the oldest there was
	Oldest  int    `json:"oldest"`  // number of the oldest that stays; those before it are dropped
	Last    string `json:"last"`    // ID of the last entry before it
	Program string `json:"program"` // that writes it
	// From is when the earliest of the entries began that the segment before has.
	From time.Time `json:"from,omitzero"`
	Anew string    `json:"anew,omitempty"`
}

// startMark says what a process found.
type startMark struct {
	At      time.Time `json:"at"`
	Program string    `json:"program"`
	Found   int       `json:"found"`          // number of the oldest segment there was
	Torn    int64     `json:"torn,omitempty"` // bytes of a torn line, cut off
	Anew    string    `json:"anew,omitempty"` // why the chain could not be gone on with
}

type stopMark struct {
	At time.Time `json:"at"`
}

// idLen is the length of an ID: enough digits of five bits for the milliseconds
// until the year 3084.
const idLen = 9

// idDigits are those of base 32 without the letters that people mistake; in their
// order as text.
const idDigits = "0123456789abcdefghjkmnpqrstvwxyz"

// newID is the ID of an entry of that time: its milliseconds since 1970, or one
// more than the last, so that IDs are unlike each other and sort as entries began.
func newID(at time.Time, last string) string {
	ms := max(at.UnixMilli(), 0)
	if before, ok := idMillis(last); ok {
		ms = max(ms, before+1)
	}
	var id [idLen]byte
	for i := range id {
		id[idLen-1-i] = idDigits[ms>>(5*i)&31]
	}
	return string(id[:])
}

func idMillis(id string) (ms int64, ok bool) {
	if len(id) != idLen {
		return 0, false
	}
	for i := range len(id) {
		digit := bytes.IndexByte([]byte(idDigits), id[i])
		if digit < 0 {
			return 0, false
		}
		ms = ms<<5 | int64(digit)
	}
	return ms, true
}

// ValidID tells whether a text may be the ID of an entry.
func ValidID(text string) bool {
	_, ok := idMillis(text)
	return ok
}

// after is the text behind how a line begins, up to the next quote.
func after(line []byte, begins string) (text string, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(begins))
	if !ok {
		return "", false
	}
	value, _, ok := bytes.Cut(rest, []byte(`"`))
	return string(value), ok
}

// ofPolicy tells, without parsing, whether a line is an entry of a policy; of any
// if name is empty. Names need no escaping, and the policy is among the first
// fields.
func ofPolicy(line []byte, name string) bool {
	if !bytes.HasPrefix(line, []byte(beginsEntry)) && !bytes.HasPrefix(line, []byte(beginsOld)) {
		return false
	}
	return name == "" || bytes.Contains(head(line), []byte(`"policy":`+strconv.Quote(name)+`,`))
}

// head is what of a line has its ID, policy and target.
func head(line []byte) []byte { return line[:min(len(line), 400)] }

// sinceOf is when an entry began, without parsing all of it; zero if it does not
// say. Its ID does not tell: that is never less than the one before, also where a
// clock was set back.
func sinceOf(line []byte) time.Time {
	_, rest, _ := bytes.Cut(head(line), []byte(`"since":"`))
	text, _, _ := bytes.Cut(rest, []byte(`"`))
	since, _ := time.Parse(time.RFC3339Nano, string(text))
	return since
}

// sealing is lines in the making, to be appended in one go.
type sealing struct {
	link chain.Link
	text []byte
}

func (s *sealing) add(object []byte) error {
	line, next, err := s.link.Seal(object)
	if err != nil {
		return err
	}
	s.link, s.text = next, append(append(s.text, line...), '\n')
	return nil
}
