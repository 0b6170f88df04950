package store

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Space is an amount of a file system: bytes, or a share of its size. The zero
// Space stands for the default of where it is used.
type Space struct {
	Bytes   int64   // below 0: none at all
	Percent float64 // of the size of the file system, 0 to 100; if not 0, it rules
}

// Set reads a Space as people write it: 512MiB (or MB, M; all are powers of
// 1024), 5%, 0 for none, or auto for the default. With String it makes a Space a
// value of a flag.
func (s *Space) Set(text string) error {
	wrong := fmt.Errorf("%q is no amount of space; write 5%%, 512MiB, 0 or auto", text)
	switch share, isShare := strings.CutSuffix(text, "%"); {
	case text == "auto":
		*s = Space{}
	case isShare:
		percent, err := strconv.ParseFloat(share, 64)
		if err != nil || math.IsNaN(percent) || percent < 0 || percent > 100 {
			return wrong
		}
		*s = Space{Percent: percent}
		if percent == 0 {
			*s = Space{Bytes: -1}
		}
	default:
		bytes, ok := parseBytes(text)
		if !ok {
			return wrong
		}
		*s = Space{Bytes: bytes}
		if bytes == 0 {
			*s = Space{Bytes: -1}
		}
	}
	return nil
}

// String is what Set reads.
func (s *Space) String() string {
	switch {
	case s == nil || *s == Space{}:
		return "auto"
	case s.Percent != 0:
		return strconv.FormatFloat(s.Percent, 'g', -1, 64) + "%"
	case s.Bytes < 0:
		return "0"
	default:
		return strconv.FormatInt(s.Bytes, 10) + "B"
	}
}

// of is the amount in bytes on a file system of the given size.
func (s Space) of(total, auto int64) int64 {
	switch {
	case s == Space{}:
		return auto
	case s.Percent != 0:
		return int64(float64(total) / 100 * s.Percent)
	default:
		return max(0, s.Bytes)
	}
}

var byteUnits = map[string]int64{"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}

func parseBytes(text string) (int64, bool) {
	digits := strings.TrimRight(text, "BKMGTPi")
	unit := strings.TrimSuffix(text[len(digits):], "B")
	if len(unit) == 2 {
		unit = strings.TrimSuffix(unit, "i")
	}
	factor, known := byteUnits[unit]
	n, err := strconv.ParseInt(digits, 10, 64)
	if !known || err != nil || n < 0 || n > math.MaxInt64/factor {
		return 0, false
	}
	return n * factor, true
}

// inBytes says an amount as people do.
func inBytes(n int64) string {
	const units = "KMGTP"
	if n < 1<<10 && n > -1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/(1<<10), 0
	for unit < len(units)-1 && math.Abs(value) >= 1<<10 {
		value, unit = value/(1<<10), unit+1
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}
