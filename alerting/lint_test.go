package alerting_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/alerting"
)

// tree is an alertmanager.yml with some routes below the root, from line 4 on.
func tree(routes string) string {
	return "route:\n  receiver: ops\n  routes:\n" + routes + "receivers:\n  - name: ops\n  - name: db\n"
}

func TestWhatAConfigurationHardlyMeansIsToldWithItsPlace(t *testing.T) {
	const (
		remove = ", correct the matchers, or remove the route"
		move   = ", move this route in front of that one, or give that one continue: true"
		db     = "    - {receiver: db, matchers: [team = db]}\n"
	)
	tests := map[string]struct {
		file string
		want []string // without the name of the file
	}{
		"nothing": {tree(db), nil},
		"a receiver that no route names": {
			tree("    - {matchers: [team = db]}\n"),
			[]string{`7:11: receivers[1].name: no route leads to the receiver "db", name it in a route, or remove it`},
		},
		"a time interval that no route names": {
			tree(db) + "time_intervals:\n  - {name: nights, time_intervals: [{weekdays: [monday]}]}\n",
			[]string{`9:12: time_intervals[0].name: no route is muted or active by the time interval "nights", name it in a route's mute_time_intervals, or remove it`},
		},
		"a route after one that takes everything": {
			tree("    - {receiver: ops}\n" + db),
			[]string{"5:32: route.routes[1]: no alert ever comes here: route.routes[0] in line 4 takes all that would" + move},
		},
		"a route after one that goes on": {tree("    - {receiver: ops, continue: true}\n" + db), nil},
		"a route after a wider one": {
			tree("    - {receiver: ops, matchers: ['team =~ \"db|web\"']}\n" + db),
			[]string{"5:32: route.routes[1]: no alert ever comes here: route.routes[0] in line 4 takes all that would" + move},
		},
		"a route after a narrower one": {tree("    - {receiver: ops, matchers: [team = db, severity = critical]}\n" + db), nil},
		"a route after one on another label": {
			tree("    - {receiver: ops, matchers: [severity = critical]}\n" + db), nil,
		},
		"a route of several values after one of more": {
			tree("    - {receiver: ops, matchers: ['team =~ \"a|b|c\"']}\n    - {receiver: db, matchers: ['team =~ \"a|c\"']}\n"),
			[]string{"5:32: route.routes[1]: no alert ever comes here: route.routes[0] in line 4 takes all that would" + move},
		},
		"a route after the same with a regular expression": {
			tree("    - {receiver: ops, match_re: {team: 'd.+'}}\n    - {receiver: db, match_re: {team: 'd.+'}, matchers: [a = b]}\n"),
			[]string{"5:57: route.routes[1]: no alert ever comes here: route.routes[0] in line 4 takes all that would" + move},
		},
		"matchers that contradict those above": {
			tree("    - matchers: [team = db]\n      routes:\n        - {receiver: db, matchers: [team = web]}\n"),
			[]string{`6:36: route.routes[0].routes[0]: no alert ever comes here: it would have both team="db" and team="web"` + remove},
		},
		"matchers that contradict each other": {
			tree("    - {receiver: db, matchers: [team = db, 'team !~ \"d.*\"']}\n"),
			[]string{`4:32: route.routes[0]: no alert ever comes here: it would have both team!~"d.*" and team="db"` + remove},
		},
		"a label that may not be there": {tree("    - {receiver: db, matchers: ['team = \"\"', 'team !~ \"d.*\"']}\n"), nil},
		"a rule that mutes nothing": {
			tree(db) + "inhibit_rules:\n  - {source_matchers: [a = b], target_matchers: [a = b], equal: [node]}\n",
			[]string{"9:49: inhibit_rules[0]: source and target match the same alerts, and an alert that is both mutes no other such, make one of them narrower"},
		},
		"a rule whose labels are never equal": {
			tree(db) + "inhibit_rules:\n  - {source_matchers: [a = b], target_matchers: [a = c], equal: [node, a]}\n",
			[]string{"9:65: inhibit_rules[0]: the label a is to be equal, and yet source and target never have the same, take it out of equal, or correct the matchers"},
		},
		"a rule whose source never is": {
			tree(db) + "inhibit_rules:\n  - {source_matchers: [a = b, a != b], target_matchers: [a = c]}\n",
			[]string{`9:23: inhibit_rules[0]: no alert ever mutes by this rule: it would have both a="b" and a!="b", correct the matchers, or remove the rule`},
		},
		"a rule whose target never is": {
			tree(db) + "inhibit_rules:\n  - {source_matchers: [a = b], target_matchers: [a = c, a = d]}\n",
			[]string{`9:49: inhibit_rules[0]: no alert is ever muted by this rule: it would have both a="c" and a="d", correct the matchers, or remove the rule`},
		},
		"repeated more often than looked at": {
			tree("    - {receiver: db, matchers: [team = db], group_interval: 10m, repeat_interval: 5m}\n"),
			[]string{"4:83: route.routes[0]: a repeat_interval of 5m0s is shorter than the group_interval of 10m0s, messages are repeated no more often than a group is looked at; make it a multiple of that"},
		},
		"repeated less often than remembered": {
			tree("    - {receiver: db, matchers: [team = db], repeat_interval: 30d}\n"),
			[]string{"4:62: route.routes[0]: a repeat_interval of 720h0m0s is longer than the 120h0m0s for which it is remembered what was sent, messages are repeated after 120h0m0s all the same"},
		},
		"addresses that were never filled in": {
			`route: {receiver: ops}
receivers:
  - name: ops
    webhook_configs:
      - url: https://example.com/hook
      - url: https://chat.corp/$HOOK
      - url: https://hooks.chat.corp/<token>
      - url: http://127.0.0.1:9/{{ .CommonLabels.node }}
      - url: http://alerts.corp:8080/hook
    dingtalk_configs:
      - url: https://oapi.dingtalk.com/robot/send?access_token=xxxxxxxx
`,
			[]string{
				"5:14: receivers[0].webhook_configs[0].url: nobody can be reached at example.com, a name reserved for examples, write the real one",
				"6:14: receivers[0].webhook_configs[1].url: $HOOK is not filled in: variables of the environment are not read here, write the address itself, or name a file that holds it, as in url_file",
				"7:14: receivers[0].webhook_configs[2].url: the address still has a placeholder, <token>, write the real one",
				"11:14: receivers[0].dingtalk_configs[0].url: the address still has a placeholder, xxxxxxxx, write the real one",
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile("am.yml", []byte(tt.file), 0o666); err != nil {
				t.Fatal(err)
			}
			mistakes, warnings := alerting.LintConfig("am.yml")
			var got []string
			for _, p := range warnings {
				got = append(got, strings.TrimPrefix(p.Error(), "am.yml:"))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || len(mistakes) > 0 {
				t.Errorf("mistakes %v, warnings (-want +got):\n%s", mistakes, diff)
			}
		})
	}
}

func TestNothingOfTheBuiltInConfigurationIsHardlyMeant(t *testing.T) {
	if mistakes, warnings := alerting.LintConfig(""); len(mistakes)+len(warnings) > 0 {
		t.Error(mistakes, warnings)
	}
}

func TestItIsToldWhereAnAlertGoes(t *testing.T) {
	t.Chdir(t.TempDir())
	text := `route:
  receiver: ops
  group_by: [alertname, node]
  routes:
    - matchers: [team = db]
      receiver: db
      continue: true
      routes:
        - matchers: [severity = critical]
          receiver: pager
          group_by: ['...']
    - matchers: [node =~ "n.+"]
      receiver: hosts
      group_by: []
      mute_time_intervals: [nights]
    - matchers: [team = db]
      receiver: ops
time_intervals: [{name: nights, time_intervals: [{weekdays: [monday]}]}]
receivers: [{name: ops}, {name: db}, {name: pager}, {name: hosts}]
`
	if err := os.WriteFile("am.yml", []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		labels map[string]string
		want   string
	}{
		"nobody in particular": {
			map[string]string{"alertname": "A"},
			`am.yml: an alert with {alertname="A"} takes these routes:
  every alert  line 2  → ops  grouped by alertname node; after 30s, what is new after 5m, again after 4h
`,
		},
		"several at once": {
			map[string]string{"team": "db", "severity": "critical", "node": "n1"},
			`am.yml: an alert with {node="n1", severity="critical", team="db"} takes these routes:
  every alert              line 2   
    {team="db"}            line 5   
      {severity="critical"}  line 9   → pager  each alert by itself; after 30s, what is new after 5m, again after 4h
    {node=~"n.+"}          line 12  → hosts  all in one message; after 30s, what is new after 5m, again after 4h; not during nights
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, problems := alerting.Routed("am.yml", tt.labels)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(tt.want), " ") {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}
