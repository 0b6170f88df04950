package scrape

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

const (
	textFormat  = "text/plain; version=0.0.4"
	openMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8"
	protobuf    = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)

// shelf is a book of a test with all that it counts. It checks what has to hold
// for all that comes out of it.
type shelf struct {
	t      testing.TB
	room   atomic.Int64
	counts counts
	book   book
	now    time.Time

	ended map[*sample.Group]bool
	began map[*sample.Group]int // groups that were out, and how many series they had
}

const shelfRoom = 100_000

func newShelf(t testing.TB) *shelf {
	s := &shelf{t: t, ended: map[*sample.Group]bool{}, began: map[*sample.Group]int{}, now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	s.room.Store(shelfRoom)
	s.book = book{
		labels: []sample.Label{{Name: "id", Value: "/docker/1"}, {Name: "job", Value: "shop"}},
		every:  15, limit: 5000, room: &s.room, counts: &s.counts,
	}
	return s
}

// read is a scrape that brings text.
func (s *shelf) read(contentType, text string) ([]sample.Column, error) {
	s.t.Helper()
	s.book.begin(s.now)
	err := parse(exposition{[]byte(text), contentType}, s.now, time.Minute, s.book.put)
	if err != nil {
		columns := s.book.abandon()
		s.check(columns, nil, false)
		return columns, err
	}
	columns, ended, renewed := s.book.finish()
	s.check(columns, ended, renewed)
	return columns, nil
}

func (s *shelf) check(columns []sample.Column, ended []*sample.Group, renewed bool) {
	s.t.Helper()
	if renewed {
		for _, g := range ended {
			delete(s.began, g)
		}
	}
	for _, g := range ended {
		if s.ended[g] {
			s.t.Error("a group ends twice")
		}
		s.ended[g] = true
	}
	series := make(map[string]bool)
	for _, c := range columns {
		switch n, known := s.began[c.Group]; {
		case s.ended[c.Group]:
			s.t.Error("a group that has ended is back")
		case known && n != len(c.Group.Series):
			s.t.Error("a group has changed")
		case len(c.Values) != len(c.Group.Series), len(c.Values) == 0:
			s.t.Errorf("%d values of %d series", len(c.Values), len(c.Group.Series))
		}
		s.began[c.Group] = len(c.Group.Series)
		for _, one := range c.Group.Series {
			key := written(c.Group, one)
			if series[key] {
				s.t.Errorf("two cells of %s", key)
			}
			series[key] = true
		}
	}
	weighs := 0
	for key := range s.book.cells {
		weighs += weight(len(key))
	}
	if used := shelfRoom - int(s.room.Load()); used != weighs || len(series) != len(s.book.cells) {
		s.t.Errorf("%d series, %d of them known, take the room of %d, not %d", len(series), len(s.book.cells), used, weighs)
	}
}

// take is read of what has to be understood, as lines.
func (s *shelf) take(contentType, text string) []string {
	s.t.Helper()
	columns, err := s.read(contentType, text)
	if err != nil {
		s.t.Fatal(err)
	}
	return lines(columns)
}

// lines are the values that are there, each with its type and labels.
func lines(columns []sample.Column) []string {
	var all []string
	for _, c := range columns {
		for i, v := range c.Values {
			if !sample.IsAbsent(v) {
				all = append(all, c.Group.Series[i].Metric.Type.String()+" "+written(c.Group, c.Group.Series[i])+" "+strconv.FormatFloat(v, 'g', -1, 64))
			}
		}
	}
	return all
}

// written is a series as people write it, its name and labels in any order.
func written(g *sample.Group, s sample.Series) string {
	labels := make(map[string]string)
	var pairs []string
	for _, l := range s.Labels {
		if _, twice := labels[l.Name]; twice {
			panic("a label twice: " + l.Name)
		}
		labels[l.Name] = l.Value
		pairs = append(pairs, l.Name+"="+strconv.Quote(l.Value))
	}
	for _, l := range g.Labels {
		if _, twice := labels[l.Name]; twice {
			panic("a label twice: " + l.Name)
		}
	}
	slices.Sort(pairs)
	if len(pairs) == 0 {
		return s.Metric.Name
	}
	return s.Metric.Name + "{" + strings.Join(pairs, ",") + "}"
}

func (s *shelf) counted() map[string]uint64 {
	all := make(map[string]uint64)
	for r := range s.counts {
		if n := s.counts[r].Load(); n > 0 {
			all[Reason(r).String()] = n
		}
	}
	return all
}

func want(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// delimited is families in protobuf, each behind its length.
func delimited(t testing.TB, families ...*dto.MetricFamily) string {
	t.Helper()
	var b bytes.Buffer
	for _, f := range families {
		data, err := proto.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(binary.AppendUvarint(nil, uint64(len(data))))
		b.Write(data)
	}
	return b.String()
}
