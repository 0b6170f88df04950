package decide

import (
	"maps"
	"slices"
)

// Code says why, in a word: for logs, metrics, the API and whoever counts. The set
// is closed, see Codes; a code keeps its meaning from version to version.
type Code string

// The codes of what a signal says. Those that are gates stand in the way.
const (
	CodeUnread      Code = "unread"
	CodeReadTwice   Code = "read_twice"
	CodeReadFailed  Code = "read_failed"
	CodeNoSamples   Code = "no_samples"
	CodeNegative    Code = "negative"
	CodeStale       Code = "stale"
	CodeNotOne      Code = "not_one"
	CodeNotFinite   Code = "not_finite"
	CodeOverCeiling Code = "over_ceiling"
	CodeNoneReady   Code = "none_ready"
	CodeFewHeard    Code = "few_heard"
	CodeNoReplica   Code = "no_replica"

	CodeTrackTotal    Code = "track_total"
	CodeTrackMean     Code = "track_mean"
	CodeTrackEach     Code = "track_each"
	CodeTrackStarting Code = "track_starting"
	CodeTrackSilent   Code = "track_silent"
	CodeTolerance     Code = "tolerance"
	CodeDeadBand      Code = "dead_band"
	CodeSaturated     Code = "saturated"
	CodeThrottled     Code = "throttled"
	CodePressure      Code = "pressure"
	CodeLead          Code = "lead"

	CodeCounting     Code = "counting"
	CodeAboveMax     Code = "above_max"
	CodeBelowMin     Code = "below_min"
	CodeBelowMinNear Code = "below_min_near"
	CodeTooNear      Code = "too_near"
	CodeBetween      Code = "between"

	CodeNoRow       Code = "no_row"
	CodeRowAbove    Code = "row_above"
	CodeRowBelow    Code = "row_below"
	CodeRowTooNear  Code = "row_too_near"
	CodeDesiredRead Code = "desired_read"
)

// The codes of what is made of the signals, stage by stage.
const (
	CodeAsked       Code = "asked"
	CodeAgreed      Code = "agreed"
	CodeDoubt       Code = "doubt"
	CodeUpdating    Code = "updating"
	CodeUpdateHolds Code = "update_holds"
	CodeAgentsLost  Code = "agents_lost"

	CodeAsleep   Code = "asleep"
	CodeWoken    Code = "woken"
	CodeIdle     Code = "idle"
	CodeIdleWait Code = "idle_wait"
	CodeAwake    Code = "awake"

	CodeSilence  Code = "silence"
	CodeFallback Code = "fallback"

	CodeCalm       Code = "calm"
	CodePanic      Code = "panic"
	CodePanicHolds Code = "panic_holds"
	CodePanicMost  Code = "panic_most"
	CodePanicNow   Code = "panic_now"
	CodePanicRate  Code = "panic_rate"
	CodePanicStays Code = "panic_stays"

	CodeAhead        Code = "ahead"
	CodeAheadUnknown Code = "ahead_unknown"

	CodeWithin       Code = "within"
	CodeMin          Code = "min"
	CodeMax          Code = "max"
	CodeFloor        Code = "floor"
	CodeCeiling      Code = "ceiling"
	CodeMaxDoubt     Code = "max_doubt"
	CodeCeilingDoubt Code = "ceiling_doubt"

	CodeCeilingRaised      Code = "ceiling_raised"
	CodeCeilingRaisedDoubt Code = "ceiling_raised_doubt"

	CodeFloorEvent       Code = "floor_event"
	CodeEventUnknown     Code = "event_unknown"
	CodeFloorHand        Code = "floor_hand"
	CodeFloorCut         Code = "floor_cut"
	CodeCeilingHand      Code = "ceiling_hand"
	CodeCeilingHandDoubt Code = "ceiling_hand_doubt"

	CodeRecorded  Code = "recorded"
	CodeUnchanged Code = "unchanged"
	CodeOutSeen   Code = "out_seen"
	CodeOutWindow Code = "out_window"
	CodeInSeen    Code = "in_seen"
	CodeInUnseen  Code = "in_unseen"
	CodeInWindow  Code = "in_window"

	CodeInRate     Code = "in_rate"
	CodeRate       Code = "rate"
	CodeNoLimit    Code = "no_limit"
	CodeCooldown   Code = "cooldown"
	CodeBudget     Code = "budget"
	CodeFrozen     Code = "frozen"
	CodeRecovering Code = "recovering"
	CodeStuck      Code = "stuck"
	CodeHeld       Code = "held"

	CodeMode     Code = "mode"
	CodePaused   Code = "paused"
	CodeAdvise   Code = "advise"
	CodeStandby  Code = "standby"
	CodePlatform Code = "platform"
	CodeStopped  Code = "stopped"

	CodeStoppedBefore Code = "stopped_before"
)

// wording is what there is to know of a code.
type wording struct {
	gate    string // the gate it is, if it stands in the way
	meaning string // one line, for the docs
	text    string // {0} to {5} are the arguments
}

// reasons are all codes. A code has one text, and is one gate or none.
var reasons = map[Code]wording{
	CodeUnread:      {GateInvalid, "A signal of the policy was not read.", "was not read"},
	CodeReadTwice:   {GateInvalid, "There are two readings of one signal; neither is believed.", "was read twice"},
	CodeReadFailed:  {GateInvalid, "The query of a signal failed, or its answer is not what it has to be.", "could not be read: {0}"},
	CodeNoSamples:   {GateInvalid, "The query of a signal returned nothing. Nothing is not 0.", "has no samples"},
	CodeNegative:    {GateInvalid, "A signal reads less than 0, which no load is.", "reads {0}; a load is never negative, clamp_min(…, 0) if yours can be"},
	CodeStale:       {GateInvalid, "The samples of a signal are all older than its max_age, or from a future that is as far.", "has no sample younger than {0}, max_age is {1}"},
	CodeNotOne:      {GateInvalid, "A signal that is one number for the whole workload has several.", "has {0} samples where one is meant"},
	CodeNotFinite:   {GateRefused, "A signal reads NaN or an infinity.", "reads {0}, which is no number"},
	CodeOverCeiling: {GateRefused, "A signal asks for more replicas than the scaler's absolute ceiling: it is taken for broken, not cut down to it.", "asks for {0} replicas, more than the ceiling of {1}"},
	CodeNoneReady:   {GatePartial, "No replica is ready: low load is no news, because there is no service.", "cannot speak for shrinking while no replica is ready"},
	CodeFewHeard:    {GatePartial, "A signal hears too few of the ready replicas to let the workload shrink.", "hears {0} of {1} ready replicas, fewer than the {2} it takes to shrink"},

	CodeNoReplica: {"", "A signal that is about replicas has none to be about.", "no replica to hear"},

	CodeTrackTotal:    {"", "A tracking signal with one reading for the whole workload: the load over the target.", "{0} in all, target {1}: {2} replicas"},
	CodeTrackMean:     {"", "A tracking signal with one reading that is the mean: as much load for each that is ready, over the target.", "{0} mean {3} of {4} ready, target {1}: {2} replicas"},
	CodeTrackEach:     {"", "A tracking signal with a reading for each replica: their sum over the target.", "{0} over {3} replicas, target {1}: {2} replicas"},
	CodeTrackStarting: {"", "The same, where more are heard than are ready: what starts adds nothing to the load.", "{0} over {3} ready replicas ({4} more are heard that are not ready), target {1}: {2} replicas"},
	CodeTrackSilent:   {"", "The same, where some replicas are not heard: they count nothing for growing and full for shrinking.", "{0} over {3} replicas ({4} silent, counted full before shrinking), target {1}: {2} replicas"},
	CodeTolerance:     {"", "More would be asked for, but the load is within out.tolerance of the target.", "within the tolerance of {0}"},
	CodeDeadBand:      {"", "Less would do, but by so little that it is within in.dead_band.", "within the dead band of {0}"},
	CodeSaturated:     {"", "The replicas have nothing left, so that how much they would need cannot be seen: several times as many are asked for.", "saturated, so {0} times the {1} that are ready: {2}"},
	CodeThrottled:     {"", "The same, which shows by how long their CPU limit keeps them from running.", "throttled {3} of the time, so {0} times the {1} that are ready: {2}"},
	CodePressure:      {"", "The same, which shows by how long they wait for a CPU.", "waiting for CPU {3} of the time, so {0} times the {1} that are ready: {2}"},
	CodeLead:          {"", "The load has followed a rising line, which is carried on to when new replicas are ready.", "rising by {0} a minute, {1} in {2}: {3} replicas"},

	CodeCounting:     {"", "A threshold signal has not seen as many windows as it takes.", "{0} now, {1} of {2} windows of {3}"},
	CodeAboveMax:     {"", "A threshold signal was above max in every window.", "{0} to {1} over {2} windows of {3}, above {4}: {5} more"},
	CodeBelowMin:     {"", "A threshold signal was below min in every window.", "{0} to {1} over {2} windows of {3}, below {4}: {5} less would do"},
	CodeBelowMinNear: {"", "The same, but the step in is left out.", "{0} to {1} over {2} windows of {3}, below {4}"},
	CodeTooNear:      {"", "After a step in, the reading would be so near max that a step out would follow.", "with {0} replicas it would be {1}, too near {2}"},
	CodeBetween:      {"", "A threshold signal was not beyond max or min in every window.", "{0} to {1} over {2} windows of {3}, between {4} and {5}"},

	CodeNoRow:       {"", "The reading of a signal of type steps is on none of its rows.", "{0}, on no row"},
	CodeRowAbove:    {"", "The reading is above a row, which says how many there are to be.", "{0}, above {1}: {2} replicas"},
	CodeRowBelow:    {"", "The reading is below a row, which says how many less would do.", "{0}, below {1}: {2} less would do"},
	CodeRowTooNear:  {"", "The same, but after it the reading would be so near a row above that growth would follow.", "{0}, below {1}, but with {2} replicas it would be {3}, too near {4}"},
	CodeDesiredRead: {"", "The reading of a signal of type desired is the number of replicas.", "asks for {0} replicas"},

	CodeAsked:       {"", "The signal that asks for the most decides how far the workload is to grow.", "{0} asks for the most"},
	CodeAgreed:      {"", "Every signal can be trusted, and none asks for more; the one that is content with the least little decides.", "all agree, {0} has the last word"},
	CodeDoubt:       {"", "No signal asks for more, and not every one can be trusted to let the workload shrink.", "no signal asks for more, {0} of {1} can be trusted to shrink"},
	CodeUpdating:    {GateUpdating, "The platform is rolling out a change: nothing shrinks.", "the platform is rolling out a change; nothing shrinks until it is done"},
	CodeUpdateHolds: {GateUpdating, "The platform is rolling out a change, and the policy holds until it is done (during_update: hold).", "{0} asked for, but the platform is rolling out a change; the policy holds until it is done"},

	CodeAgentsLost: {GateAgents, "The agents of nodes that host replicas are not heard: nothing shrinks.", "{1} nodes with replicas are not heard, {0} among them; nothing shrinks until they are"},

	CodeAsleep:   {"", "There are no replicas, and no load for any.", "no load above {0}, nothing to do"},
	CodeWoken:    {"", "There are no replicas, and load for one.", "{0} reads {1}, above {2}: awake"},
	CodeIdle:     {"", "There has been no load for a while, and none is asked for.", "no load above {1} for {0}"},
	CodeIdleWait: {GateIdle, "None would do, but there has not been nothing to do for long enough.", "0 would do, but there has been nothing to do for {0}, not yet {1}"},
	CodeAwake:    {GateMin, "One replica stays where there is load, or where nobody knows.", "{0} is too few while there is load or doubt, the least is {1}"},

	CodeSilence:  {"", "No signal hears enough to make anything grow, but not for as long as the fallback waits.", "no signal heard enough for {0}, the fallback is after {1}"},
	CodeFallback: {"", "No signal has heard enough to make anything grow for so long that the fallback counts.", "no signal heard enough for {0}, the fallback is {1} {2}"},

	CodeCalm:       {"", "There is no panic.", "none: fewer than {0} times the {1} that are ready"},
	CodePanic:      {"", "There is a panic: far more was asked for than there is.", "for {0} more, {1} asked for in it"},
	CodePanicHolds: {GatePanic, "Less would do, but a panic keeps the most that it has asked for.", "{0} would do, but the panic has asked for {1} and lasts {2} more"},
	CodePanicMost:  {GatePanic, "A panic adds no more than max_add.", "{0} asked for, but a panic adds {1} at most"},
	CodePanicNow:   {"", "A panic does not wait for the out window.", "a panic does not wait for the out window"},
	CodePanicRate:  {"", "A panic goes past the rate limits.", "a panic goes past the rate, to {0}"},

	CodePanicStays: {GatePanic, "Less would do, but a panic is on.", "{0} would do, but the panic lasts {1} more"},

	CodeAhead:        {"", "What the load that is forecast will take.", "{0}: {1} expected in {2} by {3}: {4} replicas"},
	CodeAheadUnknown: {GateUnknown, "A forecast is too old, or about a signal that the policy does not track.", "the forecast by {0} is too old or makes no sense, and does not count"},

	CodeWithin:       {"", "The number is within its bounds.", "within {0} to {1}"},
	CodeMin:          {GateMin, "Fewer than min would do.", "{0} is too few, min is {1}"},
	CodeMax:          {GateMax, "More than max are asked for.", "{0} is too many, max is {1}"},
	CodeFloor:        {GateFloor, "Fewer would do than the floor of a schedule that is open.", "{0} is too few, the floor of schedule {2} is {1}"},
	CodeCeiling:      {GateCeiling, "More are asked for than the ceiling of a schedule that is open.", "{0} is too many, the ceiling of schedule {2} is {1}"},
	CodeMaxDoubt:     {GateMax, "There are more than max, but without signals that can be trusted nothing shrinks.", "{0} replicas are above max {1}, but not every signal can be trusted"},
	CodeCeilingDoubt: {GateCeiling, "There are more than the ceiling of a schedule, but without signals that can be trusted nothing shrinks.", "{0} replicas are above the ceiling of schedule {2}, {1}, but not every signal can be trusted"},

	CodeCeilingRaised:      {GateCeiling, "More are asked for than a ceiling, which gives way to a higher min or floor, and no further.", "{0} is too many, the ceiling of {2} gives way to min or a floor, up to {1}"},
	CodeCeilingRaisedDoubt: {GateCeiling, "There are more than such a ceiling, but without signals that can be trusted nothing shrinks.", "{0} replicas are above {1}, up to which the ceiling of {2} gives way to min or a floor, but not every signal can be trusted"},

	CodeFloorEvent:       {GateFloor, "Fewer would do than an event will take.", "{0} is too few, event {2} takes {1}"},
	CodeEventUnknown:     {GateUnknown, "An event is on, but the load that it multiplies is not known: it lifts nothing.", "event {0} is on, but its base {1} is not known, so it lifts nothing"},
	CodeFloorHand:        {GateFloor, "Fewer would do than a person asks for.", "{0} is too few, {2} asks for {1} at least"},
	CodeFloorCut:         {GateFloor, "A floor is higher than the ceiling that a person gave, and cut down to that.", "{0} is too few, a floor is cut down to {1} by {2}"},
	CodeCeilingHand:      {GateCeiling, "More are asked for than a person lets be.", "{0} is too many, {2} asks for {1} at most"},
	CodeCeilingHandDoubt: {GateCeiling, "There are more than a person lets be, but without signals that can be trusted nothing shrinks.", "{0} replicas are more than the {1} that {2} asks for at most, but not every signal can be trusted"},

	CodeRecorded:  {"", "What the windows hold, with this number in them.", "least {0} in {1}, most {2} in {3}"},
	CodeUnchanged: {"", "There is nothing to hold back.", "no change"},
	CodeOutSeen:   {"", "At least so many were asked for in all of the out window.", "at least {0} for {1}"},
	CodeOutWindow: {GateWindow, "More are asked for, but not in all of the out window.", "{0} asked for, but {1} was enough {2} ago, within the out window of {3}"},
	CodeInSeen:    {"", "At most so many were asked for in all of the in window.", "at most {0} for {1}"},
	CodeInUnseen:  {GateSettling, "Fewer would do, but the in window has not been seen whole: after a start, a gap, or a clock that was set.", "{0} would do, but only {1} of the in window of {2} have been seen"},
	CodeInWindow:  {GateSettling, "Fewer would do, but not in all of the in window.", "{0} would do, but {1} were asked for {2} ago, within the in window of {3}"},

	CodeInRate:     {"", "The change is within all rate limits.", "within all rates"},
	CodeRate:       {GateRate, "The change is faster than a rate limit.", "{0} asked for, the rate is {1} or {2} in {3}: {4} may change, {5} did"},
	CodeNoLimit:    {"", "Neither cooldown nor budget hold it back.", "no limit"},
	CodeCooldown:   {GateCooldown, "Fewer would do, but the last change is too recent.", "{0} would do, but the last change was {1} ago, within the cooldown of {2}"},
	CodeBudget:     {GateBudget, "Fewer would do, but too many came and went.", "{0} would do, but {1} replicas came or went in {2}, the budget is {3}"},
	CodeFrozen:     {GateFrozen, "Fewer would do, but data of many policies or nodes was lost at once.", "{0} would do, but nothing shrinks: {1}"},
	CodeRecovering: {GateRecovering, "Fewer would do, but a signal was not heard, or by too few replicas, until lately: what it reads may still be of the time before.", "was not heard until lately: {0} would do, but nothing shrinks on its word for {1} more"},
	CodeStuck:      {GateStuck, "More are asked for, but what was added does not become ready, and fails.", "{0} asked for, but what was added {3} ago has not come up: {1} of {2} are not ready, {4} fail"},
	CodeHeld:       {GateHeld, "A person has paused this direction.", "{0} would be next, but {1} has paused {2} for {3} more"},

	CodeMode:     {"", "What the mode of the policy makes of it.", "{0}"},
	CodePaused:   {GatePaused, "The policy is paused.", "{0} would be next, but the policy is paused"},
	CodeAdvise:   {GateAdvise, "The policy only advises.", "{0} would be next, but the policy only advises; mode: active lets it act"},
	CodeStandby:  {GateStandby, "Another collector leads, and acts.", "{0} would be next, which is for the collector that leads to do"},
	CodePlatform: {GatePlatform, "The platform could not be asked how many replicas there are: nothing is done.", "the platform could not be asked: {0}"},
	CodeStopped:  {GateStopped, "Someone scaled the workload to 0, and means it.", "scaled to 0 by hand; scale it to 1 or more to let the policy go on"},

	CodeStoppedBefore: {GateStopped, "There were no replicas when this policy began, and it asks for one at least: a person is taken to mean it.", "there were no replicas when this policy began; scale it to 1 or more to let the policy go on"},
}

// Codes are all codes, sorted.
func Codes() []Code { return slices.Sorted(maps.Keys(reasons)) }

// Meaning is the code in a line for people; empty if it is none of Codes.
func (c Code) Meaning() string { return reasons[c].meaning }

// Gate is the name of the gate that the code is; empty if it stands in the way of
// nothing.
func (c Code) Gate() string { return reasons[c].gate }

// Text is what a reason of this code says, with {0} and so on for what it names.
func (c Code) Text() string { return reasons[c].text }
