package backtest_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/plimsoll-io/plimsoll/scaler/backtest"
)

func TestALimitSaysWhenARunHasFailed(t *testing.T) {
	run := backtest.Scores{ThetaU: 1.5, ReplicaHours: 110, WorstSeconds: 90, OverMinutes: 3, Changes: 12}
	other := backtest.Scores{ThetaU: 3, ReplicaHours: 100}
	for _, tt := range []struct {
		text   string
		failed bool
		says   string
	}{
		{"under>1%", true, "under is 1.50 %"},
		{"under > 1.5", false, "under is 1.50 %"},
		{" under >= 1.5 %", true, "under is 1.50 %"},
		{"under<2%", true, "under is 1.50 %"},
		{"under<=1", false, "under is 1.50 %"},
		{"worst>1m", true, "worst is 1m30s"},
		{"worst>90s", false, "worst is 1m30s"},
		{"lost>1%", true, "lost is not known"},
		{"over_minutes>180s", false, "over_minutes is 3.0 min"},
		{"over_minutes>2.9m", true, "over_minutes is 3.0 min"},
		{"changes>11", true, "changes is 12"},
		{"replica_hours>+10%", false, "replica_hours is 110.0 h, the other's 100.0 h (+10.0 %)"},
		{"replica_hours>+9%", true, "replica_hours is 110.0 h, the other's 100.0 h (+10.0 %)"},
		{"under>-60%", true, "under is 1.50 %, the other's 3.00 % (-50.0 %)"},
		{"under>-50%", false, "under is 1.50 %, the other's 3.00 % (-50.0 %)"},
		{"changes>+0%", true, "changes is 12, the other's 0"},
	} {
		l, err := backtest.ParseLimit(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if v := l.Judge(run, &other); v.Failed != tt.failed || v.Says != tt.says || v.Limit != strings.TrimSpace(tt.text) {
			t.Errorf("%s: got %+v, want %t: %s", tt.text, v, tt.failed, tt.says)
		}
	}
	l, err := backtest.ParseLimit("under>+10%")
	if err != nil {
		t.Fatal(err)
	}
	if v := l.Judge(run, nil); !v.Failed {
		t.Errorf("a limit without the other policy passed: %+v", v)
	}
}

func TestAMistakeInALimitIsShownInItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		"":                  `1: begin with what is measured: under, over,`,
		">1%":               `1: begin with what is measured`,
		"undr>1%":           `1: "undr" is not measured; what is: under, over,`,
		"under":             `6: compare with >, >=, < or <=`,
		"under=1%":          `6: compare with`,
		"under=>1%":         `6: compare with`,
		"under>":            `7: a number is missing`,
		"under>x":           `7: a number is missing`,
		"under>1.2.3%":      `7: a number is missing`,
		"under>1%%":         `8: under is a share, like 1%`,
		"under>1s":          `8: under is a share, like 1%`,
		"worst>90":          `9: worst is a time, like 90s or 5m`,
		"changes>4%":        `10: changes is a number without a unit`,
		"replica_hours>+5":  `17: what follows + and - is a share of what the other policy has, like +10%`,
		"under>-101%":       `11: what follows + and -`,
		"under>+-5%":        `7: one sign is enough`,
		"under>1% or worst": `10: the limit ends before this`,
		"ünder>1%":          `1: begin with what is measured`,
		"under>1% é":        `10: the limit ends before this`,
	} {
		_, err := backtest.ParseLimit(text)
		e, ok := err.(backtest.LimitError)
		if !ok {
			t.Errorf("%q: %v", text, err)
			continue
		}
		column, what, _ := strings.Cut(want, ": ")
		if !strings.HasPrefix(e.What, what) || column != strconv.Itoa(e.Column) {
			t.Errorf("%q: column %d: %s\nwant %s", text, e.Column, e.What, want)
		}
		if lines := strings.Split(e.Error(), "\n"); len(lines) != 3 || strings.Index(lines[2], "^") != 1+e.Column {
			t.Errorf("%q: shown as\n%s", text, e.Error())
		}
	}
}

func FuzzParseLimit(f *testing.F) {
	for _, text := range []string{"under>1%", "worst >= 5m", "replica_hours>+10%", "under<-5%", "é>1", "changes>1e9"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := backtest.ParseLimit(text)
		if err != nil {
			if e, ok := err.(backtest.LimitError); !ok || e.Column < 1 || e.Column > len(text)+1 || e.What == "" {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		again, err := backtest.ParseLimit(l.Text)
		if err != nil || again.Value != l.Value || again.Measure.Name != l.Measure.Name || again.Relative != l.Relative {
			t.Fatalf("%q became %q, %v", text, l.Text, err)
		}
		l.Judge(backtest.Scores{}, &backtest.Scores{})
	})
}
