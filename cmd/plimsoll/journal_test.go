package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler"
	"github.com/plimsoll-io/plimsoll/scaler/decide"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// unasked is a store that nobody asks, for a scaler without policies.
type unasked struct{}

func (unasked) Query(context.Context, string, time.Time, time.Duration) ([]scaler.Sample, error) {
	return nil, nil
}

// recorded is the data of a collector whose journal has some decisions of the
// policy web, and its address.
func recorded(t *testing.T) (data, address string, entries []journal.Entry) {
	t.Helper()
	data = t.TempDir()
	j, err := journal.Open(journal.Options{Dir: filepath.Join(data, "scaler", "journal"), Program: programVersion()})
	if err != nil {
		t.Fatal(err)
	}
	file, err := policy.Parse("policies.yml", []byte(`
version: plimsoll.scaler/v1
apps:
- name: web
  mode: active
  target: {driver: swarm, service: shop_web}
  min: 2
  max: 9
  signals: [{name: rps, source: query, query: sum(rps), target: 100}]
`), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	app := file.Apps[0]
	var state decide.State
	now := time.Date(2026, 11, 21, 3, 10, 0, 0, time.UTC)
	for tick := range 90 {
		o := decide.Observation{Now: now, Desired: 3, Ready: 3, Signals: []decide.Reading{
			{Signal: "rps", Samples: []decide.Sample{{At: now, Value: 250 + float64(tick%7)}}},
		}}
		past := state
		var d decide.Decision
		state, d = decide.Next(app, past, o)
		err := j.Record(journal.Entry{
			Policy: app.Name, Target: app.Target.String(), Mode: app.Mode, Observation: o, Decision: d, App: &app, State: &past,
		})
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(app.Interval)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := scaler.New(scaler.Options{Query: unasked{}, Journal: j})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	entries, err = j.Read(journal.Query{})
	if err != nil || len(entries) < 2 {
		t.Fatalf("%d entries, error %v", len(entries), err)
	}
	return data, server.URL, entries
}

// answered runs a command and returns its exit code and what it said.
func answered(t *testing.T, args ...string) (code int, out, problem string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), args, &stdout, &stderr, nil)
	return code, stdout.String(), stderr.String()
}

// Every command of the document works, asked of a collector and of its files.
func TestTheCommandsOfTheDocumentOnExplainingWork(t *testing.T) {
	data, address, entries := recorded(t)
	_, said, _ := answered(t, "journal", "verify", "--url="+address, "--output=json")
	var v journal.Verification
	if err := json.Unmarshal([]byte(said), &v); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, b := range documents(t) {
		if b.kind != "sh" || filepath.Base(b.file) != "explain.md" {
			continue
		}
		for line := range strings.Lines(b.text) {
			args := strings.Fields(line)
			if args[0] != "plimsoll" {
				continue
			}
			args = args[1:]
			offline := false
			for i, arg := range args {
				switch {
				case args[0] == "replay" && i == 1:
					args[i] = entries[0].ID
				case strings.HasPrefix(arg, "--witness="):
					args[i] = "--witness=" + v.Head.String()
				case strings.HasPrefix(arg, "--dir="):
					args[i], offline = "--dir="+data, true
				}
			}
			if !offline {
				args = append(args, "--url="+address)
			}
			code, out, problem := answered(t, args...)
			if code != exitOK || out == "" {
				t.Errorf("%v: exit code %d, %s%s", args, code, out, problem)
			}
			ran++
		}
	}
	if ran < 10 {
		t.Errorf("only %d commands are in the document", ran)
	}
}

func TestExplainFindsAWorkloadByAnyOfItsNames(t *testing.T) {
	data, address, _ := recorded(t)
	for _, name := range []string{"web", "shop_web", "swarm/shop_web"} {
		for _, where := range []string{"--url=" + address, "--dir=" + data} {
			code, out, problem := answered(t, "explain", name, where)
			if code != exitOK || !strings.HasPrefix(out, "web: hold at 3\n") || !strings.Contains(out, "What would change it\n  out  if rps were ") {
				t.Errorf("%s %s: exit code %d, %s%s", name, where, code, out, problem)
			}
		}
	}
	for _, args := range [][]string{{"explain", "we"}, {"explain", "web", "--at=2026-11-21T03:00:00Z"}} {
		for _, where := range []string{"--url=" + address, "--dir=" + data} {
			if code, _, problem := answered(t, append(args, where)...); code != exitFailure || !strings.Contains(problem, "no decision on") {
				t.Errorf("%v %s: exit code %d, %s", args, where, code, problem)
			}
		}
	}
}

// What was decided at a time is told with the numbers of that time.
func TestExplainGoesBackToATime(t *testing.T) {
	_, address, entries := recorded(t)
	first := entries[len(entries)-1]
	_, out, _ := answered(t, "explain", "web", "--url="+address, "--at="+first.At().Format(time.RFC3339Nano), "-o", "json")
	var got []journal.Entry
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].ID != first.ID || got[0].App == nil || got[0].State == nil {
		t.Errorf("%s", out)
	}
}

func TestADecisionThatComesOutDifferentlyIsShown(t *testing.T) {
	data, _, entries := recorded(t)
	// Another program would have written this, with seals of its own.
	dir := filepath.Join(t.TempDir(), "journal")
	j, err := journal.Open(journal.Options{Dir: dir, Program: "0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	archive, err := journal.OpenArchive(filepath.Join(data, "scaler", "journal"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := archive.Read(journal.Query{Inputs: true})
	if err != nil {
		t.Fatal(err)
	}
	other := all[0]
	other.Decision.To = 7
	if err := j.Record(other); err != nil {
		t.Fatal(err)
	}
	again, err := j.Read(journal.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	code, out, problem := answered(t, "replay", again[0].ID, "--dir="+dir)
	if code != exitFailure || !strings.Contains(out, "-   \"to\": 7,\n+   \"to\": 3,\n") || !strings.Contains(problem, "version 0.0.1") {
		t.Errorf("exit code %d, %s%s", code, out, problem)
	}
	if code, out, _ := answered(t, "replay", entries[0].ID, "--dir="+data); code != exitOK || !strings.Contains(out, "the same, byte for byte") {
		t.Errorf("exit code %d, %s", code, out)
	}
	if code, _, problem := answered(t, "replay", "000000000", "--dir="+data); code != exitFailure || !strings.Contains(problem, "no such decision: 000000000") {
		t.Errorf("exit code %d, %s", code, problem)
	}
}

func TestVerifyNamesTheLineThatWasTouched(t *testing.T) {
	data, address, _ := recorded(t)
	file := filepath.Join(data, "scaler", "journal", "00000001.jsonl")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(text, []byte(`"desired":3`), []byte(`"desired":4`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{"--url=" + address, "--dir=" + data} {
		code, out, problem := answered(t, "journal", "verify", where)
		if code != exitFindings || !strings.HasPrefix(out, "00000001.jsonl:4: the line does not match its own hash\n") || !strings.Contains(problem, "not as it was written") {
			t.Errorf("%s: exit code %d, %s%s", where, code, out, problem)
		}
	}
	code, out, _ := answered(t, "journal", "verify", "--dir="+data, "--witness=900:"+strings.Repeat("0", 64))
	if code != exitFindings || !strings.Contains(out, "line 900 is missing, which was noted") {
		t.Errorf("exit code %d, %s", code, out)
	}
}

func TestTheDifferenceOfTwoTextsIsTheLinesThatAreNotInBoth(t *testing.T) {
	split := func(text string) []string { return strings.Split(text, "") }
	for _, tt := range [][3]string{
		{"abc", "abc", ""},
		{"abc", "axc", "- b|+ x"},
		{"abc", "ac", "- b"},
		{"ac", "abc", "+ b"},
		{"ab", "ba", "- a|+ a"},
	} {
		if got := strings.Join(difference(split(tt[0]), split(tt[1])), "|"); got != tt[2] {
			t.Errorf("%s and %s: %s, want %s", tt[0], tt[1], got, tt[2])
		}
	}
}
