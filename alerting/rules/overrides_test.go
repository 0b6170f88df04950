package rules_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/alerting/rules"
)

func overrideFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "overrides.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func listed(t *testing.T, overrides string) []rules.Rule {
	t.Helper()
	list, problems := rules.Pack(overrides)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

func key(r rules.Rule) string { return r.Name + "/" + r.Severity }

func TestWhatOverridesSayIsWhatIsInForce(t *testing.T) {
	was := listed(t, "")
	is := listed(t, overrideFile(t, `
disable: [HostCPUSteal, ContainerMemoryPressure/critical, ContainerMemoryNearLimit]
override:
  HostMemoryLow/warning: {threshold: 15%, for: 5m, keep_firing_for: 0s}
  HostDiskWillFill/critical: {threshold: 2h}
  ContainerRestarting: {threshold: 5, severity: critical}
`))
	if len(was) != len(is) {
		t.Fatalf("%d rules became %d", len(was), len(is))
	}
	got := map[string]string{}
	for i, r := range is {
		if was[i] == r {
			continue
		}
		switch r := r; {
		case r.Off:
			got[key(was[i])] = "off"
		default:
			got[key(was[i])] = strings.Join([]string{r.Threshold, r.For.String(), r.KeepFiringFor.String(), r.Severity}, " ")
		}
	}
	want := map[string]string{
		"HostCPUSteal/warning":              "off",
		"ContainerMemoryPressure/critical":  "off",
		"ContainerMemoryNearLimit/warning":  "off",
		"ContainerMemoryNearLimit/critical": "off",
		"HostMemoryLow/warning":             "15% 5m0s 0s warning",
		"HostDiskWillFill/critical":         "2h 10m0s 0s critical",
		"ContainerRestarting/warning":       "5 0s 5m0s critical",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

func TestEveryMistakeInOverridesIsToldWithItsPlace(t *testing.T) {
	tests := map[string]struct {
		file string
		want []string
	}{
		"nothing to change": {"", nil},
		"a name misspelt": {
			"disable: [HostCpuSteal]\n",
			[]string{`o.yml:1:11: disable[0]: "HostCpuSteal" is no rule of the pack, did you mean "HostCPUSteal"?`},
		},
		"a name like none": {
			"disable:\n  - Weather\n",
			[]string{`o.yml:2:5: disable[0]: "Weather" is no rule of the pack, plimsoll rules lists them`},
		},
		"a severity that the rule does not have": {
			"disable: [HostCPUSteal/critical]\n",
			[]string{`o.yml:1:11: disable[0]: "HostCPUSteal/critical" is no rule of the pack, write HostCPUSteal/warning`},
		},
		"a name of two rules": {
			"override:\n  HostMemoryLow: {for: 1m}\n",
			[]string{`o.yml:2:3: override.HostMemoryLow: there are several rules of that name, write HostMemoryLow/warning or HostMemoryLow/critical`},
		},
		"a rule that is both off and changed": {
			"disable: [HostMemoryLow]\noverride:\n  HostMemoryLow/warning: {for: 1m}\n",
			[]string{`o.yml:3:3: override.HostMemoryLow/warning: the rule is off, remove it here, or from disable`},
		},
		"a rule that is off twice": {
			"disable: [HostCPUSteal, HostCPUSteal]\n",
			[]string{`o.yml:1:25: disable[1]: HostCPUSteal is off already, remove it here`},
		},
		"a rule that is changed twice": {
			"override:\n  HostCPUSteal: {for: 1m}\n  HostCPUSteal/warning: {for: 2m}\n",
			[]string{`o.yml:3:3: override.HostCPUSteal/warning: the rule is changed twice, write both changes in one place`},
		},
		"a key misspelt": {
			"override:\n  HostCPUSteal: {treshold: 5%}\n",
			[]string{`o.yml:2:18: override.HostCPUSteal: unknown key "treshold", did you mean "threshold"?`},
		},
		"a change of nothing": {
			"override:\n  HostCPUSteal: {}\n",
			[]string{`o.yml:2:3: override.HostCPUSteal: changes nothing, give it a threshold, for, keep_firing_for or severity, or list it in disable`},
		},
		"units forgotten or wrong": {
			"override:\n  HostCPUSteal: {threshold: 5}\n  HostClockSkew: {threshold: 5, for: 30}\n  ContainerRestarting: {threshold: 5%}\n",
			[]string{
				`o.yml:2:29: override.HostCPUSteal.threshold: "5" is not a percentage, write 5%`,
				`o.yml:3:30: override.HostClockSkew.threshold: "5" is not a duration, add a unit: 5s`,
				`o.yml:3:38: override.HostClockSkew.for: "30" is not a duration, add a unit: 30s`,
				`o.yml:4:36: override.ContainerRestarting.threshold: "5%" is not a number, write it like 3 or 0.5`,
			},
		},
		"thresholds that make no sense": {
			"override:\n  HostCPUSteal: {threshold: 105%}\n  HostClockSkew: {threshold: -5s}\n",
			[]string{
				`o.yml:2:29: override.HostCPUSteal.threshold: 105% is never or always exceeded, choose a percentage between 0% and 100%`,
				`o.yml:3:30: override.HostClockSkew.threshold: -5s is below 0, write it like 1s`,
			},
		},
		"a threshold that a rule does not have": {
			"override:\n  ContainerOOMKilled: {threshold: 3}\n",
			[]string{`o.yml:2:35: override.ContainerOOMKilled.threshold: ContainerOOMKilled has no threshold that can be changed, disable it, and write a rule of your own`},
		},
		"waits too long": {
			"override:\n  HostCPUSteal: {for: 2d, keep_firing_for: -1s}\n",
			[]string{
				`o.yml:2:23: override.HostCPUSteal.for: must be 0s to 24h, write it like 30s or 5m`,
				`o.yml:2:44: override.HostCPUSteal.keep_firing_for: must be 0s to 24h, write it like 30s or 5m`,
			},
		},
		"a severity that nobody knows": {
			"override:\n  HostCPUSteal: {severity: page}\n",
			[]string{`o.yml:2:28: override.HostCPUSteal.severity: "page" is no severity, write info, warning or critical`},
		},
		"two rules made one": {
			"override:\n  HostMemoryLow/warning: {severity: critical}\n",
			[]string{`o.yml:1:1: override: two rules would be HostMemoryLow/critical, disable one of them`},
		},
		"no YAML": {
			"disable: [a\n",
			[]string{`o.yml:1:10: sequence end token ']' not found`},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile("o.yml", []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range rules.CheckOverrides("o.yml") {
				got = append(got, p.Error())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAFileOfOverridesThatIsNotThereIsAMistake(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.yml")
	_, problems := rules.ReadOverridden(nil, missing)
	if len(problems) != 1 || problems[0].File != missing {
		t.Errorf("problems %v, want one of %s", problems, missing)
	}
}

func TestARuleThatIsOffMakesRoomForOneOfOnesOwn(t *testing.T) {
	own := overrideFile(t, "groups: [{name: own, rules: [{alert: HostCPUSteal, expr: x, labels: {severity: warning}}]}]\n")
	if _, problems := rules.Read([]string{own}, true); len(problems) != 1 || !strings.Contains(problems[0].What, "HostCPUSteal") {
		t.Errorf("beside the pack's: %v, want one problem", problems)
	}
	if _, problems := rules.ReadOverridden([]string{own}, overrideFile(t, "disable: [HostCPUSteal]\n")); len(problems) > 0 {
		t.Errorf("in its place: %v", problems)
	}
}

func TestAnotherThresholdFiresElsewhere(t *testing.T) {
	o := overrideFile(t, "override: {HostMemoryLow/warning: {threshold: 50%, for: 0s}}\n")
	p := loadPack(t, o, step,
		`node_memory_MemAvailable_bytes{node="n1", job="node-exporter"} 40x20`,
		`node_memory_MemTotal_bytes{node="n1", job="node-exporter"} 100x20`)
	if got, want := p.firing(5*time.Second), []string{"HostMemoryLow warning: Node n1 has 40% of its memory left"}; !slices.Equal(got, want) {
		t.Errorf("%q fires, want %q", got, want)
	}
}
