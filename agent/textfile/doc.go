// Package textfile reads metrics that jobs on the node leave behind as files,
// as node_exporter's textfile collector does: *.prom in one directory, in
// Prometheus' text format, without times. Whatever lies there, a reading is
// bounded in files, bytes and series, and a file that is broken costs its own
// series only.
package textfile
