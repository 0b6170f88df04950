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

func TestRulesOfWhatTheScalerSaysOfItself(t *testing.T) {
	const (
		stuck     = "ScalerStuck critical: Policy web asks for more replicas and is held, as those that were added do not get ready and fail"
		unready   = "ScalerNotConverging warning: 3 replica(s) of policy web have not been ready for 10 minutes"
		unknown   = "ScalerEventUnknown critical: What an event will take is not known, so nothing is made ready for it by policy web"
		missing   = "ScalerHistoryMissing warning: The past load of policy web could not be had again and again within an hour"
		frozen    = "ScalerFrozen warning: The scaler of collector c1 has let nothing shrink anywhere for 5 minutes"
		suspended = "ScalerForecastSuspended info: The load of policy web has not been what was forecast for 3 hours"
		paused    = "ScalerPaused info: Policy web has been paused by a person for 12 hours"
		allPaused = "ScalerPaused info: All policies have been paused by a person for 12 hours"
		slow      = "ScalerSlow warning: One in ten times that a workload grew, collector c1 took 9.5s or longer from the samples to the platform's word"
		cut       = "ScalerJournalCut warning: The journal of decisions of collector c1 ends 40 line(s) before where it ended within the last day"
	)
	minute := func(n float64) time.Duration { return time.Duration(n * float64(time.Minute)) }
	web := func(name, values string) string {
		return labelled("plimsoll_scaler_"+name, `policy="web"`, values)
	}
	gate := func(name, values string) string {
		return labelled("plimsoll_scaler_gates_total", `policy="web", gate="`+name+`"`, values)
	}
	ticks := web("ticks_total", "0+15x200")
	reaction := func(direction, upTo2, upTo10 string) []string {
		series := func(le, values string) string {
			return labelled("plimsoll_scaler_reaction_seconds_bucket", `from="arrival", direction="`+direction+`", le="`+le+`"`, values)
		}
		return []string{series("2", upTo2), series("5", upTo2), series("10", upTo10), series("+Inf", upTo10)}
	}

	// Four values are a minute.
	tellEvery(t, 15*time.Second, map[string]story{
		// The counter is born with the first decision that is held.
		"growth that is held because what was added crashes is critical within two minutes, until it comes up": {
			[]string{ticks, gate("stuck", "_x20 15+15x30 465x60")},
			[]moment{{minute(5.75), ""}, {minute(7), stuck}, {minute(12.5), stuck}, {minute(17), ""}},
		},
		"growth that is held is told before replicas that are merely not ready": {
			[]string{ticks, gate("stuck", "_x20 15+15x60"), web("replicas_desired", "4x4 10x90"), web("replicas_ready", "4x4 7x90")},
			[]moment{{minute(8), stuck}, {minute(11.25), unready + "; " + stuck}},
		},
		"growth that was held in one decision of many is not told": {
			[]string{ticks, gate("stuck", "0x20 2x20 4x40")},
			[]moment{{minute(6), ""}, {minute(8), ""}, {minute(12), ""}},
		},
		"growth that another collector, which does not know of the failures, does not hold is told all the same": {
			[]string{
				ticks, gate("stuck", "0x20 15+15x60"),
				`plimsoll_scaler_ticks_total{job="plimsoll-collector", instance="c2", policy="web"} 0+15x200`,
				`plimsoll_scaler_gates_total{job="plimsoll-collector", instance="c2", policy="web", gate="stuck"} 0x200`,
			},
			[]moment{{minute(7), stuck}},
		},
		"other gates are what policies are for": {
			[]string{ticks, gate("in_window", "0+15x100"), gate("rate", "0+15x100"), gate("max", "0+15x100"), gate("held", "0+15x100"), gate("frozen", "0+15x100")},
			[]moment{{minute(5), ""}, {minute(20), ""}},
		},
		"an event whose load is not known is critical as soon as it counts": {
			[]string{web("ticks_total", "0+1x200"), gate("unknown", "_x20 1+1x40 41x60")},
			[]moment{{minute(5.25), ""}, {minute(7.5), unknown}, {minute(14), unknown}, {minute(19), ""}},
		},
		"an event whose load is found within a minute of a restart is not told": {
			[]string{web("ticks_total", "0+1x200"), gate("unknown", "_x20 1+1x3 4x60")},
			[]moment{{minute(6.5), ""}, {minute(7), ""}, {minute(8), ""}},
		},
		"nothing shrinks anywhere for five minutes warns, until it is over": {
			[]string{own("plimsoll_scaler_frozen", "0x4 1x40 0x20")},
			[]moment{{minute(6), ""}, {minute(6.25), frozen}, {minute(11.5), ""}},
		},
		"nothing shrinks anywhere for three minutes is what the breaker is for": {
			[]string{own("plimsoll_scaler_frozen", "0x4 1x12 0x60")},
			[]moment{{minute(4), ""}, {minute(10), ""}},
		},
		"a journal whose end is gone warns": {
			[]string{own("plimsoll_scaler_journal_seq", "100+1x20 80+1x40")},
			[]moment{{minute(5), ""}, {minute(5.25), cut}, {minute(7.75), "ScalerJournalCut warning: The journal of decisions of collector c1 ends 30 line(s) before where it ended within the last day"}, {minute(15.25), ""}},
		},
		"a collector that is away for a while has the journal that it had": {
			[]string{own("plimsoll_scaler_journal_seq", "100+1x20 stale _x20 120+1x40")},
			[]moment{{minute(5), ""}, {minute(10.5), ""}, {minute(15), ""}},
		},
		"growth that takes nine seconds is slow": {
			reaction("out", "0x100", "0+1x100"),
			[]moment{{minute(5), slow}},
		},
		"growth that takes two seconds is not, and shrinking may take its time": {
			append(reaction("out", "0+1x100", "0+1x100"), reaction("in", "0x100", "0+1x100")...),
			[]moment{{minute(5), ""}, {minute(20), ""}},
		},
	})

	// A value is five minutes, which is how often the load of an event is looked for.
	tellEvery(t, 5*time.Minute, map[string]story{
		"an event's load that cannot be had is told an hour and a half before it begins, though the counter is born with it": {
			[]string{web("history_errors_total", "_x12 1+1x12 13x24")},
			[]moment{{minute(75), ""}, {minute(80), missing}, {minute(120), missing}, {minute(180), ""}},
		},
		"an event's load that is found at the third time is not told": {
			[]string{web("history_errors_total", "_x12 1+1x2 3x24")},
			[]moment{{minute(60), ""}, {minute(75), ""}, {minute(120), ""}},
		},
		"a forecast whose history cannot be read is told": {
			[]string{web("history_errors_total", "0 0 1 1 2 2 3 3 4 4 5 5 6 6")},
			[]moment{{minute(35), ""}, {minute(40), missing}, {minute(65), missing}},
		},
	})

	// Four values are an hour.
	tellEvery(t, 15*time.Minute, map[string]story{
		"a policy that was paused half a day ago is told to those who may have forgotten": {
			[]string{labelled("plimsoll_scaler_paused", `policy="web", direction="out"`, "_x4 1x52 stale")},
			[]moment{{12*time.Hour + 45*time.Minute, ""}, {13 * time.Hour, paused}, {15 * time.Hour, ""}},
		},
		"a pause of all policies is told once": {
			[]string{labelled("plimsoll_scaler_paused", `policy="*", direction="out"`, "1x60"), labelled("plimsoll_scaler_paused", `policy="*", direction="in"`, "1x60")},
			[]moment{{11 * time.Hour, ""}, {12 * time.Hour, allPaused}},
		},
		"a pause for a night is nobody's alarm": {
			[]string{labelled("plimsoll_scaler_paused", `policy="web", direction="in"`, "1x40 stale")},
			[]moment{{10 * time.Hour, ""}, {13 * time.Hour, ""}},
		},
		"a forecast that does not come true for hours is told": {
			[]string{
				labelled("plimsoll_scaler_forecast_standing", `policy="web", standing="suspended"`, "0x4 1x20 0x8"),
				labelled("plimsoll_scaler_forecast_standing", `policy="web", standing="on"`, "1x4 0x20 1x8"),
			},
			[]moment{{3*time.Hour + 45*time.Minute, ""}, {4*time.Hour + 15*time.Minute, suspended}, {6*time.Hour + 30*time.Minute, ""}},
		},
		"a forecast that is suspended for two hours is not, nor one that is off": {
			[]string{
				labelled("plimsoll_scaler_forecast_standing", `policy="web", standing="suspended"`, "0x4 1x8 0x40"),
				labelled("plimsoll_scaler_forecast_standing", `policy="api", standing="off"`, "1x60"),
			},
			[]moment{{4 * time.Hour, ""}, {8 * time.Hour, ""}},
		},
	})
}
