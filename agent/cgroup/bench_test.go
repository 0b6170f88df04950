package cgroup

import "testing"

// Each way to read a live group; bench/ has them by lane and next to others.
func BenchmarkReadings(b *testing.B) {
	l := newLive(b)
	l.load(b)
	g := open(b, l.fs, l.path)
	for name, read := range readings {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := read(g); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
