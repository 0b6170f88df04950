package main

import (
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"plimsoll": main})
}

// TestWhatAUserTypes runs the scripts of testdata: everything that needs no
// containers.
func TestWhatAUserTypes(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata"})
}

// A key of a file cannot be a value and a map at a time.
func TestNoFlagIsTheBeginningOfAnother(t *testing.T) {
	c := newCLI(io.Discard, io.Discard, nil)
	for command := range c.commands {
		name, _, _ := strings.Cut(command, " ")
		names := c.flagsOf(name)
		for _, a := range names {
			for _, b := range names {
				if strings.HasPrefix(b, a+".") {
					t.Errorf("%s: --%s and --%s", command, a, b)
				}
			}
		}
	}
}

func TestTheExitCodeTellsWhoseMistakeItWas(t *testing.T) {
	data := "--data.path=" + filepath.Join(t.TempDir(), "data")
	collector := func(flags ...string) []string {
		return append([]string{"collector", "--web.listen-address=127.0.0.1:0", "--grpc.listen-address=127.0.0.1:0", data}, flags...)
	}
	for name, tt := range map[string]struct {
		args []string
		code int
	}{
		"none":                       {[]string{"version"}, exitOK},
		"a command that is none":     {[]string{"agnet"}, exitUsage},
		"a flag that is none":        {collector("--no-such"), exitUsage},
		"a configuration file":       {collector("--config.file=/no/such"), exitUsage},
		"an alertmanager.yml":        {collector("--alerting.config.file=/no/such"), exitUsage},
		"a rule file":                {collector("--rules.file=/no/such"), exitUsage},
		"a policy file":              {collector("--scaler.policy.file=/no/such"), exitUsage},
		"a copy that nobody has":     {collector("--durability=replica"), exitUsage},
		"an engine's address":        {collector("--scaler.swarm-host=ssh://manager"), exitUsage},
		"a directory that is a file": {[]string{"agent", "--docker.host=", "--data.path=main.go"}, exitFailure},
		"a file that was checked":    {[]string{"check", "policies", "/no/such"}, exitFindings},
		"a collector that is away":   {[]string{"explain", "--url=http://127.0.0.1:1", "web"}, exitUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			var said strings.Builder
			if code := run(t.Context(), tt.args, io.Discard, &said, nil); code != tt.code {
				t.Errorf("exit code %d, want %d: %s", code, tt.code, said.String())
			}
		})
	}
}
