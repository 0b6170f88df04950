package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/prometheus/common/version"

	"github.com/plimsoll-io/plimsoll/collector/snapshot"
)

// snapshotsDir is where snapshots lie below --data.path.
const snapshotsDir = "snapshots"

// snapshotCommand makes, shows, checks and restores copies of what is stored.
type snapshotCommand struct {
	*cli
	data string
	name string
	url  *url.URL
}

func (c *cli) snapshot() {
	k := c.app.Command("snapshot", "Copies of what a collector has stored: make, list, check, put back.")
	cmd := &snapshotCommand{cli: c}

	sub := k.Command("create", "Have a running collector make one, below its data directory.")
	sub.Flag("url", "Address of the collector.").Default("http://127.0.0.1:9900").SetValue(address{&cmd.url})
	c.commands["snapshot create"] = cmd.create

	data := "Directory of everything that is kept."
	sub = k.Command("list", "List those in a data directory.")
	sub.Flag("data.path", data).Default("data").StringVar(&cmd.data)
	c.commands["snapshot list"] = cmd.list

	sub = k.Command("verify", "Read one and compare it with its list of checksums.")
	sub.Arg("snapshot", "Its name, or its directory if that is elsewhere.").Required().StringVar(&cmd.name)
	sub.Flag("data.path", data).Default("data").StringVar(&cmd.data)
	c.commands["snapshot verify"] = cmd.verify

	sub = k.Command("restore", "Put one back into a data directory that has no samples, while no collector uses it.")
	sub.Arg("snapshot", "Its name, or its directory if that is elsewhere.").Required().StringVar(&cmd.name)
	sub.Flag("data.path", "Directory that it is restored into.").Default("data").StringVar(&cmd.data)
	c.commands["snapshot restore"] = cmd.restore
}

// dir is where the snapshot lies that was named.
func (c *snapshotCommand) dir() string {
	if filepath.Base(c.name) == c.name {
		if in := filepath.Join(c.data, snapshotsDir, c.name); isDir(in) {
			return in
		}
	}
	return c.name
}

// makeSnapshots makes what copies the stores that are open.
func (p *collectorParts) makeSnapshots() error {
	sources := map[string]snapshot.Source{"tsdb": p.store}
	if p.rollups != nil {
		sources[rollupDir] = p.rollups
	}
	var err error
	p.snapshots, err = snapshot.New(snapshot.Options{
		Dir: filepath.Join(p.flags.data, snapshotsDir), Sources: sources, Version: version.Version,
		Log: p.log.With("component", "snapshot"), Registerer: p.registry,
	})
	return err
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func (c *snapshotCommand) create(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url.JoinPath(snapshot.Path).String(), nil)
	if err != nil {
		return usage(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		var why *url.Error
		if errors.As(err, &why) {
			err = why.Err
		}
		return exitError{exitUnreachable, fmt.Errorf("no collector answers at %s: %w; start one, or name it with --url", c.url.Redacted(), err)}
	}
	defer resp.Body.Close()
	bar := newBar(c.stderr)
	defer bar.end()
	lines := json.NewDecoder(resp.Body)
	for {
		var e snapshot.Event
		if err := lines.Decode(&e); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return errors.New("the collector went away before the snapshot was made")
			}
			return fmt.Errorf("%s answered %s, which is not what a collector says; is --url right?", c.url.Redacted(), resp.Status)
		}
		switch {
		case e.Error != "":
			return errors.New(e.Error)
		case e.Snapshot != nil:
			bar.end()
			for _, p := range e.Snapshot.Parts {
				fmt.Fprintln(c.stdout, describePart(p))
			}
			fmt.Fprintln(c.stdout, e.Snapshot.Dir)
			return nil
		}
		bar.show(e.Done, e.Total)
	}
}

func (c *snapshotCommand) list(context.Context) error {
	all, problems, err := snapshot.List(filepath.Join(c.data, snapshotsDir))
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	if len(all) > 0 {
		fmt.Fprintln(t, "NAME\tSIZE\tSTORE\tBLOCKS\tSAMPLES\tFROM\tTO")
	}
	for _, s := range all {
		name, size := s.Name, readable(s.Bytes())
		for _, p := range s.Parts {
			fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\t%s\n", name, size, p.Name, p.Blocks, p.Samples, day(p.From), day(p.To))
			name, size = "", ""
		}
	}
	return errors.Join(t.Flush(), errors.Join(problems...))
}

func (c *snapshotCommand) verify(ctx context.Context) error {
	bar := newBar(c.stderr)
	m, err := snapshot.Verify(ctx, c.dir(), bar.show)
	bar.end()
	if err != nil {
		return exitError{exitFindings, fmt.Errorf("%s: %w", c.dir(), err)}
	}
	fmt.Fprintf(c.stdout, "%s: ok, %s, %s\n", c.dir(), count(len(m.Files), "file"), readable(m.Bytes()))
	return nil
}

func (c *snapshotCommand) restore(ctx context.Context) error {
	bar := newBar(c.stderr)
	m, err := snapshot.Restore(ctx, c.dir(), c.data, bar.show)
	bar.end()
	if err != nil {
		return fmt.Errorf("restore %s: %w", c.dir(), err)
	}
	for _, p := range m.Parts {
		fmt.Fprintln(c.stdout, describePart(p))
	}
	fmt.Fprintf(c.stdout, "restored into %s; start the collector with --data.path=%s\n", c.data, c.data)
	return nil
}

// describePart is a store of a snapshot in a line.
func describePart(p snapshot.Part) string {
	if p.Blocks == 0 {
		return p.Name + ": nothing"
	}
	return fmt.Sprintf("%s: %s, %s, %s to %s", p.Name, count(p.Blocks, "block"), count(int(p.Samples), "sample"), day(p.From), day(p.To))
}

func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// readable is a number of bytes for people.
func readable(n int64) string {
	size, unit := float64(n), 0
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for size >= 1024 && unit < len(units)-1 {
		size, unit = size/1024, unit+1
	}
	return strconv.FormatFloat(size, 'f', min(unit, 1), 64) + " " + units[unit]
}

// bar shows on a terminal how far something is. Elsewhere it is silent.
type bar struct {
	w            io.Writer // nil: silent
	began, shown time.Time
}

func newBar(w io.Writer) *bar {
	b := &bar{began: time.Now()}
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			b.w = w
		}
	}
	return b
}

// show draws the bar anew, for so many bytes of all.
func (b *bar) show(done, total int64) {
	if total > 0 {
		b.draw(float64(done)/float64(total), "of "+readable(total))
	}
}

// draw draws the bar anew, five times a second at most. done is 0 to 1.
func (b *bar) draw(done float64, what string) {
	if b.w == nil || time.Since(b.shown) < 200*time.Millisecond {
		return
	}
	b.shown = time.Now()
	const width = 30
	left := time.Duration(float64(time.Since(b.began)) * (1/max(done, 0.001) - 1)).Round(time.Second)
	line := bytes.Repeat([]byte("."), width)
	copy(line, bytes.Repeat([]byte("#"), min(width, int(done*width))))
	fmt.Fprintf(b.w, "\r[%s] %3.0f %% %s, %v left \x1b[K", line, done*100, what, left)
}

// end takes the bar away.
func (b *bar) end() {
	if b.w != nil && !b.shown.IsZero() {
		fmt.Fprint(b.w, "\r\x1b[K")
		b.shown = time.Time{}
	}
}
