package forward

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWhatPrometheusReadsIsRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "forward.yaml")
	err := os.WriteFile(path, []byte(`# as in prometheus.yml
global:
  external_labels: {cluster: prod, replica: c1}
remote_write:
- url: https://metrics.example/api/v1/push?tenant=1
  name: mimir
  remote_timeout: 10s
  protobuf_message: io.prometheus.write.v2.Request
  headers: {X-Scope-OrgID: team}
  basic_auth: {username: u, password_file: secrets/password}
  tls_config: {ca_file: ca.pem}
  write_relabel_configs:
  - {source_labels: [__name__], regex: go_.*, action: drop}
  queue_config: {max_shards: 10, sample_age_limit: 6h}
  metadata_config: {send: false}
- url: http://10.0.0.1:8428/api/v1/write
  sigv4: {region: eu-central-1}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cfg, problems := LoadFile(path)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	a, b := cfg.Endpoints[0], cfg.Endpoints[1]
	if len(cfg.Endpoints) != 2 || cfg.ExternalLabels.Get("replica") != "c1" || !version2(a) || version2(b) ||
		time.Duration(a.RemoteTimeout) != 10*time.Second || a.QueueConfig.MaxShards != 10 || a.QueueConfig.MaxSamplesPerSend != 2000 || b.SigV4Config == nil {
		t.Errorf("%+v", cfg)
	}
	if got, want := a.HTTPClientConfig.BasicAuth.PasswordFile, filepath.Join(dir, "secrets/password"); got != want {
		t.Errorf("password_file is %s, want it beside the file: %s", got, want)
	}
	if n := endpointName(b); n != "http://10.0.0.1:8428/api/v1/write" {
		t.Errorf("called %q", n)
	}
	if shown := shownURL(a); strings.Contains(shown, "tenant") {
		t.Errorf("shows %s", shown)
	}
}

func TestAnEmptyFileSendsNowhere(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "remote_write: []\n", "remote_write:\n"} {
		if cfg, problems := parse("f", []byte(text)); len(problems) > 0 || len(cfg.Endpoints) > 0 {
			t.Errorf("%q: %v %v", text, cfg, problems)
		}
	}
}

func TestEveryMistakeIsToldWithItsPlace(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"no YAML":               {"remote_write: [", "forward.yaml:1"},
		"an unknown key":        {"remote_write:\n- url: http://a/\n  urll: x\n", `forward.yaml:3:1: unknown key "urll"`},
		"a key of prometheus":   {"scrape_configs: []\n", `forward.yaml:1:1: unknown key "scrape_configs", of a prometheus.yml, only remote_write`},
		"another global":        {"global: {scrape_interval: 1m}\n", "only remote_write and global.external_labels belong here"},
		"no url":                {"remote_write:\n- url: http://a/\n- name: x\n", "forward.yaml:3:1: url for remote_write is empty"},
		"nothing":               {"remote_write:\n-\n", "forward.yaml:2:1: endpoint is empty"},
		"a url without a host":  {"remote_write:\n- url: /write\n", "forward.yaml:2:1: url must be like https://host/api/v1/write"},
		"a wrong type":          {"remote_write:\n- url: http://a/\n  queue_config: {max_shards: many}\n", "forward.yaml:3:1: cannot unmarshal !!str into int"},
		"two ways to log in":    {"remote_write:\n- url: http://a/\n  sigv4: {region: x}\n  basic_auth: {username: u}\n", "forward.yaml:2:1: at most one of basic_auth"},
		"the same name":         {"remote_write:\n- url: http://a/\n- url: http://a/?x=1\n", `forward.yaml:3:1: another endpoint, on line 2, is called "http://a/", give each a name`},
		"a bad relabel rule":    {"remote_write:\n- url: http://a/\n  write_relabel_configs: [{action: replace}]\n", "forward.yaml:2:1: relabel configuration"},
		"an unknown message":    {"remote_write:\n- url: http://a/\n  protobuf_message: x\n", "forward.yaml:2:1: invalid protobuf_message"},
		"a null rule":           {"remote_write:\n- url: http://a/\n  write_relabel_configs:\n  -\n", "forward.yaml:2:1: empty or null relabeling rule"},
		"two mistakes, the 2nd": {"remote_write:\n- url: /a\n- url: /b\n", "forward.yaml:3:1: url must"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, problems := parse("forward.yaml", []byte(tt.text))
			if !strings.Contains(problems.Error(), tt.want) {
				t.Errorf("got\n%s\nwant\n%s", problems, tt.want)
			}
		})
	}
}

func FuzzConfig(f *testing.F) {
	f.Add("global: {external_labels: {a: b}}\nremote_write:\n- url: http://a/\n  write_relabel_configs: [{action: drop, regex: x, source_labels: [a]}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		cfg, problems := parse("f", []byte(text))
		if len(problems) == 0 {
			for _, e := range cfg.Endpoints {
				if endpointName(e) == "" {
					t.Errorf("an endpoint without a name: %q", text)
				}
			}
		}
		_ = problems.Error()
	})
}
