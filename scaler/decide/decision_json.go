package decide

import "encoding/json"

// decisionJSON is a Decision with its words.
type decisionJSON struct {
	*plainDecision
	Why string `json:"why"`
}

type plainDecision Decision // without its methods

// MarshalJSON writes the decision, its reasons as code and in words.
func (d Decision) MarshalJSON() ([]byte, error) {
	return json.Marshal(decisionJSON{(*plainDecision)(&d), d.Why()})
}

// UnmarshalJSON reads what MarshalJSON writes, and keeps the words.
func (d *Decision) UnmarshalJSON(data []byte) error {
	var j decisionJSON
	j.plainDecision = new(plainDecision)
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*d = Decision(*j.plainDecision)
	d.why = j.Why
	return nil
}

type stageJSON struct {
	Name   string `json:"name"`
	Signal string `json:"signal,omitempty"`
	In     int    `json:"in"`
	Out    int    `json:"out"`
	Bound  bool   `json:"bound,omitempty"`
	Code   Code   `json:"code,omitempty"`
	Reason string `json:"reason"`
}

// MarshalJSON writes the stage, its reason as code and in words.
func (s Stage) MarshalJSON() ([]byte, error) {
	return json.Marshal(stageJSON{s.Name, s.Signal, s.In, s.Out, s.Bound, s.Reason.Code, s.Reason.String()})
}

// UnmarshalJSON reads what MarshalJSON writes, and keeps the words.
func (s *Stage) UnmarshalJSON(data []byte) error {
	var j stageJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*s = Stage{Name: j.Name, Signal: j.Signal, In: j.In, Out: j.Out, Bound: j.Bound, Reason: Quote(j.Code, j.Reason)}
	return nil
}

type gateJSON struct {
	Name   string `json:"name"`
	Signal string `json:"signal,omitempty"`
	Code   Code   `json:"code,omitempty"`
	Why    string `json:"why"`
}

// MarshalJSON writes the gate, its reason as code and in words.
func (g Gate) MarshalJSON() ([]byte, error) {
	return json.Marshal(gateJSON{g.Name, g.Signal, g.Reason.Code, g.Reason.String()})
}

// UnmarshalJSON reads what MarshalJSON writes, and keeps the words.
func (g *Gate) UnmarshalJSON(data []byte) error {
	var j gateJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*g = Gate{Name: j.Name, Signal: j.Signal, Reason: Quote(j.Code, j.Why)}
	return nil
}
