package gpu

import "slices"

// maxXIDs bounds the codes that are counted of one device. NVIDIA lists fewer
// than 200; a device that reports more than these is past saying which.
const maxXIDs = 64

// xidTally counts what devices report, by their UUID, for as long as the agent
// runs.
type xidTally map[string]*XIDs

func (t xidTally) add(events []xidEvent) {
	for _, e := range events {
		of := t[e.UUID]
		if of == nil {
			of = new(XIDs)
			t[e.UUID] = of
		}
		of.Last = e.Code
		at, found := slices.BinarySearchFunc(of.Counts, e.Code, func(c XIDCount, code uint64) int {
			switch {
			case c.Code < code:
				return -1
			case c.Code > code:
				return 1
			}
			return 0
		})
		switch {
		case found:
			of.Counts[at].Count++
		case len(of.Counts) < maxXIDs:
			of.Counts = slices.Insert(of.Counts, at, XIDCount{e.Code, 1})
		}
	}
}

// fill completes what the child said of d.
func (t xidTally) fill(d *Device) {
	if of := t[d.UUID]; of != nil {
		d.XIDs.Last = of.Last
		d.XIDs.Counts = slices.Clone(of.Counts)
	}
}
