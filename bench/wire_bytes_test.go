package bench

import (
	"testing"

	"github.com/plimsoll-io/plimsoll/agent/stream"
)

// What travels is bounded: each sample takes no more than so many bytes, the
// dictionary included, even if all containers of a node are at work.
func TestASampleTakesFewBytesOnTheWire(t *testing.T) {
	for name, tt := range map[string]struct {
		seconds int // from one tick to the next
		ticks   int
		all     bool    // are at work; else a third
		most    float64 // bytes
	}{
		"each second":                   {1, 600, false, 2},
		"each second, all at work":      {1, 600, true, 2.5}, // they move by chance, of which that is the measure
		"each ten seconds":              {10, 180, false, 3},
		"each ten seconds, all at work": {10, 180, true, 3},
	} {
		t.Run(name, func(t *testing.T) {
			l, encoder := newLoad(200), stream.NewEncoder()
			for g := range l.busy {
				l.busy[g] = l.busy[g] || tt.all
			}
			packer, err := stream.NewPacker()
			if err != nil {
				t.Fatal(err)
			}
			var samples, bytes, first int
			for n := range tt.ticks {
				for range tt.seconds - 1 { // what moves between two ticks
					for _, lane := range l.lanes {
						for _, g := range lane {
							l.move(g)
						}
					}
				}
				_, _, wire, err := packer.Pack(encoder.Encode(l.tick()))
				if err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					first = wire
				}
				samples += l.samples()
				bytes += wire
			}
			perSample := float64(bytes) / float64(samples)
			t.Logf("%.2f bytes a sample, %.2f without the first frame of %d bytes", perSample, float64(bytes-first)/float64(samples), first)
			if perSample > tt.most {
				t.Errorf("%.2f bytes a sample, want %.0f at most", perSample, tt.most)
			}
		})
	}
}
