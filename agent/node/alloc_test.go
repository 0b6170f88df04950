package node

import "testing"

// reading is everything a reader gives, once.
type reading struct {
	stat   Stat
	memory []MemoryField
	ifs    []Interface
	disks  []Disk
}

func (m *reading) take(r *Reader) error {
	if err := r.Stat(&m.stat); err != nil {
		return err
	}
	var err error
	if m.memory, err = r.Memory(m.memory); err != nil {
		return err
	}
	if m.ifs, err = r.Interfaces(m.ifs); err != nil {
		return err
	}
	if m.disks, err = r.Disks(m.disks); err != nil {
		return err
	}
	if _, err = r.Load(); err != nil {
		return err
	}
	if _, err = r.VM(); err != nil {
		return err
	}
	_, err = r.Pressure(MemoryPressure)
	return err
}

func TestASteadyMachineIsReadWithoutAllocating(t *testing.T) {
	r := fixture(t, "kernel-6.18")
	var m reading
	allocs := testing.AllocsPerRun(100, func() {
		if err := m.take(r); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations per reading, want none", allocs)
	}
}

func BenchmarkRead(b *testing.B) {
	r := New(Roots{})
	defer r.Close()
	var m reading
	one := func(read func() error) func(*testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := read(); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("all", one(func() error { return m.take(r) }))
	b.Run("stat", one(func() error { return r.Stat(&m.stat) }))
	b.Run("meminfo", one(func() (err error) { m.memory, err = r.Memory(m.memory); return err }))
	b.Run("net", one(func() (err error) { m.ifs, err = r.Interfaces(m.ifs); return err }))
	b.Run("disks", one(func() (err error) { m.disks, err = r.Disks(m.disks); return err }))
	b.Run("load", one(func() error { _, err := r.Load(); return err }))
	b.Run("vmstat", one(func() error { _, err := r.VM(); return err }))
	b.Run("pressure", one(func() error { _, err := r.Pressure(CPUPressure); return err }))
}
