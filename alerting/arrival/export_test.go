package arrival

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
