package journal

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// ActQuery selects what people have said. The zero value selects the last 100.
type ActQuery struct {
	Policy string // all if empty; what was said of all policies is always among them
	Limit  int    // default 100
}

// Matches tells whether an act is selected.
func (q ActQuery) Matches(a Act) bool {
	return q.Policy == "" || a.Policy == q.Policy || a.Policy == AllPolicies
}

// Acts returns what people have said, the newest first.
func (j *Journal) Acts(q ActQuery) ([]Act, error) {
	j.reading.Lock()
	defer j.reading.Unlock()
	return j.archive().Acts(q)
}

// Acts returns what people have said, the newest first.
func (a *Archive) Acts(q ActQuery) ([]Act, error) {
	limit := cmp.Or(q.Limit, 100)
	var found []Act
	for _, seg := range slices.Backward(a.segments) {
		for line, err := range seg.Backward() {
			if err != nil {
				return nil, fmt.Errorf("read journal: %w", err)
			}
			var said actLine
			if line.Torn || !bytes.HasPrefix(line.Text, []byte(beginsAct)) || json.Unmarshal(line.Text, &said) != nil || !q.Matches(said.Act) {
				continue
			}
			if found = append(found, said.Act); len(found) == limit {
				return found, nil
			}
		}
	}
	return found, nil
}

// RecordAct keeps what a person has said. It survives a power cut when RecordAct
// returns.
func (j *Journal) RecordAct(a Act) error {
	object, err := json.Marshal(actLine{a})
	if err != nil {
		return wrap(err)
	}
	j.mu.Lock()
	err = j.add(object, "", nil)
	j.mu.Unlock()
	if err != nil {
		return wrap(err)
	}
	return wrap(j.sync())
}

// actLine is an act in a journal.
type actLine struct {
	Act Act `json:"act"`
}
