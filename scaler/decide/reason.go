package decide

import (
	"math"
	"strconv"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// Reason is why a number became another, or did not: a code out of a closed set,
// and what it takes to put it into words. The words are made when someone asks for
// them: thousands of decisions are made for each that is read.
type Reason struct {
	// Code is one of Codes.
	Code Code
	args [mostArgs]arg
	told string // the words, where they were read back
}

// mostArgs is how many numbers and names a reason has at most.
const mostArgs = 6

// because is the reason of a code, with what its text names, in its order.
func because(c Code, args ...arg) Reason {
	r := Reason{Code: c}
	copy(r.args[:], args)
	return r
}

// Quote is a reason in the words of someone who told it before.
func Quote(c Code, text string) Reason { return Reason{Code: c, told: text} }

// String is the reason as a line, with its numbers.
func (r Reason) String() string {
	if r.told != "" {
		return r.told
	}
	return string(r.append(nil))
}

// Equal tells whether two reasons say the same in the same words.
func (r Reason) Equal(other Reason) bool {
	return r.Code == other.Code && r.String() == other.String()
}

// append writes the text of the code into b, each {0} replaced by the argument of
// that number.
func (r Reason) append(b []byte) []byte {
	if r.told != "" {
		return append(b, r.told...)
	}
	text := reasons[r.Code].text
	for i := 0; i < len(text); i++ {
		if text[i] == '{' && i+2 < len(text) && text[i+2] == '}' {
			b = r.args[text[i+1]-'0'].append(b)
			i += 2
			continue
		}
		b = append(b, text[i])
	}
	return b
}

// arg is a number or a name in a reason.
type arg struct {
	kind argKind
	bits uint64
	text string
}

type argKind uint8

const (
	argNone argKind = iota
	argWhole
	argReal
	argSpan
	argAmount // text is its unit
	argWord
)

// count is a number of replicas, or of anything else that comes in ones.
func count(n int) arg { return arg{kind: argWhole, bits: uint64(n)} }

// decimal is any number, told to four digits.
func decimal(v float64) arg { return arg{kind: argReal, bits: math.Float64bits(v)} }

// percent is a part of a whole.
func percent[T ~float64](v T) arg {
	return amount(policy.Amount{Value: float64(v), Unit: policy.Share})
}

// span is a duration, told to the second if it has some.
func span(d time.Duration) arg { return arg{kind: argSpan, bits: uint64(d)} }

// amount is a number with its unit.
func amount(a policy.Amount) arg {
	return arg{kind: argAmount, bits: math.Float64bits(a.Value), text: string(a.Unit)}
}

// word is a name, or what someone else said.
func word[T ~string](text T) arg { return arg{kind: argWord, text: string(text)} }

func (a arg) append(b []byte) []byte {
	switch a.kind {
	case argWhole:
		return strconv.AppendInt(b, int64(a.bits), 10)
	case argReal:
		return strconv.AppendFloat(b, math.Float64frombits(a.bits), 'g', 4, 64)
	case argSpan:
		return append(b, short(time.Duration(a.bits))...)
	case argAmount:
		return append(b, policy.Amount{Value: math.Float64frombits(a.bits), Unit: policy.Unit(a.text)}.String()...)
	default:
		return append(b, a.text...)
	}
}

func short(d time.Duration) string {
	if d >= time.Second {
		d = d.Round(time.Second)
	}
	return policy.Short(d)
}
