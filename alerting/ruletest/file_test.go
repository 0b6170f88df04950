package ruletest

import (
	"os"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func TestATimeMayBeRFC3339OrSeconds(t *testing.T) {
	for text, want := range map[string]time.Time{
		"1700000000":                time.Unix(1700000000, 0),
		"1700000000.5":              time.UnixMilli(1700000000500),
		"2024-01-02T03:04:05Z":      time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC),
		"2024-01-02T03:04:05+02:00": time.Date(2024, 1, 2, 1, 4, 5, 0, time.UTC),
	} {
		var m moment
		if err := yaml.Unmarshal([]byte(text), &m); err != nil || !m.Equal(want) {
			t.Errorf("%s: %v, error %v; want %v", text, m.Time, err, want)
		}
	}
	var m moment
	if err := yaml.Unmarshal([]byte("yesterday"), &m); err == nil {
		t.Error("yesterday is taken for a time")
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"testdata/good.yml", "testdata/notifications.yml"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("tests: [{alert_rule_test: [{}], start_timestamp: x}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, problems := parse("f.yml", data)
		if len(problems) == 0 && parsed.EvaluationInterval <= 0 {
			t.Errorf("an evaluation interval of %v would never end", parsed.EvaluationInterval)
		}
	})
}
