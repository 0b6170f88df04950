package rules_test

import (
	"testing"
	"time"
)

// own is a series of the collector's own.
func own(name, values string) string { return labelled(name, "", values) }

// labelled is one with more labels, such as `part="scaler"`.
func labelled(name, labels, values string) string {
	return name + `{job="plimsoll-collector", instance="c1", ` + labels + `} ` + values
}

func TestRulesOnPlimsollItself(t *testing.T) {
	const (
		stale     = "AgentStale warning: What the agent of n1 sends is 45s old when it arrives"
		filling   = "AgentBufferFilling warning: The agent of n1 has filled 60% of its spool with what some collector has not confirmed"
		missing   = "AgentsMissing critical: Only 60% of the nodes that collector c1 had an hour ago are connected"
		dropping  = "AgentDropsBatches critical: The agent of n1 has dropped 40 batches for want of room"
		failing   = "AgentSpoolFailing critical: The agent of n1 could not write 3 batches to its disk within 15 minutes"
		lost      = "CollectorLostData critical: A collector has lost data that it had acknowledged, and 2 node(s) send it again"
		halted    = "CollectorIngestErrors critical: Collector c1 has trouble storing what agents send"
		faulty    = "CollectorIngestErrors warning: Collector c1 has trouble storing what agents send"
		series    = "CollectorSeriesLimit warning: Collector c1 has 95% of the series that it may have in memory"
		refused   = "SamplesRefused warning: Collector c1 refuses 10.0 samples per second as series_limit"
		unloaded  = "ConfigReloadFailed warning: Collector c1 did not take the changed files of its part scaler"
		broken    = "RuleEvaluationFails critical: Rules in a.yml;g could not be evaluated 1 time(s) within 5 minutes"
		slow      = "RuleEvaluationSlow warning: Collector c1 takes 120% of the interval of the rules in a.yml;g to evaluate them once"
		unheard   = "NotificationsFailing warning: Collector c1 could not deliver 1 notification(s) by webhook within 5 minutes"
		deaf      = "NotificationsFailing critical: Collector c1 has not been able to deliver anything by webhook[0] of receiver team for a minute"
		unsaved   = "AlertingForgets warning: Collector c1 has not been able to write its silences to disk for a minute"
		untold    = "AlertsRefused critical: Collector c1 did not take 7 alert(s) of its rules within 5 minutes"
		away      = "ForwardFailing warning: Collector c1 has not been able to forward samples to thanos for 5 minutes"
		waiting   = "ForwardSpoolFilling warning: What collector c1 has to forward takes 80% of the room there is for it"
		unsent    = "ForwardDropsSamples warning: Collector c1 has dropped 500 samples that were to be forwarded to thanos (spool_full)"
		watchdog  = "Watchdog none: Alerting works from rules to receivers, as far as this is heard"
		unshipped = "BlocksNotUploaded critical: Collector c1 has deleted 2 block(s) that were not in the bucket yet"
	)
	of := func(node, name, values string) string {
		return name + `{job="plimsoll-agent", node="` + node + `", instance="` + node + `:9100"} ` + values
	}
	agent := func(name, values string) string { return of("n1", name, values) }
	// ingest is a series of the collector about a node.
	ingest := func(name, values string) string { return labelled(name, `node="n1"`, values) }
	minute := func(n float64) time.Duration { return time.Duration(n * float64(time.Minute)) }

	// Four values are a minute.
	tellEvery(t, 15*time.Second, map[string]story{
		"an agent whose samples come late is told after a minute": {
			[]string{ingest("plimsoll_collector_ingest_lag_seconds", "1x10 45x40"), ingest("plimsoll_agent_clock_skew_seconds", "0x50"), agent("up", "1x50")},
			[]moment{{minute(3.5), ""}, {minute(3.75), stale}},
		},
		"a clock that is slow is no late sample": {
			[]string{ingest("plimsoll_collector_ingest_lag_seconds", "600x50"), ingest("plimsoll_agent_clock_skew_seconds", "-600x50"), agent("up", "1x50")},
			[]moment{{minute(10), "HostClockSkew warning: The clock of node n1 differs by 10m 0s from the collector's"}},
		},
		"an agent that is away is not late": {
			[]string{ingest("plimsoll_collector_ingest_lag_seconds", "45x50"), ingest("plimsoll_agent_clock_skew_seconds", "0x50"), agent("up", "0x50")},
			[]moment{{minute(10), "AgentDown critical: Nothing has been heard of node n1 for 15 seconds or longer"}},
		},
		"a spool that fills with what nobody took is told after five minutes": {
			[]string{agent("plimsoll_agent_unacknowledged_bytes", "10x10 60x40"), agent("plimsoll_agent_spool_limit_bytes", "100x50")},
			[]moment{{minute(7.25), ""}, {minute(7.75), filling}},
		},
		"a spool that is full of what is kept for later is well": {
			[]string{agent("plimsoll_agent_spool_bytes", "100x50"), agent("plimsoll_agent_unacknowledged_bytes", "10x50"), agent("plimsoll_agent_spool_limit_bytes", "100x50")},
			[]moment{{minute(10), ""}},
		},
		"batches that are dropped after an outage of hours are told when the agent is back": {
			[]string{agent("plimsoll_agent_spool_dropped_batches_total", "0x20 _x300 40x80")},
			[]moment{{minute(5), ""}, {minute(80.25), dropping}, {minute(94), dropping}, {minute(96), ""}},
		},
		"batches that were dropped before a short gap are no news": {
			[]string{agent("plimsoll_agent_spool_dropped_batches_total", "0x10 40x100 _x80 40x40")},
			[]moment{{minute(2.75), dropping}, {minute(25), ""}, {minute(48), ""}},
		},
		"batches that the disk does not take are told at once": {
			[]string{agent("plimsoll_agent_batches_lost_total", "0x20 3x80")},
			[]moment{{minute(5), ""}, {minute(5.25), failing}, {minute(21), ""}},
		},
		"an agent that starts anew has lost nothing": {
			[]string{agent("plimsoll_agent_batches_lost_total", "7x80 0x80"), agent("plimsoll_agent_spool_dropped_batches_total", "7x80 0x80"), agent("plimsoll_agent_resent_batches_total", "7x80 0x80")},
			[]moment{{minute(19), ""}, {minute(20.25), ""}, {minute(30), ""}},
		},
		"a collector that is filled again by its agents has lost data, once for all of them": {
			[]string{of("n1", "plimsoll_agent_resent_batches_total", "0x20 700x80"), of("n2", "plimsoll_agent_resent_batches_total", "0x20 900x80"), of("n3", "plimsoll_agent_resent_batches_total", "0x100")},
			[]moment{{minute(5), ""}, {minute(5.25), lost}, {minute(21), ""}},
		},
		"a collector that has forgotten everything, its agents too, has lost data": {
			[]string{of("n1", "plimsoll_agent_resent_batches_total", "_x20 700x80"), of("n2", "plimsoll_agent_resent_batches_total", "_x20 900x80")},
			[]moment{{minute(5.25), lost}},
		},
		"a collector that was killed twice and asks again for the last batch each time has lost nothing": {
			[]string{of("n1", "plimsoll_agent_resent_batches_total", "0x20 1x10 2x80"), of("n2", "plimsoll_agent_resent_batches_total", "0x20 1x10 2x80")},
			[]moment{{minute(5.25), ""}, {minute(8), ""}},
		},
		"a store that has failed is critical after 15 s": {
			[]string{own("plimsoll_collector_ingest_halted", "0x5 1x10 0x10")},
			[]moment{{minute(1.5), ""}, {minute(1.75), halted}, {minute(4.5), ""}},
		},
		"a store that failed once is told for five minutes": {
			[]string{labelled("plimsoll_collector_ingest_store_errors_total", `deed="append"`, "_x9 1x60")},
			[]moment{{minute(2), ""}, {minute(2.25), faulty}, {minute(8), ""}},
		},
		"a fault is told": {
			[]string{own("plimsoll_collector_ingest_faults_total", "0x8 1x60")},
			[]moment{{minute(2), ""}, {minute(2.25), faulty}, {minute(8), ""}},
		},
		"a collector near the limit of series warns": {
			[]string{own("prometheus_tsdb_head_series", "50x10 95x40"), own("plimsoll_collector_ingest_series_limit", "100x50")},
			[]moment{{minute(7.5), ""}, {minute(7.75), series}},
		},
		"a collector without a limit of series is never near it": {
			[]string{own("prometheus_tsdb_head_series", "1e9x50")},
			[]moment{{minute(10), ""}},
		},
		"samples that are refused for minutes are told with the reason": {
			[]string{
				labelled("plimsoll_collector_ingest_refused_samples_total", `reason="series_limit"`, "0+75x80"),
				labelled("plimsoll_collector_receive_refused_samples_total", `reason="series_limit", protocol="otlp"`, "0+75x80"),
			},
			[]moment{{minute(4), ""}, {minute(12), refused}},
		},
		"a few samples that are refused at a restart are nothing": {
			[]string{labelled("plimsoll_collector_ingest_refused_samples_total", `reason="duplicate"`, "0x20 200x80")},
			[]moment{{minute(7), ""}, {minute(15), ""}},
		},
		"files that are not taken are told by their part": {
			[]string{labelled("plimsoll_config_last_reload_successful", `part="scaler"`, "1x4 0x10 1x10"), labelled("plimsoll_config_last_reload_successful", `part="forward"`, "1x40")},
			[]moment{{minute(1), ""}, {minute(1.25), unloaded}, {minute(4), ""}},
		},
		"one evaluation that fails is told, also that of a new group": {
			[]string{labelled("prometheus_rule_evaluation_failures_total", `rule_group="a.yml;g"`, "_x5 1x60"), labelled("prometheus_rule_evaluation_failures_total", `rule_group="b.yml;g"`, "0x60")},
			[]moment{{minute(1), ""}, {minute(1.25), broken}, {minute(7), ""}},
		},
		"a group that takes longer than its interval is told": {
			[]string{labelled("prometheus_rule_group_last_duration_seconds", `rule_group="a.yml;g"`, "1x5 18x40"), labelled("prometheus_rule_group_interval_seconds", `rule_group="a.yml;g"`, "15x50")},
			[]moment{{minute(2), ""}, {minute(2.5), slow}},
		},
		"a notification that is not delivered is told": {
			[]string{
				labelled("alertmanager_notifications_failed_total", `integration="webhook", reason="serverError"`, "0x5 1x60"),
				labelled("alertmanager_notifications_failed_total", `integration="webhook", reason="clientError"`, "0x66"),
				labelled("alertmanager_notifications_failed_total", `integration="webhook", reason="contextCanceled"`, "0x30 1x66"),
				labelled("alertmanager_notifications_failed_total", `integration="email", reason="other"`, "0x66"),
			},
			[]moment{{minute(1.25), ""}, {minute(1.5), unheard}, {minute(7), ""}},
		},
		"a receiver that takes nothing is told after a minute": {
			[]string{
				labelled("plimsoll_alerting_integration_failing", `receiver="team", integration="webhook[0]"`, "0x4 1x20 0x20"),
				labelled("plimsoll_alerting_integration_failing", `receiver="team", integration="email[0]"`, "0x40"),
			},
			[]moment{{minute(2), ""}, {minute(2.25), deaf}, {minute(6.5), ""}},
		},
		"a receiver that is well after the second attempt is nothing": {
			[]string{labelled("plimsoll_alerting_integration_failing", `receiver="team", integration="webhook[0]"`, "0x4 1x2 0x20")},
			[]moment{{minute(1.5), ""}, {minute(5), ""}},
		},
		"silences that are in memory alone are told after a minute": {
			[]string{labelled("plimsoll_alerting_journal_unsaved", `log="silences"`, "0x4 1x20 0x20"), labelled("plimsoll_alerting_journal_unsaved", `log="nflog"`, "0x40")},
			[]moment{{minute(2), ""}, {minute(2.25), unsaved}, {minute(6.5), ""}},
		},
		"alerts that nobody is told of are": {
			[]string{own("plimsoll_alerting_alerts_refused_total", "0x5 7x60")},
			[]moment{{minute(1.25), ""}, {minute(1.5), untold}, {minute(7), ""}},
		},
		"a target of forwarding that is away is told after five minutes": {
			[]string{labelled("plimsoll_forward_endpoint_up", `endpoint="thanos"`, "1x4 0x30 1x10")},
			[]moment{{minute(6), ""}, {minute(6.25), away}, {minute(9), ""}},
		},
		"a spool of forwarding that fills is told": {
			[]string{own("plimsoll_forward_spool_bytes", "80x40"), own("plimsoll_forward_spool_limit_bytes", "100x40")},
			[]moment{{minute(4.75), ""}, {minute(5), waiting}},
		},
		"samples that are never forwarded are told with the reason": {
			[]string{labelled("plimsoll_forward_dropped_total", `endpoint="thanos", reason="spool_full"`, "_x9 500x80"), labelled("plimsoll_forward_dropped_total", `endpoint="thanos", reason="refused"`, "0x90")},
			[]moment{{minute(2), ""}, {minute(2.25), unsent}, {minute(18), ""}},
		},
		"the watchdog is heard at once and always, by whoever waits for it": {
			[]string{own("plimsoll_alerting_watchdog_routed", "0x4 1x40")},
			[]moment{{minute(1), ""}, {minute(1.25), watchdog}, {minute(11), watchdog}},
		},
		"blocks that are in no bucket are told for an hour": {
			[]string{own("plimsoll_ship_missed_blocks_total", "0x20 2x300")},
			[]moment{{minute(5), ""}, {minute(5.25), unshipped}, {minute(64), unshipped}, {minute(67), ""}},
		},
	})

	tellEvery(t, time.Minute, map[string]story{
		"many nodes that are away at a time are told as one, for an hour": {
			[]string{own("plimsoll_inventory_nodes_connected", "10x70 6x90")},
			[]moment{{minute(70), ""}, {minute(71), ""}, {minute(72), missing}, {minute(129), missing}, {minute(135), ""}},
		},
		"a collector that restarts and is not found again is told": {
			[]string{own("plimsoll_inventory_nodes_connected", "10x70 stale _x3 6x50")},
			[]moment{{minute(76), missing}},
		},
		"one of a few that is away is AgentDown": {
			[]string{own("plimsoll_inventory_nodes_connected", "3x70 2x90")},
			[]moment{{minute(80), ""}},
		},
		"nodes that come do not alert": {
			[]string{own("plimsoll_inventory_nodes_connected", "6x70 10x90")},
			[]moment{{minute(80), ""}, {minute(150), ""}},
		},
	})
}
