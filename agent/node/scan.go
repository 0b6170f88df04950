package node

import (
	"bytes"
	"fmt"
	"math"
)

// cutLine splits data after its first line. The kernel ends every line, so one
// without an end was cut off and its last number cannot be trusted.
func cutLine(data []byte) (line, rest []byte, err error) {
	end := bytes.IndexByte(data, '\n')
	if end < 0 {
		return nil, nil, malformed("cut off", data)
	}
	return data[:end], data[end+1:], nil
}

// cutField returns the first word of line, empty at its end.
func cutField(line []byte) (field, rest []byte) {
	start := 0
	for start < len(line) && (line[start] == ' ' || line[start] == '\t') {
		start++
	}
	end := start
	for end < len(line) && line[end] != ' ' && line[end] != '\t' {
		end++
	}
	return line[start:end], line[end:]
}

// uints reads numbers from line into n until either ends and returns how many
// it read. What follows the last of n is a newer kernel's business.
func uints(line []byte, n []uint64) (int, error) {
	rest := line
	for i := range n {
		var field []byte
		field, rest = cutField(rest)
		if len(field) == 0 {
			return i, nil
		}
		value, ok := parseUint(field)
		if !ok {
			return i, malformed("not a number", field)
		}
		n[i] = value
	}
	return len(n), nil
}

// number reads the first word of line as one number.
func number(line []byte) (Number, error) {
	field, _ := cutField(line)
	value, ok := parseUint(field)
	if !ok {
		return Number{}, malformed("not a number", field)
	}
	return Number{Value: value, Known: true}, nil
}

// parseUint reads decimal digits. It does not allocate, as strconv would for
// its string.
func parseUint(digits []byte) (uint64, bool) {
	if len(digits) == 0 {
		return 0, false
	}
	var n uint64
	for _, c := range digits {
		d := uint64(c - '0')
		if c < '0' || c > '9' || n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// malformed describes what was found, without letting a broken file flood the log.
func malformed(what string, found []byte) error {
	const most = 64
	if len(found) > most {
		found = found[:most]
	}
	return fmt.Errorf("%s: %q: %w", what, found, ErrFormat)
}

// extend makes s one longer. Its new last element still holds what an earlier
// reading left there, so that unchanged names need no new memory.
func extend[T any](s []T) ([]T, *T) {
	if len(s) < cap(s) {
		s = s[:len(s)+1]
	} else {
		var zero T
		s = append(s, zero)
	}
	return s, &s[len(s)-1]
}

// rename sets *name without allocating where it is the same already.
func rename(name *string, now []byte) {
	if *name != string(now) {
		*name = string(now)
	}
}
