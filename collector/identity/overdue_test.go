package identity

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestANodeThatDoesNotRenewIsToldOfBeforeItIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, time.Hour)
		registry := prometheus.NewPedanticRegistry()
		s.opts.Registerer = registry
		s.reopen()
		s.enroll("away") // has no stream that could end
		late, prompt := s.enroll("late"), s.enroll("prompt")
		late.pushes()
		prompt.pushes()
		overdue := func(after time.Duration, want ...string) {
			t.Helper()
			<-time.After(after)
			if got := slices.Sorted(maps.Keys(s.authority.overdue(time.Now()))); !slices.Equal(got, want) {
				t.Errorf("%v are overdue, want %v", got, want)
			}
		}
		overdue(40 * time.Minute)
		if err := prompt.renew("prompt"); err != nil {
			t.Fatal(err)
		}
		overdue(9 * time.Minute)
		overdue(2*time.Minute, "late") // prompt's stream is still under its first certificate
		const name = "plimsoll_collector_identity_overdue_expires_timestamp_seconds"
		if n, err := testutil.GatherAndCount(registry, name); n != 1 || err != nil {
			t.Errorf("%d of %s, %v", n, name, err)
		}
		if problems, err := testutil.GatherAndLint(registry, name); len(problems) > 0 || err != nil {
			t.Error(problems, err)
		}
		if err := late.renew("late"); err != nil {
			t.Fatal(err)
		}
		overdue(0)
		if err := testutil.GatherAndCompare(registry, strings.NewReader(""), name); err != nil {
			t.Error(err)
		}
		overdue(10 * time.Minute) // whose stream has ended is not overdue but gone
	})
}
