package policy_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	robfig "github.com/robfig/cron/v3"
	"pgregory.net/rapid"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// in is a moment by the clocks of a zone.
func in(t *testing.T, zone, text string) time.Time {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.ParseInLocation("2006-01-02 15:04:05", text, loc)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// scheduled is a policy with one schedule, as its file has it.
func scheduled(t *testing.T, text string) policy.App {
	t.Helper()
	file, problems := load(t, shop+"  schedules:\n  - "+text+"\n", policy.Options{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return file.Apps[0]
}

func TestAScheduleIsAState(t *testing.T) {
	const evening = `{name: evening, cron: "30 19 * * *", duration: 3h, tz: Asia/Shanghai, floor: 20, lead: 0s}`
	const shanghai, newYork, london = "Asia/Shanghai", "America/New_York", "Europe/London"
	tests := map[string]struct {
		schedule   string
		zone, at   string
		floor, cap int
	}{
		"before it opens":                     {evening, shanghai, "2026-06-01 19:29:59", 0, 0},
		"as it opens":                         {evening, shanghai, "2026-06-01 19:30:00", 20, 0},
		"in the middle":                       {evening, shanghai, "2026-06-01 21:00:00", 20, 0},
		"as it closes":                        {evening, shanghai, "2026-06-01 22:30:00", 0, 0},
		"by the clocks of another zone":       {evening, "UTC", "2026-06-01 11:30:00", 20, 0},
		"over midnight":                       {`{name: n, cron: "0 23 * * *", duration: 4h, tz: UTC, floor: 3, lead: 0s}`, "UTC", "2026-06-02 02:59:59", 3, 0},
		"on a weekday":                        {`{name: n, cron: "0 8 * * 1-5", duration: 1h, tz: UTC, floor: 3, lead: 0s}`, "UTC", "2026-06-05 08:30:00", 3, 0},
		"on a Saturday":                       {`{name: n, cron: "0 8 * * 1-5", duration: 1h, tz: UTC, floor: 3, lead: 0s}`, "UTC", "2026-06-06 08:30:00", 0, 0},
		"by its lead":                         {`{name: n, cron: "0 8 * * *", duration: 1h, tz: UTC, floor: 3, lead: 5m}`, "UTC", "2026-06-06 07:55:00", 3, 0},
		"a ceiling has no lead":               {`{name: n, cron: "0 8 * * *", duration: 1h, tz: UTC, ceiling: 3, lead: 5m}`, "UTC", "2026-06-06 07:55:00", 0, 0},
		"a ceiling":                           {`{name: n, cron: "0 8 * * *", duration: 1h, tz: UTC, ceiling: 3}`, "UTC", "2026-06-06 08:00:00", 0, 3},
		"exactly so many":                     {`{name: n, cron: "0 8 * * *", duration: 1h, tz: UTC, exact: 7}`, "UTC", "2026-06-06 08:00:00", 7, 7},
		"half of a ramp":                      {`{name: n, cron: "0 8 * * *", duration: 1h, tz: UTC, floor: 10, ramp: 10m, lead: 0s}`, "UTC", "2026-06-06 08:05:00", 5, 0},
		"a ramp that its lead begins":         {`{name: n, cron: "0 8 * * *", duration: 1h, tz: UTC, floor: 10, ramp: 10m, lead: 10m}`, "UTC", "2026-06-06 08:00:00", 10, 0},
		"once":                                {`{name: n, at: "2026-11-11T00:00:00+08:00", duration: 2h, floor: 16, lead: 0s}`, shanghai, "2026-11-11 01:59:59", 16, 0},
		"once, and over":                      {`{name: n, at: "2026-11-11T00:00:00+08:00", duration: 2h, floor: 16, lead: 0s}`, shanghai, "2026-11-11 02:00:00", 0, 0},
		"02:30 that clocks leave out, before": {`{name: n, cron: "30 2 * * *", duration: 30m, tz: America/New_York, floor: 3, lead: 0s}`, newYork, "2026-03-08 01:59:59", 0, 0},
		"02:30 that clocks leave out":         {`{name: n, cron: "30 2 * * *", duration: 30m, tz: America/New_York, floor: 3, lead: 0s}`, newYork, "2026-03-08 03:00:00", 3, 0},
		"02:30 that clocks leave out, after":  {`{name: n, cron: "30 2 * * *", duration: 30m, tz: America/New_York, floor: 3, lead: 0s}`, newYork, "2026-03-08 03:30:00", 0, 0},
		"a window across that":                {`{name: n, cron: "0 1 * * *", duration: 3h, tz: America/New_York, floor: 3, lead: 0s}`, newYork, "2026-03-08 04:59:59", 3, 0},
		"a window across that, closed":        {`{name: n, cron: "0 1 * * *", duration: 3h, tz: America/New_York, floor: 3, lead: 0s}`, newYork, "2026-03-08 05:00:00", 0, 0},
		"a window while an hour comes twice":  {`{name: n, cron: "0 0 * * *", duration: 3h, tz: Europe/London, floor: 3, lead: 0s}`, london, "2026-10-25 02:00:00", 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := scheduled(t, tt.schedule)
			floor, _, ceiling, _ := a.Scheduled(in(t, tt.zone, tt.at), 0)
			if floor != tt.floor || ceiling != tt.cap {
				t.Errorf("floor %d, ceiling %d; want %d and %d", floor, ceiling, tt.floor, tt.cap)
			}
		})
	}
}

// 01:30 is there twice on that day; the window of half an hour opens once.
func TestATimeThatClocksShowTwiceOpensOnce(t *testing.T) {
	a := scheduled(t, `{name: n, cron: "30 1 * * *", duration: 30m, tz: Europe/London, floor: 3, lead: 0s}`)
	first := time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC) // 01:30 in summer time
	for offset, want := range map[time.Duration]int{
		-time.Second: 0, 0: 3, 30*time.Minute - 1: 3, 30 * time.Minute: 0, time.Hour: 0, 80 * time.Minute: 0,
	} {
		if floor, _, _, _ := a.Scheduled(first.Add(offset), 0); floor != want {
			t.Errorf("%v after it opened: floor %d, want %d", offset, floor, want)
		}
	}
}

// The journal has a policy as JSON, and a decision is made again from that.
func TestAScheduleSurvivesJSON(t *testing.T) {
	a := scheduled(t, `{name: evening, cron: "30 19 * * *", duration: 3h, tz: Asia/Shanghai, floor: 20}`)
	data, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var again policy.App
	if err := json.Unmarshal(data, &again); err != nil {
		t.Fatal(err)
	}
	if floor, by, _, _ := again.Scheduled(in(t, "Asia/Shanghai", "2026-06-01 20:00:00"), 0); floor != 20 || by != "evening" {
		t.Errorf("floor %d by %q", floor, by)
	}
}

// rare are schedules that open seldom, and one on each day.
var rare = []string{"0 0 29 2 *", "0 0 1 1 *", "30 4 31 12 1", "0 0 29 2 1", "0 0 13 * 5", "15 3 */7 * *", "0 8 * * *", "0 0 * 2 0"}

// What a schedule says must not depend on how its openings are looked for.
func TestASeldomScheduleOpensWhenItsFieldsSay(t *testing.T) {
	for _, cron := range rare {
		for _, zone := range []string{"UTC", "Asia/Shanghai", "America/New_York"} {
			s := policy.Schedule{Name: "n", Cron: cron, TZ: zone, Duration: 90 * time.Minute, Floor: 1}
			spec, err := robfig.ParseStandard(cron)
			if err != nil {
				t.Fatal(err)
			}
			loc := in(t, zone, "2026-01-01 00:00:00").Location()
			opens := 0
			for at := spec.Next(time.Date(2027, 12, 31, 0, 0, 0, 0, loc)); at.Year() < 2029; at = spec.Next(at) {
				opens++
				for _, probe := range []struct {
					at   time.Time
					open bool
				}{{at.Add(-time.Second), false}, {at, true}, {at.Add(90*time.Minute - 1), true}, {at.Add(90 * time.Minute), false}} {
					if began, open := s.Opened(probe.at); open != probe.open || open && !began.Equal(at) {
						t.Fatalf("%s in %s at %v: open %v since %v", cron, zone, probe.at, open, began)
					}
				}
				a := policy.App{Interval: time.Second, Schedules: []policy.Schedule{s}}
				if border, ok := a.NextBorder(at.Add(-23*time.Hour-59*time.Minute), 0); !ok || border.After(at) {
					t.Fatalf("%s in %s: the border a day before %v is %v, %v", cron, zone, at, border, ok)
				}
				if border, ok := a.NextBorder(at.Add(-time.Second), 0); !ok || !border.Equal(at) {
					t.Fatalf("%s in %s: the border before %v is %v, %v", cron, zone, at, border, ok)
				}
			}
			if opens == 0 {
				t.Fatalf("%s never opens", cron)
			}
		}
	}
}

// A rule for one day in four years is no reason to look through four years at each
// decision.
func BenchmarkScheduled(b *testing.B) {
	now := time.Date(2026, 3, 1, 8, 30, 0, 0, time.UTC)
	for _, cron := range rare {
		b.Run(cron, func(b *testing.B) {
			file, err := policy.Parse("policy.yaml", []byte(shop+"  schedules:\n  - {name: n, cron: '"+cron+"', tz: Asia/Shanghai, duration: 1h, floor: 3, ceiling: 9}\n"), policy.Options{})
			if err != nil {
				b.Fatal(err)
			}
			a := file.Apps[0]
			b.ReportAllocs()
			for b.Loop() {
				a.Scheduled(now, 0)
			}
		})
	}
}

// zones are all that this machine knows.
func zones(t *testing.T) []string {
	t.Helper()
	var names []string
	root := os.DirFS("/usr/share/zoneinfo")
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path[0] < 'A' || path[0] > 'Z' || strings.HasPrefix(path, "System") {
			return err
		}
		if _, err := time.LoadLocation(path); err == nil {
			names = append(names, path)
		}
		return nil
	})
	if err != nil || len(names) < 100 {
		return []string{"UTC", "Asia/Shanghai", "America/New_York", "Europe/London", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu", "America/St_Johns", "Africa/Casablanca"}
	}
	return names
}

// In every zone, on every day, a window of a certain hour is open for its duration:
// it neither stays away nor comes twice when clocks change.
func TestEveryDayHasItsWindow(t *testing.T) {
	names := zones(t)
	rapid.Check(t, func(r *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom(names).Draw(r, "zone"))
		if err != nil {
			r.Skip()
		}
		hour, minute := rapid.IntRange(0, 23).Draw(r, "hour"), rapid.IntRange(0, 59).Draw(r, "minute")
		length := time.Duration(rapid.IntRange(1, 20*60).Draw(r, "length")) * time.Minute
		s := policy.Schedule{Name: "n", Cron: time.Date(1, 1, 1, hour, minute, 0, 0, time.UTC).Format("4 15") + " * * *", TZ: zone.String(), Duration: length, Floor: 1}
		start := time.Date(rapid.IntRange(2000, 2037).Draw(r, "year"), 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 365).Draw(r, "day"))
		var opened []time.Time
		for at := start; at.Before(start.AddDate(0, 0, 4)); at = at.Add(15 * time.Minute) {
			began, open := s.Opened(at)
			if !open {
				continue
			}
			if at.Before(began) || !at.Before(began.Add(length)) {
				r.Fatalf("at %v open since %v, for %v", at, began, length)
			}
			if n := len(opened); n == 0 || !opened[n-1].Equal(began) {
				opened = append(opened, began)
			}
		}
		most := 28 * time.Hour
		if name := zone.String(); name == "Pacific/Apia" || name == "Pacific/Fakaofo" {
			most = 52 * time.Hour // they had no 30 December 2011
		}
		for i := 1; i < len(opened); i++ {
			if by := opened[i].Sub(opened[i-1]); by < 20*time.Hour || length >= 30*time.Minute && by > most {
				r.Fatalf("opens %v after it did, at %v", by, opened[i])
			}
		}
		if length >= 30*time.Minute && len(opened) < 2 {
			r.Fatalf("in four days it opened %v", opened)
		}
	})
}

func TestMistakesInSchedules(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"no time":               {`{name: n, duration: 1h, floor: 3}`, "never opens"},
		"both times":            {`{name: n, cron: "0 8 * * *", at: "2026-11-11T00:00:00+08:00", tz: UTC, duration: 1h, floor: 3}`, "is there besides cron"},
		"no zone":               {`{name: n, cron: "0 8 * * *", duration: 1h, floor: 3}`, "tz: is missing"},
		"a zone that is none":   {`{name: n, cron: "0 8 * * *", tz: Asia/Shangai, duration: 1h, floor: 3}`, "did you mean Asia/Shanghai?"},
		"a cron that is none":   {`{name: n, cron: "0 25 * * *", tz: UTC, duration: 1h, floor: 3}`, "cron"},
		"six fields":            {`{name: n, cron: "0 0 8 * * *", tz: UTC, duration: 1h, floor: 3}`, "expected exactly 5 fields"},
		"a word for a cron":     {`{name: n, cron: "@daily", tz: UTC, duration: 1h, floor: 3}`, "is not five fields"},
		"an interval":           {`{name: n, cron: "@every 1h", tz: UTC, duration: 1h, floor: 3}`, "is not five fields"},
		"a zone in a cron":      {`{name: n, cron: "TZ=Asia/Tokyo 0 8 * * *", tz: UTC, duration: 1h, floor: 3}`, "is not five fields"},
		"nothing but a zone":    {`{name: n, cron: "CRON_TZ=UTC", tz: UTC, duration: 1h, floor: 3}`, "is not five fields"},
		"a day that never is":   {`{name: n, cron: "0 0 30 2 *", tz: UTC, duration: 1h, floor: 3}`, "never comes"},
		"a time without offset": {`{name: n, at: "2026-11-11 00:00", duration: 1h, floor: 3}`, "is not a time with its offset"},
		"a zone beside at":      {`{name: n, at: "2026-11-11T00:00:00Z", tz: UTC, duration: 1h, floor: 3}`, "does nothing beside at"},
		"no duration":           {`{name: n, cron: "0 8 * * *", tz: UTC, floor: 3}`, "duration: must be 1m to 168h"},
		"nothing to do":         {`{name: n, cron: "0 8 * * *", tz: UTC, duration: 1h}`, "changes nothing"},
		"floor above ceiling":   {`{name: n, cron: "0 8 * * *", tz: UTC, duration: 1h, floor: 5, ceiling: 4}`, "is above the ceiling"},
		"floor above max":       {`{name: n, cron: "0 8 * * *", tz: UTC, duration: 1h, floor: 100000}`, "is above max of the policy"},
		"exact and more":        {`{name: n, cron: "0 8 * * *", tz: UTC, duration: 1h, exact: 5, floor: 4}`, "is floor and ceiling at once"},
		"a ramp of nothing":     {`{name: n, cron: "0 8 * * *", tz: UTC, duration: 1h, ceiling: 5, ramp: 5m}`, "is of a floor"},
		"a name twice":          {"{name: n, cron: \"0 8 * * *\", tz: UTC, duration: 1h, floor: 3}\n  - {name: n, cron: \"0 9 * * *\", tz: UTC, duration: 1h, floor: 3}", "is the name of schedules[0] already"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, problems := load(t, shop+"  schedules:\n  - "+tt.text+"\n", policy.Options{})
			if len(problems) != 1 || !strings.Contains(problems.Render(), tt.want) {
				t.Errorf("%s\nwant one with %q", problems.Render(), tt.want)
			}
		})
	}
}

func TestALeadIsAsLongAsReplicasTakeToStart(t *testing.T) {
	a := scheduled(t, `{name: n, cron: "0 8 * * *", duration: 1h, tz: UTC, floor: 3}`)
	auto := a.Schedules[0].Lead
	for _, tt := range []struct {
		lead       policy.Span
		boot, want time.Duration
	}{
		{auto, 0, time.Minute},
		{auto, 90 * time.Second, 92 * time.Second}, // an interval more
		{auto, 3 * time.Hour, time.Hour},
		{policy.Span{}, 90 * time.Second, 0},
		{policy.Span{Time: 5 * time.Minute}, 90 * time.Second, 5 * time.Minute},
	} {
		if got := a.Prewarm(tt.lead, tt.boot); got != tt.want {
			t.Errorf("lead %s, boot %s: %s, want %s", tt.lead, tt.boot, got, tt.want)
		}
	}
	opens := time.Date(2026, 6, 1, 8, 0, 0, 0, time.UTC)
	for ahead, want := range map[time.Duration]int{92 * time.Second: 3, 93 * time.Second: 0} {
		if floor, _, _, _ := a.Scheduled(opens.Add(-ahead), 90*time.Second); floor != want {
			t.Errorf("%s before it opens the floor is %d, want %d", ahead, floor, want)
		}
	}
}

func TestASpanIsWrittenAsItIsRead(t *testing.T) {
	for text, want := range map[string]string{"auto": "auto", "off": "off", "0s": "off", "90s": "1m30s", "1d": "24h"} {
		var s policy.Span
		if err := s.Set(text); err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(s)
		var back policy.Span
		if err == nil {
			err = json.Unmarshal(data, &back)
		}
		if err != nil || string(data) != `"`+want+`"` || back != s {
			t.Errorf("%s is written as %s and read as %v, error %v", text, data, back, err)
		}
	}
}
