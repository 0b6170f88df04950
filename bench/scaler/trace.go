package scaler

import (
	"bufio"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Trace is a load over time, in cores that it would use without limits.
type Trace struct {
	Name   string
	Length time.Duration
	// Load at a time since the start; below 0 it is the past, which forecasts
	// have seen.
	Load func(at time.Duration) float64
	// Past is how much of it there is; 0 for none.
	Past time.Duration
	// Dark are the times in which nothing is measured: from, to.
	Dark [][2]time.Duration
}

func (t Trace) dark(at time.Duration) bool {
	for _, d := range t.Dark {
		if d[0] <= at && at < d[1] {
			return true
		}
	}
	return false
}

const day = 24 * time.Hour

// between15 is the moment of jumps: in the middle between two looks of who looks
// each 15 s at whole quarters of a minute, which is what such a one has on average.
const between15 = 7 * time.Second

// traces are the ones of the table. They are made here, from a seed, and are the
// same on every machine.
func traces(seed uint64) []Trace {
	s := seeds(seed)
	return []Trace{
		{Name: "step", Length: time.Hour, Past: 14 * day, Load: func(at time.Duration) float64 {
			if at >= 10*time.Minute+between15 && at < 40*time.Minute+between15 {
				return 10
			}
			return 1
		}},
		{Name: "ramp", Length: time.Hour, Past: 14 * day, Load: func(at time.Duration) float64 {
			return between(at, 5*time.Minute, 55*time.Minute, 1, 20)
		}},
		{Name: "flash", Length: 4 * time.Hour, Past: 14 * day, Load: s.flash},
		{Name: "wave", Length: 2 * time.Hour, Load: func(at time.Duration) float64 {
			return max(0.5, 5+3*math.Sin(turns(at, 20*time.Minute))+0.5*s.noise(1, at, 5*time.Second))
		}},
		{Name: "on-off", Length: 2 * time.Hour, Load: func(at time.Duration) float64 {
			if (at-between15+10*time.Minute)/(10*time.Minute)%2 == 0 {
				return 8
			}
			return 1
		}},
		{Name: "weeks", Length: 2 * day, Past: 28 * day, Load: s.weeks},
		{Name: "outage", Length: 2 * time.Hour, Dark: [][2]time.Duration{{40 * time.Minute, 52 * time.Minute}}, Load: s.outage},
		{Name: "quiet", Length: 2 * time.Hour, Past: 14 * day, Load: func(at time.Duration) float64 {
			return 4.2 + 0.05*s.noise(2, at, 5*time.Second)
		}},
		{Name: "day", Length: day, Past: 14 * day, Load: s.ordinary},
	}
}

// flash is a sale each evening: the run begins at 18:00, the sale is at 20:00 and
// lasts half an hour. Its rise takes a minute, and it is never quite as large as
// the day before.
func (s seeds) flash(at time.Duration) float64 {
	clock := at + 18*time.Hour
	today := int(math.Floor(clock.Hours() / 24))
	base := 4 + 1.5*math.Sin(turns(clock-9*time.Hour, day)) + 0.15*s.noise(3, at, 10*time.Second)
	in := clock - time.Duration(today)*day
	peak := 24 * (1 + 0.1*s.random(4, today))
	begin := 20*time.Hour + between15
	switch {
	case in < begin || in >= begin+35*time.Minute:
		return max(0.5, base)
	case in < begin+time.Minute:
		return between(in, begin, begin+time.Minute, base, peak)
	case in < begin+30*time.Minute:
		return peak * (1 + 0.03*s.noise(5, at, 10*time.Second))
	}
	return between(in, begin+30*time.Minute, begin+35*time.Minute, peak, base)
}

// weeks are days with a peak at noon and one in the evening, quieter on two of
// seven, that grow by 2 % a week. The run begins on a Sunday's midnight.
func (s seeds) weeks(at time.Duration) float64 {
	const sunday = 6
	today := int(math.Floor(at.Hours() / 24))
	in := (at - time.Duration(today)*day).Hours()
	busy := 1.0
	if weekday := ((today+sunday)%7 + 7) % 7; weekday >= 5 {
		busy = 0.6
	}
	grown := 1 + 0.02*at.Hours()/(7*24)
	shape := 2 + 6*hump(in, 12, 3) + 8*hump(in, 20, 2)
	return max(0.5, busy*grown*shape+0.2*s.noise(6, at, 10*time.Second))
}

// ordinary is a day of many users: a slow wave, noise that hangs on for minutes,
// and now and then a burst.
func (s seeds) ordinary(at time.Duration) float64 {
	load := 10 + 6*math.Sin(turns(at-8*time.Hour, day)) + 0.6*s.noise(7, at, time.Minute) + 0.4*s.noise(8, at, 5*time.Second)
	hour := int(math.Floor(at.Hours()))
	if s.random(9, hour) > 0.6 {
		begin := time.Duration(hour)*time.Hour + time.Duration(30+20*s.random(10, hour))*time.Minute
		if at >= begin && at < begin+4*time.Minute {
			load *= 1.6
		}
	}
	return max(0.5, load)
}

// outage is a wave on which callers go away for a quarter of an hour, most of it
// while nothing is measured, and come back all at once.
func (s seeds) outage(at time.Duration) float64 {
	load := 8 + 2*math.Sin(turns(at, 40*time.Minute)) + 0.3*s.noise(11, at, 5*time.Second)
	if at >= 40*time.Minute && at < 55*time.Minute {
		load *= 0.15
	}
	return load
}

// turns is the angle of a wave.
func turns(at, period time.Duration) float64 {
	return 2 * math.Pi * at.Seconds() / period.Seconds()
}

// hump is 1 at the hour of its middle and falls off to both sides.
func hump(hour, middle, width float64) float64 {
	d := (hour - middle) / width
	return math.Exp(-d * d)
}

// between goes straight from a to b, from one time to another.
func between(at, from, to time.Duration, a, b float64) float64 {
	share := min(max((at-from).Seconds()/(to-from).Seconds(), 0), 1)
	return a + share*(b-a)
}

// seeds is what makes noise, the same each time.
type seeds uint64

// random is the nth number of a row of them, from −1 to 1.
func (s seeds) random(row uint64, n int) float64 {
	return 2*rand.New(rand.NewPCG(uint64(s)<<8+row, uint64(int64(n)))).Float64() - 1
}

// noise wanders between random numbers of a row, one each hold.
func (s seeds) noise(row uint64, at, hold time.Duration) float64 {
	x := at.Seconds() / hold.Seconds()
	n := math.Floor(x)
	a, b := s.random(row, int(n)), s.random(row, int(n)+1)
	return a + (x-n)*(b-a)
}

// readTrace reads lines of a time and a rate: seconds since the start, since 1970,
// or an RFC 3339 time; requests per second, of which perCore take one core. What
// follows a # is a comment. Between two lines the load goes straight.
func readTrace(path string, perCore float64) (Trace, error) {
	f, err := os.Open(path)
	if err != nil {
		return Trace{}, err
	}
	defer f.Close()
	var at, load []float64
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' || r == ';' })
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 2 {
			return Trace{}, fmt.Errorf("%s:%d: %d fields, want a time and a rate", path, n, len(fields))
		}
		second, err := seconds(fields[0])
		if err != nil {
			return Trace{}, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		rate, err := strconv.ParseFloat(fields[1], 64)
		if err != nil || !(rate/perCore >= 0) || math.IsInf(rate/perCore, 0) {
			return Trace{}, fmt.Errorf("%s:%d: rate %q is not a number of 0 or more", path, n, fields[1])
		}
		if len(at) > 0 && second <= at[len(at)-1] {
			return Trace{}, fmt.Errorf("%s:%d: the time is not after the line before", path, n)
		}
		at, load = append(at, second), append(load, rate/perCore)
	}
	if err := lines.Err(); err != nil {
		return Trace{}, fmt.Errorf("%s: %w", path, err)
	}
	if len(at) < 2 {
		return Trace{}, fmt.Errorf("%s: a trace takes two lines at least", path)
	}
	first := at[0]
	for i := range at {
		at[i] -= first
	}
	if most := 366 * day; at[len(at)-1] > most.Seconds() {
		return Trace{}, fmt.Errorf("%s: it is longer than %s", path, most)
	}
	return Trace{
		Name: strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), Length: time.Duration(at[len(at)-1]) * time.Second,
		Load: func(t time.Duration) float64 { return along(at, load, t.Seconds()) },
	}, nil
}

func seconds(text string) (float64, error) {
	const most = 1e11 // the year 5138
	if s, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(s) < most {
		return s, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, fmt.Errorf("time %q is neither seconds nor RFC 3339", text)
	}
	return float64(t.UnixMilli()) / 1000, nil
}

// along is the height of a line through points at x.
func along(xs, ys []float64, x float64) float64 {
	i := sort.SearchFloat64s(xs, x)
	switch {
	case i == 0:
		return ys[0]
	case i == len(xs):
		return ys[len(ys)-1]
	}
	return ys[i-1] + (x-xs[i-1])/(xs[i]-xs[i-1])*(ys[i]-ys[i-1])
}
