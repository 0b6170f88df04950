// Package journal keeps changes on disk one by one, so that a process that is
// killed finds each of them again. It is the part that a snapshot every few
// minutes lacks.
//
//	<path>.00000007  written to
//	<path>.00000006  until the snapshot that covers it is on disk
//	<path>.damaged   the last segment of which something could not be read
//
// It promises that what Append took is read again after a SIGKILL, and after a
// power cut once Sync has returned; that a damaged byte costs its record and
// what is torn off costs the records that are gone, never the start; and that a
// disk that is full costs what could not be written and nothing before it.
package journal
