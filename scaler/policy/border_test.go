package policy

import (
	"testing"
	"time"
)

func TestTheNextBorderIsTheFirstMomentAtWhichSomethingChanges(t *testing.T) {
	at := func(text string) time.Time {
		t.Helper()
		when, err := time.Parse("2 15:04:05", text)
		if err != nil {
			t.Fatal(err)
		}
		return when.AddDate(2026, 10, 0)
	}
	evening := Schedule{Name: "evening", Cron: "30 19 * * *", TZ: "UTC", Duration: 3 * time.Hour, Floor: 20, Lead: Span{Time: 5 * time.Minute}}
	auto := evening
	auto.Lead = Span{Auto: true}
	once := Schedule{Name: "once", At: at("21 19:00:00"), Duration: 4 * time.Hour, Ceiling: 5}
	sale := Event{Name: "sale", At: at("21 20:00:00"), Duration: time.Hour, Factor: 2}

	tests := map[string]struct {
		app  App
		now  string
		boot time.Duration
		want string // empty for none
	}{
		"nothing is planned":                     {App{}, "21 12:00:00", 0, ""},
		"the lead begins":                        {App{Schedules: []Schedule{evening}}, "21 12:00:00", 0, "21 19:25:00"},
		"within the lead it opens":               {App{Schedules: []Schedule{evening}}, "21 19:25:00", 0, "21 19:30:00"},
		"within the window it closes":            {App{Schedules: []Schedule{evening}}, "21 19:30:00", 0, "21 22:30:00"},
		"after it the next":                      {App{Schedules: []Schedule{evening}}, "21 22:30:00", 0, "22 19:25:00"},
		"a lead of its own, not known":           {App{Schedules: []Schedule{auto}}, "21 12:00:00", 0, "21 19:29:00"},
		"a lead of its own, measured":            {App{Interval: 2 * time.Second, Schedules: []Schedule{auto}}, "21 12:00:00", 88 * time.Second, "21 19:28:30"},
		"one that opens once":                    {App{Schedules: []Schedule{once}}, "21 18:59:59", 0, "21 19:00:00"},
		"and closes":                             {App{Schedules: []Schedule{once}}, "21 19:00:00", 0, "21 23:00:00"},
		"and is over":                            {App{Schedules: []Schedule{once}}, "21 23:00:00", 0, ""},
		"the first of two":                       {App{Schedules: []Schedule{evening, once}}, "21 18:00:00", 0, "21 19:00:00"},
		"an event begins before its time":        {App{Events: []Event{sale}}, "21 12:00:00", 0, "21 19:59:00"},
		"and then at it":                         {App{Events: []Event{sale}}, "21 19:59:00", 0, "21 20:00:00"},
		"and ends":                               {App{Events: []Event{sale}}, "21 20:00:00", 0, "21 21:00:00"},
		"what is more than a day off can wait":   {App{Events: []Event{sale}}, "19 12:00:00", 0, ""},
		"a schedule with a mistake never begins": {App{Schedules: []Schedule{{Cron: "x", TZ: "UTC"}}}, "21 12:00:00", 0, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := tt.app.NextBorder(at(tt.now), tt.boot)
			if ok != (tt.want != "") || ok && !got.Equal(at(tt.want)) {
				t.Errorf("%v, %v; want %s", got, ok, tt.want)
			}
		})
	}
}
