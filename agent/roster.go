package agent

import "github.com/plimsoll-io/plimsoll/agent/sample"

// roster keeps what belongs to each subject of a kind, such as the disks, for
// as long as the subject is there. K names a subject; V is what is kept of it.
//
// A reading calls seen for each subject, then settle:
//
//	for i := range disks {
//		if d := r.seen(disks[i].Name); d != nil { … }
//	}
//	r.settle(b)
//
// Subjects mostly come in the same order as before; then nothing is searched
// and nothing allocated.
type roster[K comparable, V any] struct {
	came func(K) V               // makes what is kept of a new subject
	left func(*V, *sample.Batch) // ends what was kept of one that is gone

	members []member[K, V] // those seen in this reading first, in its order
	seenNow int
}

type member[K comparable, V any] struct {
	key   K
	value V
}

// seen returns what is kept of a subject, nil if this reading named it before.
func (r *roster[K, V]) seen(key K) *V {
	at := r.seenNow
	if at == len(r.members) || r.members[at].key != key {
		at = r.find(key)
		if at < r.seenNow {
			return nil
		}
		r.members[at], r.members[r.seenNow] = r.members[r.seenNow], r.members[at]
		at = r.seenNow
	}
	r.seenNow++
	return &r.members[at].value
}

func (r *roster[K, V]) find(key K) int {
	for i := range r.members {
		if r.members[i].key == key {
			return i
		}
	}
	r.members = append(r.members, member[K, V]{key, r.came(key)})
	return len(r.members) - 1
}

// settle ends the reading: whoever it did not name has left.
func (r *roster[K, V]) settle(b *sample.Batch) {
	gone := r.members[r.seenNow:]
	for i := range gone {
		r.left(&gone[i].value, b)
	}
	clear(gone)
	r.members = r.members[:r.seenNow]
	r.seenNow = 0
}

// each calls do for every subject of the last reading.
func (r *roster[K, V]) each(do func(*V)) {
	for i := range r.members {
		do(&r.members[i].value)
	}
}
