package alerting_test

import (
	"strings"
	"testing"

	"github.com/plimsoll-io/plimsoll/alerting"
)

// Other thresholds come with a reload, and a file with a mistake changes nothing.
func TestOverridesAreReadAnewWithAllElse(t *testing.T) {
	w := newWorld(t)
	w.write("overrides.yml", "{}\n")
	opts := w.options()
	opts.RuleFiles, opts.BundledRules, opts.RuleOverrides = nil, true, w.path("overrides.yml")
	p := w.run(opts)
	w.uses("web", 80)
	p.evaluates(20)
	w.silent()

	w.write("overrides.yml", "override: {ContainerMemoryNearLimit: {threshold: 75%}}\n")
	err := p.Reload()
	if err == nil || !strings.Contains(err.Error(), "overrides.yml:1:12: override.ContainerMemoryNearLimit: there are several rules of that name") {
		t.Fatalf("reload of a mistake: error %v", err)
	}
	p.evaluates(20)
	w.silent()

	w.write("overrides.yml", "disable: [Watchdog]\noverride: {ContainerMemoryNearLimit/critical: {threshold: 75%, for: 0s}}\n")
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	w.uses("web", 80)
	m := w.next()
	if got := m.Alerts[0].Annotations["summary"]; m.Status != "firing" || got != "Container web on n1 uses 80% of its memory limit" {
		t.Errorf("message %+v", m)
	}
}

func TestOverridesOfRulesThatAreOffAreAMistake(t *testing.T) {
	w := newWorld(t)
	w.write("overrides.yml", "{}\n")
	opts := w.options()
	opts.RuleOverrides = w.path("overrides.yml")
	if _, err := alerting.New(opts); err == nil || !strings.Contains(err.Error(), "turned off") {
		t.Errorf("error %v", err)
	}
}
