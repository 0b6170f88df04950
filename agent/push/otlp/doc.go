// Package otlp takes metrics in OpenTelemetry's protocol, by gRPC and by HTTP with
// protobuf bodies. It promises that whoever exports is told what was not taken and
// why, and that no message makes the agent take much memory: what a message would
// become is known before it is decoded.
//
// Names, units and labels follow OpenTelemetry's compatibility rules for
// Prometheus. Where those leave it open, or the collector behind has the last word:
//
//   - service.namespace/service.name is the label job. service.instance.id is
//     exported_instance, as the collector says which instance a node's series
//     are of. With container.id the series carry the labels of that container, if
//     there is one: it is the sender's word, for nobody else can tell who sends to
//     a port. All other attributes of a resource are in target_info.
//   - A sample's time is the tick's, like that of all of an agent's samples. What
//     is older than a minute, or more than 5 s ahead, is not taken for now.
//   - Deltas are added up here, in series that begin at 0 one tick before their
//     first value. One that is not later than the last is a repetition, or of two
//     processes that call themselves alike: it is not taken.
//   - An exponential histogram becomes one with a bucket for each power of two
//     from 2^-10 to 2^30, which is exact: its own bounds are finer, and include
//     these. Scales below 0 are not taken.
//   - A point that says it has no value ends its series.
package otlp
