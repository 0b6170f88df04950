package policy

import (
	"strconv"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Unit is how an Amount was written.
type Unit string

// The units of an Amount.
const (
	Absent Unit = ""       // the file gives no amount
	Plain  Unit = "number" // 250
	Share  Unit = "%"      // 60%, Value 0.6
	Size   Unit = "bytes"  // 256MiB, Value in bytes
)

// Amount is a number with the unit it was written in, which has to fit what it
// is compared with. The zero Amount is absent.
type Amount struct {
	Value float64 `json:"value"`
	Unit  Unit    `json:"unit"`
}

// Set reads "250", "60%" or "256MiB".
func (a *Amount) Set(text string) error {
	var share conf.Percent
	var size conf.Size
	n, err := conf.ParseNumber(text)
	switch {
	case err == nil:
		*a = Amount{n, Plain}
	case share.Set(text) == nil:
		*a = Amount{float64(share), Share}
	case size.Set(text) == nil:
		*a = Amount{float64(size), Size}
	default:
		return conf.Mistake{
			What: conf.Quote(text) + " is not an amount",
			Hint: "write a number, a percentage like 60%, or a size like 256MiB",
		}
	}
	return nil
}

// String writes a for people, to four digits where it is not exact: "60%",
// "256MiB", "117.7MiB".
func (a Amount) String() string {
	switch size := conf.Size(a.Value); {
	case a.Unit == Share:
		return strconv.FormatFloat(a.Value*100, 'g', 4, 64) + "%"
	case a.Unit == Size && size%1024 == 0:
		return size.String()
	case a.Unit == Size:
		return strconv.FormatFloat(a.Value/(1<<20), 'g', 4, 64) + "MiB"
	}
	return strconv.FormatFloat(a.Value, 'g', 4, 64)
}
