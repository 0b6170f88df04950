package arrival

import "time"

// Cells counts what the program holds for label sets.
func (d *Detector) Cells() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, selectors := range d.program.Load().selectors {
		for _, s := range selectors {
			for up := s; up != nil; up = up.parent {
				n += len(up.keyed)
			}
		}
	}
	return n
}

// SetBack makes the samples that were shown as far ahead as if the clock had been
// set back by that much since.
func (d *Detector) SetBack(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.leaves {
		l.at += by.Milliseconds()
	}
}
