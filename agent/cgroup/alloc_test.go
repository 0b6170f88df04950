package cgroup

import "testing"

func TestCollectionAllocatesNothing(t *testing.T) {
	for name, fixture := range fixtures {
		for kind, maxOpen := range map[string]int{"open files": 100, "files opened each time": 1} {
			t.Run(name+" "+kind, func(t *testing.T) {
				f := newFS(t, Options{Root: extract(t, name), MaxOpen: maxOpen})
				g := open(t, f, fixture.busy)
				io := make([]DeviceIO, 0, 8)
				there := make([]Opt[bool], 0, files)
				var err error
				allocs := testing.AllocsPerRun(100, func() {
					for what, read := range readings {
						if what == "io" {
							continue // allocates, without a buffer
						}
						if e := read(g); e != nil {
							err = e
						}
					}
					if _, e := g.IO(io[:0]); e != nil {
						err = e
					}
					there = f.Availability(there[:0])
				})
				if err != nil {
					t.Fatal(err)
				}
				if allocs != 0 {
					t.Errorf("%v allocations", allocs)
				}
			})
		}
	}
}
