package alerting

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// loadSnapshot reads the last snapshot, if there is one. Of one that is damaged
// it takes what can be read; the file is copied aside before a new one replaces
// it.
func (c *kept) loadSnapshot() error {
	data, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", c.path, err)
	}
	c.large.Store(int64(len(data)))
	if err = c.state.Merge(data); err == nil {
		return nil
	}
	aside := c.path + ".damaged"
	taken, left := 0, 0
	for _, change := range c.split(data) {
		if c.state.Merge(change) == nil {
			taken++
		} else {
			left++
		}
	}
	c.metrics.damaged.Inc()
	c.log.Error("the snapshot is damaged; what could be read is in force, a copy is set aside",
		"err", err, "taken", taken, "left_out", left, "aside", aside)
	if err := os.WriteFile(aside, data, 0o600); err != nil {
		c.log.Error("cannot set the damaged snapshot aside", "err", err)
	}
	return nil
}

// delimited splits Alertmanager's encoding, messages behind their length each
// as a varint. What is no message at the end is an item of its own.
func delimited(data []byte) [][]byte {
	var items [][]byte
	for len(data) > 0 {
		length, n := binary.Uvarint(data)
		if n <= 0 || length > uint64(len(data)-n) {
			return append(items, data)
		}
		end := n + int(length)
		items = append(items, data[:end:end])
		data = data[end:]
	}
	return items
}

// lines splits our encoding, a JSON value in each line.
func lines(data []byte) [][]byte {
	var items [][]byte
	for len(data) > 0 {
		end := slices.Index(data, '\n') + 1
		if end == 0 {
			end = len(data)
		}
		items = append(items, data[:end:end])
		data = data[end:]
	}
	return items
}
