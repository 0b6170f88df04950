package cgroup

import "errors"

// MemoryEvents is what has happened to the memory of a group since it was made.
type MemoryEvents struct {
	PeakBytes Opt[uint64] // the highest usage; version 2 since 5.19
	LimitHits Opt[uint64] // times that usage was held at the limit
	HighHits  Opt[uint64] // times it was throttled above memory.high; version 2
	OOMKills  Opt[uint64] // processes killed; version 1 counts not those in groups below
}

// MemoryEvents reads what has happened to the group's memory.
func (g *Group) MemoryEvents() (MemoryEvents, error) {
	var e MemoryEvents
	var peakErr, err error
	if g.fs.at[memoryUsage1] == nil {
		e.PeakBytes, peakErr = g.number(memoryPeak2)
		err = g.readEvents(memoryEvents2, &e)
		return e, errors.Join(peakErr, err)
	}
	var hitsErr error
	e.PeakBytes, peakErr = g.number(memoryPeak1)
	e.LimitHits, hitsErr = g.number(memoryFailures1)
	err = g.readEvents(memoryOOM1, &e)
	return e, errors.Join(peakErr, hitsErr, err)
}

func (g *Group) readEvents(k file, e *MemoryEvents) error {
	data, err := g.read(k)
	if err == nil && !e.parse(data) {
		err = g.malformed(k, data)
	}
	return err
}

// parse reads memory.events of version 2, and of memory.oom_control of version
// 1 the only line that counts, there since 4.13:
//
//	max 12
//	oom_kill 1
func (e *MemoryEvents) parse(data []byte) bool {
	for len(data) > 0 {
		var key, value []byte
		key, value, data = cutPair(data)
		var field *Opt[uint64]
		switch string(key) {
		case "high":
			field = &e.HighHits
		case "max":
			field = &e.LimitHits
		case "oom_kill":
			field = &e.OOMKills
		default:
			continue
		}
		if field.V, field.OK = parseUint(value); !field.OK {
			return false
		}
	}
	return true
}
