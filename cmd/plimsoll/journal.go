package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"github.com/plimsoll-io/plimsoll/internal/chain"
	"github.com/plimsoll-io/plimsoll/scaler"
	"github.com/plimsoll-io/plimsoll/scaler/journal"
)

// journalSource is where decisions are read: of a running collector, or from the
// files of one.
type journalSource struct {
	url *url.URL
	dir string
}

func (s *journalSource) add(k *kingpin.CmdClause) {
	k.Flag("url", "Address of the collector.").Default("http://127.0.0.1:9900").SetValue(address{&s.url})
	k.Flag("dir", "Read these files instead: a collector's data, or the scaler/journal in it. The collector may be running or not.").PlaceHolder("DIR").StringVar(&s.dir)
}

// archive opens the files that --dir names.
func (s *journalSource) archive() (*journal.Archive, error) {
	dir := s.dir
	if in := filepath.Join(dir, "scaler", "journal"); isDir(in) {
		dir = in
	}
	return journal.OpenArchive(dir)
}

// journalCommand makes decisions again, and looks at the chain they are in.
type journalCommand struct {
	*cli
	journalSource
	id      string
	witness string
	output  string
}

func (c *cli) journal() {
	cmd := &journalCommand{cli: c}
	k := c.command("replay", "Make a decision again, from what the journal says it was based on, and compare. Exit code 1 if it is another.", cmd.replay)
	k.Arg("id", "ID of the decision, as plimsoll explain has it.").Required().StringVar(&cmd.id)
	cmd.add(k)
	k.Flag("output", "text, or json with both decisions.").Short('o').Default("text").EnumVar(&cmd.output, "text", "json")

	j := c.app.Command("journal", "Look after the journal of decisions.")
	k = j.Command("verify", "Tell whether anything in the journal was altered, removed or moved. Exit code 3 if so.")
	c.commands["journal verify"] = cmd.verify
	cmd.add(k)
	k.Flag("witness", "What verify said of the last line at another time: it must still be there.").PlaceHolder("SEQ:HASH").StringVar(&cmd.witness)
	k.Flag("output", "text or json.").Short('o').Default("text").EnumVar(&cmd.output, "text", "json")
}

func (c *journalCommand) replay(ctx context.Context) error {
	if !journal.ValidID(c.id) {
		return usage(fmt.Errorf("%q is no ID of a decision; those that plimsoll explain shows have 9 digits and letters", c.id))
	}
	record, err := c.find(ctx)
	if err != nil {
		return err
	}
	r, err := journal.Replay(record)
	if err != nil {
		return err
	}
	if c.output == "json" {
		if err := c.encode(r); err != nil {
			return err
		}
	} else if err := showReplayed(c.stdout, r); err != nil {
		return err
	}
	if !r.Same {
		return fmt.Errorf("decision %s comes out differently; it was made by version %s, this is %s", r.ID, r.Program, programVersion())
	}
	return nil
}

func (c *journalCommand) find(ctx context.Context) (record journal.Record, err error) {
	if c.dir == "" {
		err = remote{c.url}.askOurs(ctx, http.MethodGet, scaler.DecisionsPath+"/"+c.id, nil, nil, &record)
		return record, err
	}
	archive, err := c.archive()
	if err != nil {
		return record, err
	}
	return archive.Find(c.id)
}

// encode writes JSON for programs.
func (c *journalCommand) encode(v any) error {
	e := json.NewEncoder(c.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// programVersion is what the journal keeps beside what was decided.
func programVersion() string { return cmp.Or(version.Version, "unknown") }

func showReplayed(w io.Writer, r journal.Replayed) error {
	if r.Same {
		_, err := fmt.Fprintf(w, "%s %s: the same, byte for byte (%d bytes, made by version %s)\n", r.ID, r.Policy, len(r.Recorded), r.Program)
		return err
	}
	recorded, made := indented(r.Recorded), indented(r.Made)
	fmt.Fprintf(w, "%s %s: - as recorded, + as made now\n", r.ID, r.Policy)
	for _, line := range difference(recorded, made) {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

func indented(data []byte) []string {
	var b bytes.Buffer
	if json.Indent(&b, data, "", "  ") != nil {
		return []string{string(data)}
	}
	return strings.Split(b.String(), "\n")
}

// difference are the lines of two texts that are not in both, in their order: - of
// a, + of b.
func difference(a, b []string) (lines []string) {
	// common[i][j] is how many lines a[i:] and b[j:] have in common.
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := range slices.Backward(a) {
		for j := range slices.Backward(b) {
			if a[i] == b[j] {
				common[i][j] = 1 + common[i+1][j+1]
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			lines = append(lines, "- "+a[i])
			i++
		default:
			lines = append(lines, "+ "+b[j])
			j++
		}
	}
	return lines
}

func (c *journalCommand) verify(ctx context.Context) error {
	var witness chain.Link
	if c.witness != "" {
		if err := witness.UnmarshalText([]byte(c.witness)); err != nil {
			return usage(fmt.Errorf("--witness: %w", err))
		}
	}
	v, err := c.look(ctx, witness)
	if err != nil {
		return err
	}
	if c.output == "json" {
		err = c.encode(v)
	} else {
		err = showVerified(c.stdout, v)
	}
	if err == nil && len(v.Breaks) > 0 {
		err = exitError{exitFindings, errors.New("the journal is not as it was written")}
	}
	return err
}

func (c *journalCommand) look(ctx context.Context, witness chain.Link) (v journal.Verification, err error) {
	if c.dir == "" {
		form := url.Values{}
		if c.witness != "" {
			form.Set("witness", witness.String())
		}
		err = remote{c.url}.askOurs(ctx, http.MethodGet, scaler.JournalPath, form, nil, &v)
		return v, err
	}
	archive, err := c.archive()
	if err != nil {
		return v, err
	}
	return archive.Verify(witness), nil
}

func showVerified(w io.Writer, v journal.Verification) error {
	for _, b := range v.Breaks {
		where := b.Segment
		if b.Line > 0 {
			where += fmt.Sprintf(":%d", b.Line)
		}
		fmt.Fprintf(w, "%s: %s\n", where, b.What)
	}
	if v.More > 0 {
		fmt.Fprintf(w, "and %s more\n", count(v.More, "place"))
	}
	fmt.Fprintf(w, "%s in %s: %s", count(int(v.Lines), "line"), count(v.Segments, "file"), count(int(v.Entries), "decision"))
	if !v.From.IsZero() {
		fmt.Fprintf(w, " from %s to %s", v.From.Format(time.DateTime), v.To.Format(time.DateTime))
	}
	if v.Acts > 0 {
		fmt.Fprintf(w, ", %s by hand", count(int(v.Acts), "act"))
	}
	fmt.Fprintln(w)
	if v.Dropped > 0 {
		fmt.Fprintf(w, "%s dropped before that, to stay within the journal's bytes\n", count(v.Dropped, "older file"))
	}
	if v.Crashes > 0 || v.Torn > 0 {
		fmt.Fprintf(w, "%s, of which %d after a crash; %s of torn lines cut off\n", count(v.Starts, "start"), v.Crashes, count(int(v.Torn), "byte"))
	}
	if len(v.Breaks) == 0 {
		fmt.Fprintln(w, "nothing was altered, removed or moved")
	}
	_, err := fmt.Fprintf(w, "last line: %s\n", v.Head)
	return err
}
