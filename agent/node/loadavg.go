package node

import "bytes"

// Load is how many threads ran, wanted to run or waited for disks, averaged
// over the last minute, five and fifteen.
type Load struct {
	One, Five, Fifteen float64
}

// Load reads /proc/loadavg.
func (r *Reader) Load() (Load, error) {
	data, err := r.read(&r.loadavg)
	if err != nil {
		return Load{}, err
	}
	load, err := parseLoad(data)
	return load, in(&r.loadavg, err)
}

// parseLoad reads a line such as
//
//	0.08 0.29 0.34 1/95 20393
func parseLoad(data []byte) (Load, error) {
	line, _, err := cutLine(data)
	if err != nil {
		return Load{}, err
	}
	var load Load
	for _, into := range []*float64{&load.One, &load.Five, &load.Fifteen} {
		var field []byte
		field, line = cutField(line)
		whole, cents, _ := bytes.Cut(field, []byte("."))
		w, ok := parseUint(whole)
		c, fine := parseUint(cents)
		// The kernel always writes two places.
		if !ok || !fine || len(cents) != 2 || w > 1<<40 {
			return Load{}, malformed("not a load", field)
		}
		*into = float64(w*100+c) / 100
	}
	return load, nil
}
