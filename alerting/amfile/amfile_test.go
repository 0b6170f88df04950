package amfile_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/matcher/compat"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/plimsoll-io/plimsoll/alerting/amfile"
	"github.com/plimsoll-io/plimsoll/alerting/place"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

func TestMain(m *testing.M) {
	compat.InitFromFlags(slog.New(slog.DiscardHandler), featurecontrol.NoopFlags{})
	m.Run()
}

// stock is a file without bots, with what is easily lost on the way.
const stock = `# people
global:
  http_config: {tls_config: {ca_file: ca.pem}}
  smtp_require_tls: no
templates: [tmpl/*.tmpl]
route: {receiver: team, group_by: [alertname], routes: [{receiver: team, matchers: ['a="0123"'], group_wait: 1m}]}
receivers:
  - name: team
    labels: &labels {on: "yes", number: '0123'}
    webhook_configs:
      - url: http://127.0.0.1:1/
        send_resolved: off
        http_config: {basic_auth: {username: a, password_file: secrets/b}}
      - {url_file: beside, max_alerts: 0x10}
    slack_configs: # one
      - api_url: http://127.0.0.1:1/s
        text: |2-
            {{ range .Alerts }}
          - é "quoted" # no comment
          {{ end }}
  - name: other
    labels: *labels
`

// bots stands at the end of a receiver.
const bots = `    dingtalk_configs:
      - url: https://oapi.dingtalk.example/robot/send?access_token=0123456789
        secret_file: sec
        mention: {mobiles: ["13800000000"], all: true}
        http_config: {tls_config: {ca_file: own.pem}}
      - {url_file: ding, send_resolved: false, language: zh, timeout: 3s}
    feishu_configs: []
    wecom_configs:
    - url_file: /abs/wecom
`

func parse(t *testing.T, text, dir string) (*config.Config, []amfile.Bot, conf.Problems) {
	t.Helper()
	f, problems := place.Parse("a.yml", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return amfile.Parse(f, []byte(text), dir)
}

func TestWithBotsTheRestIsReadAsAlertmanagerReadsIt(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yml")
	if err := os.WriteFile(file, []byte(stock), 0o600); err != nil {
		t.Fatal(err)
	}
	want, err := config.LoadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	middle := strings.Replace(stock, "  - name: other\n", bots+"  - name: other\n", 1)
	first := strings.Replace(stock, "  - name: team\n", "  - dingtalk_configs: [{url_file: a}]\n    name: team\n", 1)
	for name, text := range map[string]string{"none": stock, "at the end": stock + bots, "in the middle": middle, "in front": first} {
		t.Run(name, func(t *testing.T) {
			got, _, problems := parse(t, text, dir)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if got.String() != want.String() {
				t.Errorf("read\n%s\nwant\n%s", got, want)
			}
			// Its String hides secrets and what the file was; the rest must be
			// equal down to the names of files.
			if !reflect.DeepEqual(got.Receivers, want.Receivers) || !reflect.DeepEqual(got.Global, want.Global) || !reflect.DeepEqual(got.Templates, want.Templates) {
				t.Errorf("read %+v, want %+v", got.Receivers, want.Receivers)
			}
		})
	}
}

func TestBotsAreReadWithTheirDefaults(t *testing.T) {
	_, got, problems := parse(t, stock+bots, "/etc/am")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if len(got) != 3 {
		t.Fatalf("%d bots, want 3", len(got))
	}
	a, b, c := got[0], got[1], got[2]
	if a.Kind.Name != "dingtalk" || a.Receiver != 1 || a.Index != 0 || b.Index != 1 || c.Kind.Name != "wecom" || c.Index != 0 {
		t.Errorf("bots %+v", got)
	}
	if string(a.Config.URL) != "https://oapi.dingtalk.example/robot/send?access_token=0123456789" || a.Config.SecretFile != "/etc/am/sec" ||
		!a.Config.Mention.All || a.Config.Mention.Mobiles[0] != "13800000000" || a.Config.HTTPConfig.TLSConfig.CAFile != "/etc/am/own.pem" {
		t.Errorf("first %+v", a.Config)
	}
	if !a.Config.SendResolved() || a.Config.Timeout != model.Duration(10*time.Second) || a.Config.Language != "en" {
		t.Errorf("first %+v, want the defaults", a.Config)
	}
	if b.Config.SendResolved() || b.Config.URLFile != "/etc/am/ding" || b.Config.Timeout != model.Duration(3*time.Second) || b.Config.Language != "zh" {
		t.Errorf("second %+v", b.Config)
	}
	if c.Config.URLFile != "/abs/wecom" || c.Config.HTTPConfig.TLSConfig.CAFile != "/etc/am/ca.pem" {
		t.Errorf("third %+v, want the global client", c.Config)
	}
}

func TestMistakesAboutBotsHaveTheirPlace(t *testing.T) {
	const head = `route: {receiver: team}
receivers:
- name: team
`
	tests := map[string]struct{ text, want string }{
		"a misspelt key": {
			"  wecom_configs:\n  - url_fle: x\n    url: http://a/b\n",
			`a.yml:5:5: receivers[0].wecom_configs[0].url_fle: unknown key, did you mean "url_file"?`,
		},
		"a key inside": {
			"  wecom_configs: [{url_file: x, http_config: {proxy_ur: y}}]\n",
			`a.yml:4:47: receivers[0].wecom_configs[0].http_config.proxy_ur: unknown key, did you mean "proxy_url"?`,
		},
		"a wrong type": {
			"  wecom_configs:\n  - url_file: x\n    send_resolved: maybe\n",
			"a.yml:6:5: receivers[0].wecom_configs[0].send_resolved: cannot unmarshal !!str `maybe` into bool",
		},
		"no duration": {
			"  wecom_configs:\n  - {url_file: x, timeout: soon}\n",
			`a.yml:5:5: receivers[0].wecom_configs[0]: not a valid duration string: "soon"`,
		},
		"no list":        {"  wecom_configs: {url_file: x}\n", "a.yml:4:18: receivers[0].wecom_configs: must be a list, put a dash (-) before each bot"},
		"no mapping":     {"  wecom_configs: [x]\n", "a.yml:4:19: receivers[0].wecom_configs[0]: must be a mapping with the settings of a bot, set at least url_file"},
		"nothing said":   {"  wecom_configs: [{}]\n", "a.yml:4:19: receivers[0].wecom_configs[0]: the URL of the bot is missing, set url_file to a file that holds it, or url"},
		"a key twice":    {"  wecom_configs:\n  - url_file: x\n    url_file: y\n", "a.yml:6:5: receivers[0].wecom_configs[0].url_file: the key is there twice, remove one of them"},
		"a mistake deep": {"  feishu_configs: [{url_file: x, mention: {mobiles: ['1']}}]\n", "a.yml:4:53: receivers[0].feishu_configs[0].mention.mobiles: a Feishu bot knows nobody by a mobile number, write open_ids under mention.users"},
		"a stock mistake beside bots": {
			"  # a comment\n\n  wecom_configs: [{url_file: x}]\n\n  webhook_configs:\n  - uri: x\n",
			"a.yml:9:5: receivers[0].webhook_configs[0].uri: unknown key, correct its spelling or remove it",
		},
		"a kind nobody knows": {
			"  wecom_config: [{url_file: x}]\n",
			"a.yml:4:3: receivers[0].wecom_config: unknown key, correct its spelling or remove it",
		},
		"a list twice": {
			"  wecom_configs: [{url_file: x}]\n  wecom_configs:\n  - url_file: y\n",
			"a.yml:5:3: receivers[0].wecom_configs: the key is there twice, write one list",
		},
		"bots by a merge key": {
			"  wecom_configs: [{url_file: x}]\n- &base\n  name: base\n  feishu_configs: [{url_file: y}]\n- <<: *base\n  name: third\n",
			"a.yml:8:3: receivers[2]: a merge key (<<) brings feishu_configs, write the list out in this receiver",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, problems := parse(t, head+tt.text, ".")
			if got := problems.Error(); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestADashWithNothingBehindIsAMistake(t *testing.T) {
	for _, tt := range []struct{ global, list string }{
		{"slack_api_url: http://a/b", "slack_configs"},
		{"opsgenie_api_key: k", "opsgenie_configs"},
		{"wechat_api_secret: k, wechat_api_corp_id: c", "wechat_configs"},
		{"rocketchat_token: k, rocketchat_token_id: i", "rocketchat_configs"},
	} {
		for _, more := range []string{"", "  wecom_configs: [{url_file: x}]\n"} {
			text := "global: {" + tt.global + "}\nroute: {receiver: team}\nreceivers:\n- name: team\n  " + tt.list + ":\n  -\n" + more
			_, _, problems := parse(t, text, ".")
			if got, want := problems.Error(), "receivers[0]."+tt.list+"[0]: is empty, write at least one setting, or remove the dash"; !strings.HasSuffix(got, want) || !strings.HasPrefix(got, "a.yml:6:") {
				t.Errorf("got\n%s\nwant one on line 6 with\n%s", got, want)
			}
		}
	}
}

func TestSecretsAreInNoMistake(t *testing.T) {
	const secret = "0123456789abcdef"
	for _, line := range []string{
		"url: 'http://[" + secret + "'", "url: [" + secret + "]", "secret: {a: " + secret + "}", "url: ://" + secret, "url: " + secret,
		"secret: " + secret + "\n    secret_file: x", "url: http://a/b\n    secret: &" + secret + " x",
	} {
		_, _, problems := parse(t, "route: {receiver: a}\nreceivers:\n- name: a\n  wecom_configs:\n  - "+line+"\n", ".")
		if len(problems) == 0 || strings.Contains(problems.Error()+problems.Render(), secret) {
			t.Errorf("%s: %v", line, problems)
		}
	}
}

// What is left after the cut is the file without bots.
func FuzzCut(f *testing.F) {
	f.Add(stock + bots)
	f.Add(strings.Replace(stock, "  - name: other\n", bots+"  - name: other\n", 1))
	f.Add("receivers: [{name: a, wecom_configs: [{url: x}]}]")
	f.Add("receivers: &r\n- &b {name: b, feishu_configs: *r}\n- <<: *b\n")
	f.Add("receivers:\n- wecom_configs: &x [1]\n  y: *x")
	f.Add("receivers:\n- wecom_configs:\n  a: |+\n\n   x\n\n  b: >-\n   y\n  ? [c]\n  : !!str 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, problems := place.Parse("a.yml", []byte(text))
		if len(problems) > 0 {
			return
		}
		left, _, problems := amfile.Cut(file, []byte(text))
		for _, p := range problems {
			if p.What == "" {
				t.Errorf("problem %+v", p)
			}
		}
		if left == nil || len(problems) > 0 {
			return
		}
		var before, after any
		if yaml.Unmarshal([]byte(text), &before) != nil {
			return
		}
		if err := yaml.Unmarshal(left, &after); err != nil {
			return // an anchor that went with the bots; Alertmanager says so
		}
		strip(before)
		if !reflect.DeepEqual(before, after) {
			a, _ := yaml.Marshal(before)
			b, _ := yaml.Marshal(after)
			if string(a) != string(b) { // NaN is not itself
				t.Errorf("%q became %q", text, left)
			}
		}
	})
}

// strip takes the bots out of a file that was read without a schema.
func strip(file any) {
	top, _ := file.(map[string]any)
	list, _ := top["receivers"].([]any)
	for _, r := range list {
		if r, ok := r.(map[string]any); ok {
			for _, k := range amfile.Kinds() {
				delete(r, k.Name+"_configs")
			}
		}
	}
}
