package main

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/plimsoll-io/plimsoll/agent/doctor"
)

// So that a command line or a file of an agent serves doctor as it is.
func TestDoctorTakesEveryFlagOfAnAgentWithItsDefault(t *testing.T) {
	c := newCLI(io.Discard, io.Discard, nil)
	own := c.flagsOf("doctor")
	for _, name := range c.flagsOf("agent") {
		if !slices.Contains(own, name) {
			t.Errorf("doctor does not take --%s", name)
			continue
		}
		agent, doctor := c.flag("agent", name).Model().Default, c.flag("doctor", name).Model().Default
		if !slices.Equal(agent, doctor) {
			t.Errorf("--%s is %v by default, to an agent %v", name, doctor, agent)
		}
	}
}

func TestDoctorEndsWithFindingsOnlyIfSomethingCouldBeHad(t *testing.T) {
	of := func(status doctor.Status) []doctor.Finding {
		return []doctor.Finding{{Status: doctor.OK}, {Status: status}}
	}
	for _, status := range []doctor.Status{doctor.OK, doctor.Off} {
		if err := verdict(of(status)); err != nil {
			t.Errorf("%s: %v", status, err)
		}
	}
	for _, status := range []doctor.Status{doctor.Limited, doctor.Missing} {
		if err := verdict(of(status)); err == nil || err.Error() != "1 problem found" {
			t.Errorf("%s: %v", status, err)
		}
	}
	var said strings.Builder
	args := []string{"doctor", "--docker.host=", "--path.cgroup=/no/such", "--collector.address="}
	if code := run(t.Context(), args, io.Discard, &said, nil); code != exitFindings {
		t.Errorf("exit code %d, want %d: %s", code, exitFindings, said.String())
	}
}
