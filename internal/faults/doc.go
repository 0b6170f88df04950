// Package faults reads scripts of what goes wrong between a workload and whoever
// scales it, and judges what was done meanwhile. The scripts of scaler/testdata
// are played to Plimsoll's own loop and to the Horizontal Pod Autoscaler alike.
//
// A script is a file of lines; what follows a # is a comment:
//
//	signal cpu            # what the policy goes by: cpu, average or total
//	replicas 8            # of one core each, half of which is to be used
//	0s  load 3.6          # cores that all of them together would use
//	6m  gap 6m            # a fault, and how long it lasts
//	18m end
package faults
