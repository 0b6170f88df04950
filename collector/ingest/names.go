package ingest

import (
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/plimsoll-io/plimsoll/collector/gate"
)

// What the collector itself writes about agents.
const (
	// seqName is the number of the last frame stored, in the same transaction
	// as the frame's samples and at its time. It is read back at a start.
	seqName = "plimsoll_ingest_seq"
	// durableName is the number of the lane's last frame that was on stable
	// storage when a frame was stored.
	durableName = "plimsoll_ingest_durable_seq"
	// shiftName is how many seconds were taken off the frame's time, because
	// the agent's clock is wrong. It is there for those alone.
	shiftName = "plimsoll_ingest_shift_seconds"
	// upName is 1 at each frame of an agent and 0 while it is away.
	upName   = "up"
	agentJob = gate.AgentJob

	agentLabel   = "agent"
	laneLabel    = "lane"
	liveLane     = "live"
	backfillLane = "backfill"
)

// sequenceLabels are those of a lane's seqName, durableName or shiftName.
func sequenceLabels(name, node, spoolID, lane string) labels.Labels {
	return labels.FromStrings(model.MetricNameLabel, name, agentLabel, spoolID, laneLabel, lane, nodeLabel, node)
}

func upLabels(node string) labels.Labels {
	return labels.FromStrings(model.MetricNameLabel, upName, instanceLabel, node+instancePort, model.JobLabel, agentJob, nodeLabel, node)
}
