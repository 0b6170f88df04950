package alerting_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/alerting"
)

func TestEveryMistakeOfAConfigurationIsToldWithItsPlace(t *testing.T) {
	tests := map[string]struct {
		file string
		want []string
	}{
		"a good file": {config("http://127.0.0.1:1"), nil},
		"no YAML": {
			"route: a: b\n",
			[]string{"am.yml:1:1: mapping values are not allowed in this context"},
		},
		"nothing": {
			"",
			[]string{"am.yml: no route provided in config"},
		},
		"names that nobody bears": {
			`route:
  receiver: people
  routes:
    - receiver: opps
      mute_time_intervals: [nights]
    - receiver: opps
receivers: [{name: ops}]
`,
			[]string{
				`am.yml:2:13: route.receiver: undefined receiver "people", define it`,
				`am.yml:4:17: route.routes[0].receiver: undefined receiver "opps", did you mean "ops"?`,
				`am.yml:5:29: route.routes[0].mute_time_intervals[0]: undefined time interval "nights", define it`,
				`am.yml:6:17: route.routes[1].receiver: undefined receiver "opps", did you mean "ops"?`,
			},
		},
		"unknown keys": {
			`route:
  receiver: ops
  grouped_by: [node]
receivers:
  - name: ops
    webhok_configs: []
`,
			[]string{
				`am.yml:3:3: route.grouped_by: unknown key, correct its spelling or remove it`,
				`am.yml:6:5: receivers[0].webhok_configs: unknown key, correct its spelling or remove it`,
			},
		},
		"a key twice": {
			"route:\n  receiver: ops\n  receiver: ops\nreceivers: [{name: ops}]\n",
			[]string{`am.yml:3:3: route.receiver: the key is there twice, remove one of them`},
		},
		"a receiver twice": {
			"route: {receiver: ops}\nreceivers:\n  - name: ops\n  - name: ops\n",
			[]string{`am.yml:4:11: receivers[1].name: the name "ops" is there twice, give one of them another name`},
		},
		"a wrong value": {
			"route:\n  receiver: ops\n  group_wait: soon\nreceivers: [{name: ops}]\n",
			[]string{`am.yml:3:15: route.group_wait: not a valid duration string: "soon"`},
		},
		"a value that is not allowed": {
			"route:\n  receiver: ops\n  group_interval: 0s\nreceivers: [{name: ops}]\n",
			[]string{`am.yml:3:19: route.group_interval: group_interval cannot be zero`},
		},
		"a template inside": {
			`route: {receiver: ops}
receivers:
  - name: ops
    webhook_configs: [{url: 'http://127.0.0.1/{{ .Nothing }}'}]
    telegram_configs:
      - {bot_token: t, chat_id: 1, message: '{{ template "none" . }}'}
`,
			[]string{
				`am.yml:4:29: receivers[0].webhook_configs[0].url: no valid template: :1:20: executing "" at <.Nothing>: can't evaluate field Nothing in type *template.Data`,
				`am.yml:6:45: receivers[0].telegram_configs[0].message: no valid template: :1:12: executing "" at <{{template "none" .}}>: template "none" not defined`,
			},
		},
		"a password is no template": {
			`route: {receiver: ops}
receivers:
  - name: ops
    webhook_configs:
      - url: http://127.0.0.1/
        http_config: {basic_auth: {username: u, password: '{{'}}
`,
			nil,
		},
		"a file of templates": {
			"route: {receiver: ops}\nreceivers: [{name: ops}]\ntemplates: ['*.tmpl']\n",
			[]string{`am.yml:3:12: templates: template: broken.tmpl:2: unclosed action started at broken.tmpl:1`},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			for file, text := range map[string]string{"am.yml": tt.file, "broken.tmpl": "{{ .Status \n"} {
				if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, p := range alerting.CheckConfig("am.yml") {
				got = append(got, p.Error())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTemplatesAreLookedForBesideTheFile(t *testing.T) {
	dir := t.TempDir()
	for file, text := range map[string]string{
		"am.yml":    "route: {receiver: ops}\nreceivers: [{name: ops}]\ntemplates: ['ours.tmpl']\n",
		"ours.tmpl": "{{ .Status \n",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if problems := alerting.CheckConfig(filepath.Join(dir, "am.yml")); len(problems) != 1 {
		t.Errorf("problems %v, want the one of ours.tmpl", problems)
	}
}

func TestTheBuiltInConfigurationHasNoMistake(t *testing.T) {
	if problems := alerting.CheckConfig(""); len(problems) > 0 {
		t.Error(problems)
	}
}
