package journal

// Trigger is what led to an evaluation.
type Trigger string

// The triggers. Of several, the one that was due first is told.
const (
	TriggerPolicy   Trigger = "policy"   // the policy began, or someone has said something
	TriggerPlatform Trigger = "platform" // the platform says that the workload, or a node, has changed
	TriggerSchedule Trigger = "schedule" // a schedule or an event begins or ends
	TriggerSample   Trigger = "sample"   // a sample of a series that the policy reads
	TriggerStarting Trigger = "starting" // replicas are on their way
	TriggerInterval Trigger = "interval"
)

// Triggers are all of them.
var Triggers = []Trigger{TriggerPolicy, TriggerPlatform, TriggerSchedule, TriggerSample, TriggerStarting, TriggerInterval}
