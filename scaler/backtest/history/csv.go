package history

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/backtest"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// File is a load from a file: a column of times, and others by name.
type File struct {
	Start   time.Time
	Step    time.Duration // the usual time between two rows
	Columns map[string][]float64
	Names   []string // in the order of the file
}

const (
	// maxRows bounds a file with one column: a year of seconds.
	maxRows = 366 * 24 * 3600
	// maxLine bounds a line, in bytes, and maxColumns its parts.
	maxLine    = 64 << 10
	maxColumns = 64
)

// ReadCSV reads rows of a time and values, the oldest first:
//
//	time,req_s,ready
//	2026-11-02T00:00:00Z,120.5,4
//	2026-11-02T00:01:00Z,,4
//
// A time is RFC 3339 or seconds since 1970, or since whenever the file begins. The
// first line may name the columns; those of a file without names are value, value2
// and so on. What is empty or NaN is not known, and neither is what lies further
// behind a row than three usual times between two: a gap is not zero. Lines that begin
// with # are left out.
func ReadCSV(r io.Reader) (File, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	var f table
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if n == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		if text == "" || text[0] == '#' {
			continue
		}
		if err := f.line(strings.Split(text, ",")); err != nil {
			return File{}, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return File{}, err
	}
	return f.even()
}

// table is a file as it is read.
type table struct {
	names  []string
	times  []float64 // seconds
	values [][]float64
}

func (t *table) line(parts []string) error {
	for i := range parts {
		parts[i] = strings.Trim(strings.TrimSpace(parts[i]), `"`)
	}
	if t.names == nil {
		if err := t.name(parts); err != nil || t.names != nil && !isTime(parts[0]) {
			return err
		}
	}
	if len(parts) != len(t.names) {
		return fmt.Errorf("%d values where %d are meant", len(parts), len(t.names))
	}
	at, err := parseTime(parts[0])
	if err != nil {
		return err
	}
	if n := len(t.times); n > 0 && at <= t.times[n-1] {
		return fmt.Errorf("%s is not after the time before", parts[0])
	}
	if len(t.times) == maxRows {
		return fmt.Errorf("more than %d rows", maxRows)
	}
	t.times = append(t.times, at)
	for i, text := range parts[1:] {
		v := math.NaN()
		if text != "" {
			if v, err = strconv.ParseFloat(text, 64); err != nil {
				return fmt.Errorf("%q is not a number", text)
			}
		}
		t.values[i] = append(t.values[i], v)
	}
	return nil
}

// name names the columns: by the first line, or by their number.
func (t *table) name(parts []string) error {
	switch {
	case len(parts) < 2:
		return errors.New("want a time, a comma and a value")
	case len(parts) > maxColumns:
		return fmt.Errorf("%d columns, more than %d", len(parts), maxColumns)
	}
	t.values = make([][]float64, len(parts)-1)
	t.names = slices.Clone(parts)
	if !isTime(parts[0]) {
		sorted := slices.Clone(parts)
		slices.Sort(sorted)
		if len(slices.Compact(sorted)) < len(parts) || slices.Contains(parts, "") {
			return errors.New("each column takes a name of its own")
		}
		return nil
	}
	for i := range t.names {
		t.names[i] = "value"
		if i > 1 {
			t.names[i] += strconv.Itoa(i)
		}
	}
	return nil
}

func isTime(text string) bool {
	_, err := parseTime(text)
	return err == nil
}

// The years that a time may be of. Seconds before 1971 count from a beginning that
// nobody told.
const earliest, latest = 0, 253402300799 // 1970 to 9999

func parseTime(text string) (seconds float64, err error) {
	if seconds, err = strconv.ParseFloat(text, 64); err != nil {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return 0, fmt.Errorf("%q is no time, write it like 2026-11-21T18:00:00Z, or as seconds since 1970", text)
		}
		seconds = float64(at.UnixMilli()) / 1000
	}
	if !(seconds >= earliest && seconds <= latest) {
		return 0, fmt.Errorf("%s is outside of the years 1970 to 9999", text)
	}
	return seconds, nil
}

// even puts the rows on even steps.
func (t *table) even() (File, error) {
	n := len(t.times)
	if n < 2 {
		return File{}, errors.New("fewer than two rows, which is no load")
	}
	apart := make([]float64, 0, n-1)
	for i := 1; i < n; i++ {
		apart = append(apart, t.times[i]-t.times[i-1])
	}
	slices.Sort(apart)
	step := max(1, math.Round(apart[(len(apart)-1)/2]))
	steps := math.Floor((t.times[n-1]-t.times[0])/step) + 1
	if most := float64(maxRows / len(t.values)); steps > most {
		return File{}, fmt.Errorf("%.0f steps of %.0f s from the first row to the last, more than %.0f for so many columns", steps, step, most)
	}
	f := File{Start: time.UnixMilli(int64(t.times[0] * 1000)).UTC(), Step: time.Duration(step) * time.Second, Names: t.names[1:], Columns: map[string][]float64{}}
	for c, name := range f.Names {
		values := make([]float64, int(steps))
		row := 0
		for i := range values {
			at := t.times[0] + float64(i)*step
			for row+1 < n && t.times[row+1] <= at+step/2 {
				row++
			}
			values[i] = math.NaN()
			if at-t.times[row] < 3*step {
				values[i] = t.values[c][row]
			}
		}
		f.Columns[name] = values
	}
	return f, nil
}

// The columns of a file that are about replicas.
const (
	columnDesired = "desired"
	columnReady   = "ready"
)

// History is the history of a policy by the columns of a file. A signal's has its
// name; if there is one signal and one column, it may have any. For signals that read
// what each replica uses, a column has what all of them used, in cores or bytes, and
// limits are what one replica has of it, by signal.
func (f File) History(app policy.App, limits map[string]float64) (History, error) {
	f2 := fetcher{ask: Ask{App: app, Span: Span{From: f.Start, Step: f.Step}}}
	var free []string
	for _, name := range f.Names {
		switch name {
		case columnDesired:
			f2.Desired = f.load(name)
		case columnReady:
			f2.Ready = f.load(name)
		default:
			free = append(free, name)
		}
	}
	for _, s := range app.Signals {
		name := s.Name
		if len(app.Signals) == 1 && len(free) == 1 {
			name = free[0]
		}
		if f.Columns[name] == nil || name == columnDesired || name == columnReady {
			f2.leave(s, "the file has no column %s", s.Name)
			continue
		}
		f2.column(s, slices.Clone(f.Columns[name]), limits[s.Name])
	}
	f2.judge()
	if len(f2.Lanes) == 0 {
		return f2.History, fmt.Errorf("no signal of policy %s has a column in the file, which has %s: name one %s",
			app.Name, strings.Join(f.Names, ", "), app.Signals[0].Name)
	}
	return f2.History, nil
}

func (f File) load(name string) backtest.Load {
	return backtest.Load{Start: f.Start, Step: f.Step, Values: f.Columns[name]}
}

// column adds the lane of a signal.
func (f *fetcher) column(s policy.Signal, values []float64, limit float64) {
	if s.Source == policy.Query && (s.Type == policy.Threshold || s.Type == policy.Steps) {
		f.reacting(s, values)
		return
	}
	if s.Of != policy.Limit && s.Of != policy.Request {
		f.add(s, values, nil)
		return
	}
	if limit == 0 && s.Source == policy.Memory {
		f.leave(s, "say how much memory a replica has, in bytes, with --capacity=%s=…", s.Name)
		return
	}
	if limit == 0 {
		limit = 1
		f.note("%s: a replica is taken to have 1 of it; say how much it has with --capacity=%s=…", s.Name, s.Name)
	}
	f.add(s, values, func(i int) bool {
		ready := f.ready(i)
		return s.Source == policy.CPU && ready > 0 && values[i] >= full*limit*ready
	})
	lane := f.lane(s.Name)
	lane.Full, lane.Unit = limit, limit
	lane.Good, lane.Idle = lane.Good*limit, lane.Idle*limit
	if s.Source == policy.Memory {
		lane.Full = 0
	}
}
