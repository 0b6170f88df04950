package journal

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/chain"
	"github.com/plimsoll-io/plimsoll/internal/linelog"
)

// mostBreaks is how many breaks a verification names.
const mostBreaks = 100

// Verification is what a look at the whole chain of a journal found.
type Verification struct {
	Segments int   `json:"segments"`
	Lines    int64 `json:"lines"`
	Entries  int64 `json:"entries"`
	Acts     int64 `json:"acts"`
	// From and To are when the first and the last entry began.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Dropped is how many older segments retention has dropped, as the chain says.
	Dropped int `json:"dropped"`
	// Starts is how often a process began to write, Crashes after how many of them
	// that did not end as it should, and Torn how many bytes of lines that cost.
	Starts  int   `json:"starts"`
	Crashes int   `json:"crashes"`
	Torn    int64 `json:"torn"`
	// Head is the last line: who notes it elsewhere can tell later that nothing
	// was taken off the end.
	Head chain.Link `json:"head"`
	// Breaks are where the chain does not hold, 100 at most, and More how many
	// others there are.
	Breaks []Break `json:"breaks"`
	More   int     `json:"more,omitempty"`
}

// Break is a place where a chain does not hold.
type Break struct {
	Segment string `json:"segment"`       // name of the file
	Line    int    `json:"line"`          // in the file, from 1; 0 for all of it
	Seq     uint64 `json:"seq,omitempty"` // as the line says
	What    string `json:"what"`
}

// Verify looks at the whole chain, and whether it has the line that a witness
// names, if it is not zero. What cannot be read is a break, too. It takes a second
// or more of a core, so there is one at a time; during it the error is ErrVerifying.
func (j *Journal) Verify(witness chain.Link) (Verification, error) {
	if !j.checking.TryLock() {
		return Verification{}, ErrVerifying
	}
	defer j.checking.Unlock()
	for {
		a := j.archive()
		// A witness must not be a line that a power cut takes away.
		if err := j.sync(); err != nil {
			return Verification{}, fmt.Errorf("sync journal: %w", err)
		}
		v := a.Verify(witness)
		// What was dropped meanwhile would look as if it had been taken away.
		if now := j.disk.Segments(); len(now) == 0 || len(a.segments) == 0 || now[0].Number == a.segments[0].Number {
			return v, nil
		}
	}
}

// ErrVerifying is that of who asks for a verification during another.
var ErrVerifying = errors.New("the journal is being verified already; ask again when that is done")

// Verify is that of Journal, for what is on disk.
func (a *Archive) Verify(witness chain.Link) Verification {
	v := verifier{witness: witness, Verification: Verification{Breaks: []Break{}}}
	for _, seg := range a.segments {
		v.segment(seg)
	}
	v.finish(a.segments)
	return v.Verification
}

// verifier is a look at a chain under way.
type verifier struct {
	Verification
	witness chain.Link
	met     bool   // the witness's line was there
	first   uint64 // seq of the first line
	oldest  int    // the oldest segment that is to be there, by the marks so far
	open    bool   // a process writes, by the marks so far
	at      Break  // the line that is looked at
}

func (v *verifier) complain(format string, args ...any) {
	if len(v.Breaks) == mostBreaks {
		v.More++
		return
	}
	b := v.at
	b.What = fmt.Sprintf(format, args...)
	v.Breaks = append(v.Breaks, b)
}

func (v *verifier) segment(seg linelog.Segment) {
	v.Segments++
	v.at = Break{Segment: seg.Name()}
	for line, err := range seg.Forward() {
		if err != nil {
			v.complain("from here on it cannot be read: %v", err)
			return
		}
		v.at.Line++
		v.at.Seq = 0
		if line.Torn {
			v.Torn += int64(len(line.Text)) // the chain tells whether it mattered
			continue
		}
		v.Lines++
		v.line(seg, line.Text)
	}
}

// line looks at one line: by itself, behind the one before, and at what it says.
func (v *verifier) line(seg linelog.Segment, text []byte) {
	seal, err := chain.Read(text)
	v.at.Seq = seal.Seq
	switch {
	case errors.Is(err, chain.ErrAltered):
		v.complain("%v", err)
		v.Head = seal.Link // the next line knows what it was
		return
	case err != nil:
		v.complain("%v", err)
		return
	}
	var m mark
	if bytes.HasPrefix(text, []byte(beginsSegment)) || bytes.HasPrefix(text, []byte(beginsStart)) || bytes.HasPrefix(text, []byte(beginsStop)) {
		if err := json.Unmarshal(text, &m); err != nil {
			v.complain("the mark cannot be read: %v", err)
		}
	}
	if !seal.Follows(v.Head) {
		v.order(seg, seal, m)
	}
	if v.first == 0 {
		v.first = seal.Seq
	}
	v.Head = seal.Link
	if seal.Seq == v.witness.Seq && seal.Seq > 0 {
		v.met = true
		if seal.Hash != v.witness.Hash {
			v.complain("line %d is not the one that was noted: its hash was %s", seal.Seq, v.witness.Hash)
		}
	}
	v.says(seg, text, m)
}

// order tells what is wrong with a line that does not follow the one before.
func (v *verifier) order(seg linelog.Segment, seal chain.Seal, m mark) {
	last := v.Head.Seq
	switch {
	case v.first == 0 && m.Segment != nil && seg.Number > 1:
		return // an anchor: what was before it is dropped, or the marks will tell
	case v.first == 0:
		v.complain("the journal begins with line %d; what was before it is missing", seal.Seq)
	case seal.Seq == 1:
		why := "nothing says why"
		switch {
		case m.Start != nil:
			why = cmp.Or(m.Start.Anew, why)
		case m.Segment != nil:
			why = cmp.Or(m.Segment.Anew, why)
		}
		v.complain("a new chain begins after line %d: %s", last, why)
	case seal.Seq <= last:
		v.complain("line %d comes after line %d: it was moved here, or is there twice", seal.Seq, last)
	case seal.Seq == last+1:
		v.complain("line %d was made behind another line %d than the one that is there", seal.Seq, last)
	case seal.Seq == last+2:
		v.complain("line %d is missing", last+1)
	default:
		v.complain("lines %d to %d are missing", last+1, seal.Seq-1)
	}
}

// says takes what the line is about.
func (v *verifier) says(seg linelog.Segment, text []byte, m mark) {
	switch {
	case m.Segment != nil:
		if m.Segment.Number != seg.Number || v.at.Line != 1 {
			v.complain("this is the beginning of segment %d", m.Segment.Number)
		}
		v.there(m.Segment.Found)
		v.oldest = max(v.oldest, m.Segment.Oldest)
	case m.Start != nil:
		v.Starts++
		if v.open {
			v.Crashes++
		}
		v.open = true
		v.Torn += m.Start.Torn
		v.there(m.Start.Found)
	case m.Stop != nil:
		v.open = false
	case bytes.HasPrefix(text, []byte(beginsAct)):
		v.Acts++
	case ofPolicy(text, ""):
		v.Entries++
		v.when(text)
	}
}

// there checks that the oldest segment that was found when a mark was made is the
// one that was to be there. What somebody took away stays told, whatever the
// journal drops afterwards.
func (v *verifier) there(found int) {
	if v.oldest > 0 && found > v.oldest {
		v.complain("segments %d to %d were gone by then, and the journal had not dropped them", v.oldest, found-1)
		v.oldest = found
	}
}

// when widens the time of the entries by that of one. A run is written behind
// what began after it.
func (v *verifier) when(text []byte) {
	at := sinceOf(text)
	if at.IsZero() {
		return
	}
	if v.From.IsZero() || at.Before(v.From) {
		v.From = at
	}
	if at.After(v.To) {
		v.To = at
	}
}

// finish looks at the whole: what is missing at its two ends.
func (v *verifier) finish(segments []linelog.Segment) {
	if len(segments) == 0 {
		return
	}
	first := segments[0]
	v.Dropped = first.Number - 1
	v.at = Break{Segment: first.Name()}
	if v.Lines > 0 && v.oldest < first.Number {
		v.complain("segments %d to %d are missing before it, and the journal has not dropped them", max(v.oldest, 1), first.Number-1)
	}
	v.at = Break{Segment: segments[len(segments)-1].Name()}
	if w := v.witness.Seq; w > 0 && !v.met {
		if w < v.first && v.Dropped > 0 {
			v.complain("line %d is too old to be kept: the first is %d", w, v.first)
			return
		}
		v.complain("line %d is missing, which was noted: the last is %d", w, v.Head.Seq)
	}
}
