package cgroup

import (
	"bytes"
	"errors"
)

// Pressure is how long the tasks of a group have waited for what they lacked.
type Pressure struct{ CPU, Memory, IO Stall }

// Stall is time that was lost waiting since the group was made: by some of the
// tasks that could have run, and by all of them at once.
type Stall struct{ Some, Full Opt[Nanoseconds] }

// Pressure reads the stalls, which only version 2 has; in a hybrid tree they
// are below unified/.
func (g *Group) Pressure() (Pressure, error) {
	var p Pressure
	return p, errors.Join(
		g.readStall(pressureCPU, &p.CPU),
		g.readStall(pressureMemory, &p.Memory),
		g.readStall(pressureIO, &p.IO),
	)
}

func (g *Group) readStall(k file, s *Stall) error {
	data, err := g.read(k)
	if err == nil && !s.parse(data) {
		err = g.malformed(k, data)
	}
	return err
}

// parse reads a pressure file, whose totals are microseconds:
//
//	some avg10=0.00 avg60=0.00 avg300=0.00 total=610718
//	full avg10=0.00 avg60=0.00 avg300=0.00 total=610714
func (s *Stall) parse(data []byte) bool {
	for len(data) > 0 {
		var kind, averages []byte
		kind, averages, data = cutPair(data)
		var field *Opt[Nanoseconds]
		switch string(kind) {
		case "some":
			field = &s.Some
		case "full":
			field = &s.Full
		default:
			continue
		}
		i := bytes.LastIndexByte(averages, '=')
		if i < 0 || !bytes.HasSuffix(averages[:i], []byte("total")) {
			return false
		}
		if field.V, field.OK = parseTime(averages[i+1:], microsecond); !field.OK {
			return false
		}
	}
	return true
}
