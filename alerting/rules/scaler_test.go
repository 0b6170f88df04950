package rules_test

import (
	"testing"
	"time"
)

func TestScalerRules(t *testing.T) {
	const (
		atMax     = "ScalerAtMax warning: Policy web has been at its max of 10 replicas for 5 minutes"
		beyond    = "ScalerWantsMoreThanMax critical: The load of policy web asks for 14 replicas, which is more than its max"
		unready   = "ScalerNotConverging warning: 2 replica(s) of policy web have not been ready for 10 minutes"
		blind     = "ScalerMetricMissing warning: Signal cpu of policy web has had no data for 2 minutes"
		failing   = "ScalerActionFailing critical: The platform did not scale policy web when asked to 6 times within 5 minutes (capacity)"
		silent    = "ScalerPlatformSilent critical: In 100% of the times that it is asked the platform does not say how many replicas policy web has"
		flapping  = "ScalerFlapping warning: The number of replicas of policy web changed 10 times within 30 minutes"
		forgetful = "ScalerForgets warning: The scaler of collector c1 could not write down what it did "
	)
	web := func(name, values string) string {
		return labelled("plimsoll_scaler_"+name, `policy="web"`, values)
	}
	minute := func(n float64) time.Duration { return time.Duration(n * float64(time.Minute)) }
	bounds := []string{web("replicas_min", "2x200"), web("replicas_max", "10x200")}
	within := func(series ...string) []string { return append(series, bounds...) }

	// Four values are a minute.
	tellEvery(t, 15*time.Second, map[string]story{
		"a policy that has been at its max for five minutes warns": {
			within(web("replicas_wanted", "8x4 10x40")),
			[]moment{{minute(6), ""}, {minute(6.25), atMax}},
		},
		"a policy whose max is its min is where it ought to be": {
			[]string{web("replicas_wanted", "10x60"), web("replicas_min", "10x60"), web("replicas_max", "10x60")},
			[]moment{{minute(10), ""}},
		},
		"a load for more than max is critical after a minute, whichever of two collectors tells": {
			within(web("replicas_unbounded", "8x4 14x10 8x20"), web("replicas_desired", "8x4 10x30"),
				`plimsoll_scaler_replicas_unbounded{job="plimsoll-collector", instance="c2", policy="web"} 8x4 14x10 8x20`,
				`plimsoll_scaler_replicas_desired{job="plimsoll-collector", instance="c2", policy="web"} 8x4 10x30`,
				`plimsoll_scaler_replicas_max{job="plimsoll-collector", instance="c2", policy="web"} 10x60`),
			[]moment{{minute(2), ""}, {minute(2.25), beyond}, {minute(4.5), beyond}, {minute(5.25), ""}},
		},
		"replicas beyond max by hand are nobody's alarm": {
			within(web("replicas_unbounded", "14x60"), web("replicas_desired", "14x60")),
			[]moment{{minute(10), ""}},
		},
		"a peak of load of half a minute is nobody's alarm": {
			within(web("replicas_unbounded", "8x4 14x2 8x40"), web("replicas_desired", "8x60")),
			[]moment{{minute(1.5), ""}, {minute(10), ""}},
		},
		"replicas that do not get ready for ten minutes warn": {
			within(web("replicas_desired", "6x60"), web("replicas_ready", "6x4 4x60")),
			[]moment{{minute(11), ""}, {minute(11.25), unready}},
		},
		"replicas that are one more while they are replaced are well": {
			within(web("replicas_desired", "6x60"), web("replicas_ready", "7x60")),
			[]moment{{minute(15), ""}},
		},
		"a signal without data for two minutes warns": {
			[]string{labelled("plimsoll_scaler_metric_available", `policy="web", signal="cpu"`, "1x4 0x20"), labelled("plimsoll_scaler_metric_available", `policy="web", signal="rps"`, "1x40")},
			[]moment{{minute(3), ""}, {minute(3.25), blind}},
		},
		"a platform that has no room is told after the third time, though the counter is born with it": {
			[]string{
				labelled("plimsoll_scaler_actions_total", `policy="web", direction="out", result="capacity"`, "_x7 2+1x4 6x80"),
				labelled("plimsoll_scaler_actions_total", `policy="web", direction="out", result="accepted"`, "0+1x90"),
			},
			[]moment{{minute(1.75), ""}, {minute(3), failing}, {minute(9), ""}},
		},
		"a platform that did not answer once is asked again": {
			[]string{labelled("plimsoll_scaler_actions_total", `policy="web", direction="out", result="unknown"`, "0x8 1x80")},
			[]moment{{minute(3), ""}, {minute(10), ""}},
		},
		"a platform that says nothing is told after minutes": {
			[]string{web("platform_errors_total", "0x20 0+3x40"), web("ticks_total", "0+3x80")},
			[]moment{{minute(5.5), ""}, {minute(9), silent}},
		},
		"a platform that says nothing now and then is not": {
			[]string{web("platform_errors_total", "0+1x80"), web("ticks_total", "0+3x80")},
			[]moment{{minute(10), ""}},
		},
		"a number that goes up and down is told": {
			[]string{web("replicas_desired", "4x8 5x8 4x8 5x8 4x8 5x8 4x8 5x8 4x8 5x8 4x60")},
			[]moment{{minute(15), ""}, {minute(24), flapping}},
		},
		"a number that follows its load is not": {
			[]string{web("replicas_desired", "4x20 5x20 7x20 9x20 12x60")},
			[]moment{{minute(30), ""}},
		},
		"a journal that cannot be written is told": {
			[]string{own("plimsoll_scaler_journal_errors_total", "0x20 0+1x80")},
			[]moment{{minute(5), ""}, {minute(20.25), forgetful + "60 time(s) within 15 minutes"}},
		},
	})
}
