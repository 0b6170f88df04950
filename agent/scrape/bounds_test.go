package scrape

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

func TestASeriesOutOfBoundsCostsNoOther(t *testing.T) {
	many := func(n int) string {
		var pairs []string
		for i := range n {
			pairs = append(pairs, fmt.Sprintf(`l%d="v"`, i))
		}
		return strings.Join(pairs, ",")
	}
	long := func(n int) string { return strings.Repeat("n", n) }
	s := newShelf(t)
	got := s.take(textFormat, strings.Join([]string{
		`a{` + many(maxLabels) + `} 1`,
		`b{` + many(maxLabels+1) + `} 1`,
		`c{` + long(maxNameBytes) + `="` + long(maxValueBytes) + `"} 1`,
		`d{` + long(maxNameBytes+1) + `="v"} 1`,
		`e{l="` + long(maxValueBytes+1) + `"} 1`,
		long(maxNameBytes) + ` 1`,
		long(maxNameBytes+1) + ` 1`,
		`f{` + many(10_000) + `} 1`,
		`g 1`,
		"h{a=\"line\nwith \u0000 and \\\"\"} 1",
	}, "\n")+"\n")
	var names []string
	for _, line := range got {
		names = append(names, line[len("untyped "):][:1])
	}
	want(t, "series", names, []string{"a", "c", "n", "g", "h"})
	want(t, "dropped", s.counted(), map[string]uint64{"labels": 2, "length": 3})
}

// It would take the parser a hundred times its length.
func TestASeriesWithoutEndIsNotEvenParsed(t *testing.T) {
	labels := func(n int, one string) string { return strings.Repeat(one, n) }
	tests := map[string]struct {
		text string
		ok   bool
	}{
		"as long as may be":     {"x 1\ny{a=\"" + labels(maxSeriesBytes-10, "v") + "\"} 1\nz 1\n", true},
		"one label without end": {"x 1\ny{a=\"" + labels(maxSeriesBytes, "v") + "\"} 1\n", false},
		"labels without end":    {"x{" + labels(1<<20, `a="",`) + "} 1\n", false},
		"with newlines in them": {"x{" + labels(1<<20, "a=\"\n\",") + "} 1\n", false},
		"with quotes in them":   {"x{" + labels(1<<20, `a="\"",`) + "} 1\n", false},
		"after odd comments":    {" \t# HELP y 5\" wide\n" + labels(1<<18, "x 1\n"), true},
		"many short ones":       {labels(1<<18, "x{a=\"\\\"\"} 1\n"), true},
		"no newline at all":     {labels(maxSeriesBytes+1, "x"), false},
	}
	for name, tt := range tests {
		if shortSeries([]byte(tt.text)) != tt.ok {
			t.Errorf("%s: %v", name, !tt.ok)
		}
	}
	_, err := newShelf(t).read(textFormat, tests["labels without end"].text)
	if reasonOf(err, Broken) != TooLarge {
		t.Error(err)
	}
}

func TestAnExpositionOfFarTooManySamplesIsNotReadToItsEnd(t *testing.T) {
	s := newShelf(t)
	s.book.limit = 10
	s.take(textFormat, strings.Repeat("x 1\n", 10*manySamples))
	if _, err := s.read(textFormat, strings.Repeat("x 1\n", 10*manySamples+1)); reasonOf(err, Broken) != TooLarge {
		t.Error(err)
	}
}

// A name per request is the mistake that everybody makes once.
func TestSeriesThatKeepChangingTakeNoMoreAndMoreRoom(t *testing.T) {
	s := newShelf(t)
	groups := make(map[*sample.Group]bool)
	for i := range 100 {
		var text strings.Builder
		fmt.Fprintln(&text, "stays 1")
		for j := range 99 {
			// One of each scrape stays a while, so that its group does.
			fmt.Fprintf(&text, "x{request=\"%d\"} 1\n", i*100+j)
			if j == 0 {
				for back := range min(i, 50) {
					fmt.Fprintf(&text, "x{request=\"%d\"} 1\n", (i-back-1)*100)
				}
			}
		}
		s.now = s.now.Add(time.Minute)
		columns, err := s.read(textFormat, text.String())
		if err != nil {
			t.Fatal(err)
		}
		if got := len(lines(columns)); got != 100+min(i, 50) {
			t.Fatalf("scrape %d: %d series", i, got)
		}
		for _, c := range columns {
			groups[c.Group] = true
		}
		if n := len(s.book.cells); n > 2*(maxDead+200) {
			t.Fatalf("scrape %d: %d series are kept of %d", i, n, 100+min(i, 50))
		}
	}
	if len(groups) > 120 {
		t.Errorf("%d groups", len(groups))
	}
}

func TestNewSeriesOfATargetAreRationed(t *testing.T) {
	s := newShelf(t)
	s.book.limit = 60
	n := 0
	scrape := func() int {
		var text strings.Builder
		for range 60 {
			n++
			fmt.Fprintf(&text, "x{n=\"%d\"} 1\n", n)
		}
		return len(s.take(textFormat, text.String()))
	}
	for _, step := range []struct {
		later time.Duration
		want  int
	}{{0, 60}, {time.Second, 0}, {churn / 2, 30}, {churn / 4, 15}, {-time.Hour, 0}, {time.Hour, 60}, {0, 0}} {
		s.now = s.now.Add(step.later)
		if got := scrape(); got != step.want {
			t.Errorf("after %s: %d new series, want %d", step.later, got, step.want)
		}
	}
	if s.counted()["churn"] != 60+30+45+60+60 {
		t.Errorf("dropped %v", s.counted())
	}

	s = newShelf(t)
	s.book.limit = 10
	for range 5 { // what was in a scrape that failed was not new
		_, _ = s.read(textFormat, "a 1\nb 1\nc 1\nnonsense\n")
	}
	want(t, "after failures", s.take(textFormat, "a 1\n"), []string{"untyped a 1"})
}

func TestASeriesWithLongLabelsCountsAsSeveral(t *testing.T) {
	s := newShelf(t)
	s.book.limit = 10
	long := strings.Repeat("v", maxValueBytes)
	got := s.take(textFormat, `x{a="`+long+`",b="`+long+`"} 1
y{a="`+long+`",b="`+long+`"} 1
z{a="`+long+`",b="`+long+`"} 1
`)
	if len(got) != 2 {
		t.Errorf("%d series of five each", len(got))
	}
	want(t, "dropped", s.counted(), map[string]uint64{"target_limit": 1})
}

func TestSeriesBeyondALimitAreCountedAndTheOthersStay(t *testing.T) {
	var ten strings.Builder
	for i := range 10 {
		fmt.Fprintf(&ten, "x{n=\"%d\"} 1\n", i)
	}
	s := newShelf(t)
	s.book.limit = 4
	for range 2 {
		if got := s.take(textFormat, ten.String()); len(got) != 4 {
			t.Errorf("%d series", len(got))
		}
	}
	want(t, "dropped", s.counted(), map[string]uint64{"target_limit": 12})

	s = newShelf(t)
	s.room.Store(3)
	s.book.begin(s.now)
	if err := parse(exposition{[]byte(ten.String()), textFormat}, s.now, time.Minute, s.book.put); err != nil {
		t.Fatal(err)
	}
	columns, _, _ := s.book.finish()
	if got := len(lines(columns)); got != 3 {
		t.Errorf("%d series where there is room for three", got)
	}
	want(t, "dropped", s.counted(), map[string]uint64{"node_limit": 7})
	s.book.close()
	if s.room.Load() != 3 {
		t.Errorf("room for %d after all", s.room.Load())
	}
}
