// Package scaler measures how well replicas follow a load: Plimsoll's decisions
// beside the Horizontal Pod Autoscaler's own controller, and beside models of the
// rules of Knative and of Alibaba's labels, all over the same plant and the same
// traces.
//
//	go test -timeout 1h
//
// All of it happens in virtual time: the controller runs in a testing/synctest
// bubble, its clock is the plant's. What each of them is told is what its own
// pipeline would tell it in life; docs/adr/0038 says what that is and why.
package scaler
