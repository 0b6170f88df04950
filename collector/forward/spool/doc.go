// Package spool keeps on disk what is to be forwarded, until every reader has
// dealt with it.
//
//	Append ─ record ─ segment … segment ─┬─ Reader a
//	                                     └─ Reader b
//
// It is a log in segments, bounded in bytes and age. What is appended is written
// before Append returns, so that it survives the death of the process, and is
// on stable storage once Sync returns. A label set is written once per segment
// and referred to by number; the values of a record stand together. What is
// over a bound goes, oldest first; what is damaged is stepped over; what either
// has cost is counted to the sample, for each reader.
package spool
