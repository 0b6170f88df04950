package ingest

import (
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// What the collector itself writes about agents.
const (
	// seqName is the number of the last frame stored, in the same transaction
	// as the frame's samples and at its time. It is read back at a start.
	seqName = "plimsoll_ingest_seq"
	// durableName is the number of the last frame that was on stable storage
	// when a frame was stored.
	durableName = "plimsoll_ingest_durable_seq"
	// reservedPrefix is what no agent may call a metric.
	reservedPrefix = "plimsoll_ingest_"
	// upName is 1 at each frame of an agent and 0 while it is away.
	upName   = "up"
	agentJob = "plimsoll-agent"

	agentLabel = "agent"
	laneLabel  = "lane"
	liveLane   = "live"
)

// sequenceLabels are those of a spool's seqName or durableName.
func sequenceLabels(name, node, spoolID string) labels.Labels {
	return labels.FromStrings(model.MetricNameLabel, name, agentLabel, spoolID, laneLabel, liveLane, nodeLabel, node)
}

func upLabels(node string) labels.Labels {
	return labels.FromStrings(model.MetricNameLabel, upName, instanceLabel, node+instancePort, model.JobLabel, agentJob, nodeLabel, node)
}
