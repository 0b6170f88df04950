package node

import (
	"bytes"
	"math"
)

// MemoryField is a line of /proc/meminfo.
type MemoryField struct {
	Key   string // as the kernel writes it: "Active(anon)"
	Value uint64 // bytes, or a number of huge pages where Pages is set
	Pages bool
}

// Memory reads /proc/meminfo into fields, whose memory it reuses, in the
// kernel's order.
func (r *Reader) Memory(fields []MemoryField) ([]MemoryField, error) {
	data, err := r.read(&r.meminfo)
	if err != nil {
		return fields[:0], err
	}
	fields, err = parseMeminfo(data, fields)
	return fields, in(&r.meminfo, err)
}

// parseMeminfo reads lines such as
//
//	MemTotal:       24684084 kB
//	HugePages_Free:        0
func parseMeminfo(data []byte, fields []MemoryField) ([]MemoryField, error) {
	fields = fields[:0]
	if len(data) == 0 {
		return fields, malformed("empty", nil)
	}
	for len(data) > 0 {
		line, rest, err := cutLine(data)
		if err != nil {
			return fields, err
		}
		data = rest
		key, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(key) == 0 {
			return fields, malformed("no key", line)
		}
		var f *MemoryField
		fields, f = extend(fields)
		rename(&f.Key, key)
		if err := parseMemoryValue(value, f); err != nil {
			return fields, err
		}
	}
	return fields, nil
}

func parseMemoryValue(value []byte, f *MemoryField) error {
	digits, rest := cutField(value)
	unit, _ := cutField(rest)
	n, ok := parseUint(digits)
	if !ok {
		return malformed("not a number", value)
	}
	switch string(unit) {
	case "":
		f.Value, f.Pages = n, true
	case "kB": // of 1024 bytes, says proc(5)
		if n > math.MaxUint64>>10 {
			return malformed("too large", value)
		}
		f.Value, f.Pages = n<<10, false
	default:
		return malformed("unknown unit", value)
	}
	return nil
}
