package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Schedule is a window of time in which a workload has a floor, a ceiling or
// both, whatever its signals say. It is a state, not an event: at any moment the
// window is open or not, so that nothing is missed by whoever starts in the
// middle of it, and nothing that is scaled by hand within it stays.
type Schedule struct {
	// Name of the schedule, unique in the policy.
	Name string `yaml:"name" json:"name"`
	// Cron is when the window opens, again and again: minute, hour, day of the
	// month, month, day of the week, as in crontab(5), by the clocks of TZ.
	Cron string `yaml:"cron" json:"cron,omitempty"`
	// At is when it opens once, instead of Cron: a time with its offset, like
	// 2026-11-11T00:00:00+08:00.
	At time.Time `yaml:"-" json:"at,omitzero"`
	// AtText is At as the file has it.
	AtText string `yaml:"at" json:"-"`
	// Duration is how long it stays open, 1m to 7d of real time, also over a
	// change of the clocks.
	Duration time.Duration `yaml:"duration" json:"duration"`
	// TZ is whose clocks Cron goes by: a name of the IANA data base. It has no
	// default: the collector's own clock is nobody's.
	TZ string `yaml:"tz" json:"tz,omitempty"`
	// Floor is the least number of replicas within the window.
	Floor int `yaml:"floor" json:"floor,omitempty"`
	// Ceiling is the greatest.
	Ceiling int `yaml:"ceiling" json:"ceiling,omitempty"`
	// Exact stands for a Floor and a Ceiling of that number.
	Exact int `yaml:"exact" json:"exact,omitempty"`
	// Ramp is the time in which Floor grows from nothing to its number.
	Ramp time.Duration `yaml:"ramp" json:"ramp,omitempty"`
	// Lead is how long before the window its floor applies, so that replicas
	// are ready when it opens: with auto as long as they take to start, and an
	// interval more. 0s to 1h.
	Lead Span `yaml:"lead" json:"lead"`

	spec *cron.SpecSchedule // of Cron; nil until compiled
	zone *time.Location     // of TZ
}

// SetDefaults is for conf, which calls it before it reads a schedule.
func (s *Schedule) SetDefaults() { *s = Schedule{Lead: Span{Auto: true}} }

// mostDuration bounds a window, and with it how far back one looks.
const mostDuration = 7 * 24 * time.Hour

// compile makes of the texts what Opened needs.
func (s *Schedule) compile() (cronErr, zoneErr error) {
	s.zone = time.UTC
	if s.TZ != "" {
		if zone, err := time.LoadLocation(s.TZ); err != nil {
			zoneErr = err
		} else {
			s.zone = zone
		}
	}
	if s.Cron != "" {
		s.spec, cronErr = fields(s.Cron)
	}
	return cronErr, zoneErr
}

// fields reads the five of a crontab(5), and nothing else that cron knows: a zone
// within it would stand beside TZ, and an interval like @every 1h begins when the
// reader does. The times that they name are those on a clock's face.
func fields(text string) (*cron.SpecSchedule, error) {
	if strings.ContainsAny(text, "@=") {
		return nil, errors.New("is not five fields")
	}
	s, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(text)
	if err != nil {
		return nil, err
	}
	spec, ok := s.(*cron.SpecSchedule)
	if !ok {
		return nil, errors.New("is not five fields")
	}
	return spec, nil
}

// hasHour tells whether the fields name an hour from one on a clock's face to
// another. It is far cheaper than to ask for the next time, which may be years
// ahead, and answers for most schedules at most moments.
func hasHour(spec *cron.SpecSchedule, from, to time.Time) bool {
	const day = 24 * time.Hour
	for d := from.Truncate(day); !d.After(to); d = d.Add(day) {
		first, last := 0, 23
		if d.Before(from) {
			first = from.Hour()
		}
		if to.Before(d.Add(day)) {
			last = to.Hour()
		}
		if spec.Hour>>first<<first&(2<<last-1) != 0 && hasDay(spec, d) {
			return true
		}
	}
	return false
}

// hasDay tells whether the fields name a day: if both of its fields are given,
// either will do, as in crontab(5).
func hasDay(spec *cron.SpecSchedule, d time.Time) bool {
	const star = 1 << 63 // that the field is one
	if spec.Month&(1<<d.Month()) == 0 {
		return false
	}
	ofMonth, ofWeek := spec.Dom&(1<<d.Day()) != 0, spec.Dow&(1<<d.Weekday()) != 0
	if spec.Dom&star != 0 || spec.Dow&star != 0 {
		return ofMonth && ofWeek
	}
	return ofMonth || ofWeek
}

// Opened is when the window that is open at now opened, and whether one is. Of
// windows that overlap it is the one that has been open longest. A schedule that
// has a mistake is never open.
func (s Schedule) Opened(now time.Time) (at time.Time, open bool) {
	if !s.At.IsZero() {
		return s.At, !now.Before(s.At) && now.Before(s.At.Add(s.Duration))
	}
	if s.spec == nil {
		if c, z := s.compile(); c != nil || z != nil || s.spec == nil {
			return time.Time{}, false
		}
	}
	earliest := now.Add(-min(s.Duration, mostDuration)) // opened then, it is just closed
	// A day before is enough: no clock was ever changed by more.
	face, last := onFace(earliest.Add(-mostShift), s.zone), onFace(now.Add(mostShift), s.zone)
	for {
		if !hasHour(s.spec, face, last) {
			return time.Time{}, false
		}
		if face = s.spec.Next(face); face.IsZero() {
			return time.Time{}, false // a day that never comes, like 30 February
		}
		at := fromFace(face, s.zone)
		if at.After(now) {
			return time.Time{}, false
		}
		if at.After(earliest) {
			return at, true
		}
	}
}

// mostShift is more than clocks are ever changed by, but for days that a country
// left out.
const mostShift = 3 * time.Hour

// onFace is what a clock in the zone shows, as a time in UTC.
func onFace(t time.Time, zone *time.Location) time.Time {
	_, offset := t.In(zone).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// fromFace is the moment at which a clock in the zone shows that. What it shows
// twice, it shows first; what it leaves out is the moment at which it does.
func fromFace(face time.Time, zone *time.Location) time.Time {
	var first time.Time
	for _, near := range [...]time.Duration{-26 * time.Hour, 26 * time.Hour} {
		_, offset := face.Add(near).In(zone).Zone()
		at := face.Add(-time.Duration(offset) * time.Second)
		if onFace(at, zone).Equal(face) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if !first.IsZero() {
		return first
	}
	// Between the offset of before and that of after: when the one became the
	// other.
	_, offset := face.Add(-26 * time.Hour).In(zone).Zone()
	late := face.Add(-time.Duration(offset) * time.Second)
	began, _ := late.In(zone).ZoneBounds()
	return began.UTC()
}

// Least is the floor at now: that of a window that is open, or that will be
// within the lead; 0 if there is none.
func (s Schedule) Least(now time.Time, lead time.Duration) int {
	floor := max(s.Floor, s.Exact)
	if floor == 0 {
		return 0
	}
	at, open := s.Opened(now)
	if !open {
		if at, open = s.Opened(now.Add(lead)); !open {
			return 0
		}
	}
	if since := now.Add(lead).Sub(at); s.Ramp > 0 && since < s.Ramp {
		return int(float64(floor) * max(float64(since), 0) / float64(s.Ramp))
	}
	return floor
}

// Most is the ceiling at now, and whether there is one.
func (s Schedule) Most(now time.Time) (int, bool) {
	ceiling := s.Ceiling
	if s.Exact > 0 {
		ceiling = s.Exact
	}
	if ceiling == 0 {
		return 0, false
	}
	_, open := s.Opened(now)
	return ceiling, open
}

// Prewarm is how long before it is needed a replica has to be asked for, where
// replicas take boot to start; 0 if that is not known, for which auto stands for
// a minute. An hour at most.
func (a App) Prewarm(lead Span, boot time.Duration) time.Duration {
	switch {
	case !lead.Auto:
		return lead.Time
	case boot <= 0:
		return time.Minute
	}
	return min(boot+a.Interval, time.Hour)
}

// Scheduled is the highest floor of the schedules at now and the lowest ceiling,
// each with the name of its schedule; 0 where there is none. Replicas take boot
// to start; 0 if that is not known.
func (a App) Scheduled(now time.Time, boot time.Duration) (floor int, lifts string, ceiling int, holds string) {
	for _, s := range a.Schedules {
		if n := s.Least(now, a.Prewarm(s.Lead, boot)); n > floor {
			floor, lifts = n, s.Name
		}
		if n, open := s.Most(now); open && (ceiling == 0 || n < ceiling) {
			ceiling, holds = n, s.Name
		}
	}
	return floor, lifts, ceiling, holds
}

func (c *checker) schedules(a *App, path string) {
	if n := len(a.Schedules); n > maxWindows {
		c.fail(path+".schedules", fmt.Sprintf("has %d schedules", n), fmt.Sprintf("give %d at most", maxWindows))
	}
	names := map[string]int{}
	for i := range a.Schedules {
		s, path := &a.Schedules[i], fmt.Sprintf("%s.schedules[%d]", path, i)
		c.unique(names, s.Name, i, path+".name", "schedules", "schedule")
		c.opens(s, path)
		c.between(path+".duration", s.Duration, time.Minute, mostDuration)
		c.between(path+".ramp", s.Ramp, 0, max(s.Duration, 0))
		c.between(path+".lead", s.Lead.Time, 0, time.Hour)
		c.replicas(s, a, path)
	}
}

// opens checks when it does.
func (c *checker) opens(s *Schedule, path string) {
	switch {
	case s.Cron == "" && s.AtText == "":
		c.fail(path, "never opens", `say when, like cron: "30 19 * * *", or at: "2026-11-11T00:00:00+08:00"`)
	case s.Cron != "" && s.AtText != "":
		c.fail(path+".at", "is there besides cron", "make two schedules of them")
	case s.AtText != "":
		s.At = c.at(path+".at", s.AtText)
		if s.TZ != "" {
			c.fail(path+".tz", "does nothing beside at, which has its offset", "remove it")
		}
		return
	case s.TZ == "":
		c.fail(path+".tz", "is missing", "say whose clocks are meant, like Asia/Shanghai or UTC")
	}
	cronErr, zoneErr := s.compile()
	if cronErr != nil {
		c.fail(path+".cron", conf.Quote(s.Cron)+": "+cronErr.Error(), `write minute, hour, day, month and weekday, like "30 19 * * 1-5"`)
	} else if s.spec != nil && s.spec.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		c.fail(path+".cron", conf.Quote(s.Cron)+" names a day that never comes", "")
	}
	if zoneErr != nil {
		hint := "write a name of the IANA data base, like Asia/Shanghai or UTC"
		if near := conf.Nearest(s.TZ, commonZones); near != "" {
			hint = "did you mean " + near + "?"
		}
		c.fail(path+".tz", "unknown time zone "+conf.Quote(s.TZ), hint)
	}
}

// replicas checks what holds while it is open.
func (c *checker) replicas(s *Schedule, a *App, path string) {
	switch {
	case s.Exact != 0 && (s.Floor != 0 || s.Ceiling != 0):
		c.fail(path+".exact", "is floor and ceiling at once", "remove those, or exact")
	case s.Exact == 0 && s.Floor == 0 && s.Ceiling == 0:
		c.fail(path, "changes nothing", "give it a floor, a ceiling or exact")
	case s.Ceiling != 0 && s.Floor > s.Ceiling:
		c.fail(path+".floor", "is above the ceiling", "a floor is the lesser of the two")
	}
	for key, n := range map[string]int{"exact": s.Exact, "floor": s.Floor, "ceiling": s.Ceiling} {
		switch {
		case n < 0 || n == 0 && c.has(path+"."+key):
			c.fail(path+"."+key, "must be 1 or more", "")
		case n > a.Max && a.Max > 0:
			c.fail(path+"."+key, "is above max of the policy, which holds all the same", "lower it, or raise max")
		}
	}
	if s.Ramp > 0 && max(s.Floor, s.Exact) == 0 {
		c.fail(path+".ramp", "is of a floor, and there is none", "remove it")
	}
}

// commonZones are for hints: Go has no list of them.
var commonZones = []string{
	"UTC", "Asia/Shanghai", "Asia/Hong_Kong", "Asia/Taipei", "Asia/Singapore", "Asia/Tokyo", "Asia/Seoul", "Asia/Kolkata", "Asia/Dubai",
	"Europe/London", "Europe/Berlin", "Europe/Paris", "Europe/Madrid", "Europe/Moscow", "Europe/Istanbul",
	"America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Sao_Paulo", "America/Toronto",
	"Australia/Sydney", "Africa/Johannesburg", "Africa/Lagos", "Africa/Cairo", "Pacific/Auckland",
}
