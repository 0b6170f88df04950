package ingest

import (
	"slices"
	"sort"
)

// frames is a set of frame numbers, as runs in order that do not touch. What an
// agent sends is one run in the end; while the past is being filled in there are
// a few.
type frames []run

// run are the frames from one number up to, but not including, another.
type run struct{ from, until uint64 }

func (r run) len() uint64 { return r.until - r.from }

// at is the index of the first run that ends behind n.
func (s frames) at(n uint64) int {
	if k := len(s) - 1; k >= 0 && n >= s[k].from { // nearly always
		if n < s[k].until {
			return k
		}
		return k + 1
	}
	return sort.Search(len(s), func(i int) bool { return s[i].until > n })
}

func (s frames) has(n uint64) bool {
	i := s.at(n)
	return i < len(s) && s[i].from <= n
}

// add takes in the numbers of r.
func (s *frames) add(r run) {
	if r.from >= r.until {
		return
	}
	if k := len(*s) - 1; k >= 0 && (*s)[k].until == r.from {
		(*s)[k].until = r.until
		return
	}
	i := sort.Search(len(*s), func(i int) bool { return (*s)[i].until >= r.from })
	j := i
	for j < len(*s) && (*s)[j].from <= r.until {
		r = run{min(r.from, (*s)[j].from), max(r.until, (*s)[j].until)}
		j++
	}
	*s = slices.Replace(*s, i, j, r)
}

// bound leaves that many runs at most, by filling the oldest gaps, and tells how
// many numbers that were not there it has taken in.
func (s *frames) bound(most int) (filled uint64) {
	n := len(*s)
	if n <= most {
		return 0
	}
	r := run{(*s)[0].from, (*s)[n-most].from}
	filled = s.missing(r).count()
	s.add(r)
	return filled
}

// missing are the runs of r that are not in the set.
func (s frames) missing(r run) (gaps frames) {
	for i := s.at(r.from); r.from < r.until; i++ {
		if i == len(s) || s[i].from >= r.until {
			return append(gaps, r)
		}
		if s[i].from > r.from {
			gaps = append(gaps, run{r.from, s[i].from})
		}
		r.from = s[i].until
	}
	return gaps
}

// first is the first run of r that is not in the set; empty if all is.
func (s frames) first(r run) run {
	i := s.at(r.from)
	if i < len(s) && s[i].from <= r.from {
		r.from = s[i].until
		i++
	}
	if i < len(s) {
		r.until = min(r.until, s[i].from)
	}
	if r.from >= r.until {
		return run{}
	}
	return r
}

// count is how many numbers there are.
func (s frames) count() (n uint64) {
	for _, r := range s {
		n += r.len()
	}
	return n
}

// head is the highest number; 0 if there is none.
func (s frames) head() uint64 {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1].until - 1
}

// prefix is the number up to which there are all from 0 on.
func (s frames) prefix() uint64 {
	if len(s) == 0 || s[0].from > 0 {
		return 0
	}
	return s[0].until - 1
}

// framesOf makes a set of numbers, which it sorts.
func framesOf(numbers []uint64) (s frames) {
	slices.Sort(numbers)
	for _, n := range numbers {
		s.add(run{n, n + 1})
	}
	return s
}
