package node

import "bytes"

// Resource is what threads can be short of.
type Resource int

// The resources that have a file in /proc/pressure.
const (
	CPUPressure Resource = iota
	MemoryPressure
	IOPressure
	IRQPressure // since 6.1, where the kernel accounts interrupt time
	numResources
)

// String is the name of the resource's file.
func (r Resource) String() string {
	return [...]string{"cpu", "memory", "io", "irq"}[r]
}

// Pressure is how long threads have been short of a resource since boot,
// in microseconds.
// See https://docs.kernel.org/accounting/psi.html.
type Pressure struct {
	Some Number // some thread was held up; not counted for IRQPressure
	Full Number // all of them were; not counted for CPUPressure before 5.13
}

// Pressure reads one file of /proc/pressure. Where the kernel was started
// without pressure accounting the error wraps errors.ErrUnsupported.
func (r *Reader) Pressure(of Resource) (Pressure, error) {
	f := &r.pressure[of]
	data, err := r.read(f)
	if err != nil {
		return Pressure{}, err
	}
	p, err := parsePressure(data)
	return p, in(f, err)
}

// parsePressure reads one or two lines such as
//
//	some avg10=8.15 avg60=1.85 avg300=0.54 total=6836995
func parsePressure(data []byte) (Pressure, error) {
	var p Pressure
	if len(data) == 0 {
		return p, malformed("empty", nil)
	}
	for len(data) > 0 {
		line, rest, err := cutLine(data)
		if err != nil {
			return Pressure{}, err
		}
		data = rest
		_, total, ok := bytes.Cut(line, []byte(" total="))
		if !ok {
			return Pressure{}, malformed("no total", line)
		}
		kind, _ := cutField(line)
		switch string(kind) {
		case "some":
			p.Some, err = number(total)
		case "full":
			p.Full, err = number(total)
		}
		if err != nil {
			return Pressure{}, err
		}
	}
	return p, nil
}
