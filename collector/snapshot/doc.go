// Package snapshot copies the stores of a running collector into a directory by
// links, with a list of what is in it, and puts such a copy back in place.
//
// Its promise: a snapshot has everything that was stored when it began, is
// complete or not there, and nothing is restored that is not byte for byte what
// the list says.
package snapshot
