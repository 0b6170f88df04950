// Package collector is where the samples of all nodes come together. Its
// subpackages are the parts: ingest takes frames from agents, store keeps them,
// query answers PromQL, inventory knows who is there, web shows it to people.
// The package itself is the door: the HTTP and gRPC listeners in front of them.
package collector
