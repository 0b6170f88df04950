package main

import (
	"bytes"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler"
)

// policed is a collector with a policy whose platform is not there.
type policed struct {
	*served
	data, policies string
}

func policedCollector(t *testing.T, flags ...string) *policed {
	t.Helper()
	dir := t.TempDir()
	p := &policed{data: filepath.Join(dir, "data"), policies: filepath.Join(dir, "policies.yml")}
	text := `version: plimsoll.scaler/v1
apps:
- {name: web, target: {driver: swarm, service: shop_web}, min: 2, max: 20, signals: [{source: cpu, target: 60%}], forecast: {}}
- {name: api, target: {driver: swarm, service: shop_api}, max: 20, signals: [{source: cpu, target: 60%}]}
`
	if err := os.WriteFile(p.policies, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.start(t, flags...)
	return p
}

func (p *policed) start(t *testing.T, flags ...string) {
	t.Helper()
	p.served = collect(t, p.data, append([]string{"--scaler.policy.file=" + p.policies, "--scaler.swarm-host=unix://" + filepath.Dir(p.policies) + "/none.sock"}, flags...)...)
}

// types runs a command against the collector, as a user if there is one, and
// returns what it says, with runs of spaces as one.
func (p *policed) types(code int, user *url.Userinfo, args ...string) string {
	p.t.Helper()
	u, err := url.Parse(p.url)
	if err != nil {
		p.t.Fatal(err)
	}
	u.User = user
	var out bytes.Buffer
	if got := run(p.t.Context(), append(append([]string{"scaler"}, args...), "--url="+u.String()), &out, &out, nil); got != code {
		p.t.Fatalf("%v: exit code %d, want %d\n%s", args, got, code, out.String())
	}
	return strings.Join(strings.Fields(out.String()), " ")
}

func (p *policed) says(out string, wants ...string) {
	p.t.Helper()
	for _, want := range wants {
		if !strings.Contains(out, want) {
			p.t.Errorf("no %q in: %s", want, out)
		}
	}
}

func TestAPersonHasASay(t *testing.T) {
	p := policedCollector(t)
	p.says(p.types(exitOK, nil, "pause", "web", "--for=2h", "--reason=load test", "--direction=in"), "web: nothing shrinks until 2")
	p.says(p.types(exitOK, nil, "override", "swarm/shop_api", "--floor=10", "--ceiling=12", "-r", "sale", "--author=bob"), "api: floor 10, ceiling 12 until 2")
	p.says(p.types(exitOK, nil, "list"),
		"POLICY WORKLOAD MODE REPLICAS MIN MAX FORECAST BY HAND",
		"web swarm/shop_web advise ? 2 20 learning nothing shrinks until 2", "by "+me()+": load test",
		"api swarm/shop_api advise ? 1 20 - floor 10, ceiling 12 until 2", "by bob: sale")
	p.says(p.types(exitFailure, nil, "override", "web", "--floor=50", "-r", "sale"), "min 2 and max 20")
	p.says(p.types(exitFailure, nil, "resume", "wep", "-r", "x"), `no policy is called "wep", did you mean "web"?`)
	p.says(p.types(exitFailure, nil, "resume", "--all", "-r", "x"), "has no pause to end")

	p.stop()
	p.start(t)
	p.says(p.types(exitOK, nil, "list"), "nothing shrinks until 2", "floor 10, ceiling 12 until 2")
	p.says(p.types(exitOK, nil, "resume", "web", "-r", "done"), "web: goes on")
	p.says(p.types(exitOK, nil, "release", "api", "-r", "sold out", "-o", "json"), `"act": "release"`)
	if out := p.types(exitOK, nil, "list"); strings.Contains(out, "until") {
		t.Errorf("still: %s", out)
	}
	p.says(p.types(exitOK, nil, "pause", "--all", "--for=3d", "-r", "night"), "all policies: paused until 2")
}

// Who it was is what was proven, and what somebody claims besides is beside it.
func TestWhoHadASayIsKnownByThePassword(t *testing.T) {
	web := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(web, []byte("basic_auth_users: {alice: $2a$04$LLyLD4W2tCFXyqCA1ZO9C.nURubdwmfokVcQ4r1hsNqj1PCJU7S.O}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := policedCollector(t, "--web.config.file="+web)
	alice := url.UserPassword("alice", "sesame")
	p.says(p.types(exitFailure, nil, "pause", "web", "-r", "x"), "wants to know who asks")
	p.says(p.types(exitFailure, url.UserPassword("alice", "wrong"), "pause", "web", "-r", "x"), "wants to know who asks")
	p.types(exitOK, alice, "pause", "web", "-r", "one", "--author=bob")
	p.types(exitOK, alice, "resume", "web", "-r", "two", "--author=alice")
	out := p.types(exitOK, alice, "audit")
	p.says(out, "AT POLICY WHAT WHO FROM WHY", "web goes on alice 127.0.0.1 two", "alice as bob 127.0.0.1 one")
	if strings.Contains(out, "unproven") {
		t.Errorf("unproven: %s", out)
	}

	// Once nobody is asked for a password, nobody is taken for who they say.
	p.stop()
	p.start(t)
	p.types(exitOK, alice, "pause", "api", "-r", "three", "--author=mallory")
	p.says(p.types(exitOK, nil, "audit", "api", "--last=1"), "mallory (unproven) 127.0.0.1 three")
}

func TestTheForecastTellsWhyItDoesNotActYet(t *testing.T) {
	p := policedCollector(t)
	// It reads four weeks first, and rests four times as long as that takes.
	p.await("it has been tried", 5*time.Minute, func() bool {
		var status scaler.Status
		u, _ := url.Parse(p.url)
		if err := (remote{u}).askOurs(t.Context(), http.MethodGet, scaler.PoliciesPath+"/web", nil, nil, &status); err != nil {
			t.Fatal(err)
		}
		return status.Forecast != nil && status.Forecast.Standing == "learning" && strings.Contains(status.Forecast.Why, "no history")
	})
}
