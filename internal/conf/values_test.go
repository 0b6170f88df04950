package conf_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

func TestParseDuration(t *testing.T) {
	tests := map[string]struct {
		want time.Duration
		err  string
	}{
		"5s":      {want: 5 * time.Second},
		"1h30m":   {want: 90 * time.Minute},
		"15d":     {want: 15 * 24 * time.Hour},
		"1d12h":   {want: 36 * time.Hour},
		"0":       {},
		"0s":      {},
		"-1s":     {want: -time.Second}, // whether that makes sense is for the key to say
		"5":       {err: `"5" is not a duration, add a unit: 5s`},
		"1.5":     {err: `"1.5" is not a duration, add a unit: 1.5s`},
		"":        {err: `"" is not a duration, write it like 500ms, 5s, 1h30m or 15d`},
		"d":       {err: `"d" is not a duration, write it like 500ms, 5s, 1h30m or 15d`},
		"1.5d":    {err: `"1.5d" is not a duration, write it like 500ms, 5s, 1h30m or 15d`},
		"-1d":     {err: `"-1d" is not a duration, write it like 500ms, 5s, 1h30m or 15d`},
		"1d-2h":   {err: `"1d-2h" is not a duration, write it like 500ms, 5s, 1h30m or 15d`},
		"5 s":     {err: `"5 s" is not a duration, write it like 500ms, 5s, 1h30m or 15d`},
		"999999d": {err: `"999999d" is not a duration, write it like 500ms, 5s, 1h30m or 15d`},
		"106751d9999999h": {
			err: `"106751d9999999h" is not a duration, write it like 500ms, 5s, 1h30m or 15d`,
		},
	}
	for text, tt := range tests {
		t.Run(text, func(t *testing.T) {
			got, err := conf.ParseDuration(text)
			if got != tt.want || message(err) != tt.err {
				t.Errorf("got %v and %q, want %v and %q", got, message(err), tt.want, tt.err)
			}
		})
	}
}

func TestPercentIsWrittenWithItsSign(t *testing.T) {
	tests := map[string]struct {
		want conf.Percent
		err  string
	}{
		"70%":   {want: 0.7},
		"0%":    {},
		"300%":  {want: 3},
		"12.5%": {want: 0.125},
		"70":    {err: `"70" is not a percentage, write 70%`},
		"0.7":   {err: `"0.7" is not a percentage, write 0.7%`},
		"%":     {err: `"%" is not a percentage, write it like 70%`},
		"NaN%":  {err: `"NaN%" is not a percentage, write it like 70%`},
		"0x1p3%": {
			err: `"0x1p3%" is not a percentage, write it like 70%`,
		},
		"1e999%": {err: `"1e999%" is not a percentage, write it like 70%`},
	}
	for text, tt := range tests {
		t.Run(text, func(t *testing.T) {
			var got conf.Percent
			err := got.Set(text)
			if math.Abs(float64(got-tt.want)) > 1e-12 || message(err) != tt.err {
				t.Errorf("got %v and %q, want %v and %q", got, message(err), tt.want, tt.err)
			}
			if err == nil && got.String() != text {
				t.Errorf("written as %s", got)
			}
		})
	}
}

func TestSizeHasAUnit(t *testing.T) {
	tests := map[string]struct {
		want conf.Size
		err  string
	}{
		"64MiB":   {want: 64 << 20},
		"1.5 GiB": {want: 3 << 29},
		"2GB":     {want: 2e9},
		"512B":    {want: 512},
		"0B":      {},
		"64":      {err: `"64" is not a size, add a unit: 64MiB, or 64B for bytes`},
		"-1B":     {err: `"-1B" is not a size, write it like 64MiB or 1.5GB`},
		"64Mb":    {err: `"64Mb" is not a size, write it like 64MiB or 1.5GB`},
		"9e9TiB":  {err: `"9e9TiB" is not a size, write it like 64MiB or 1.5GB`},
		"MiB":     {err: `"MiB" is not a size, write it like 64MiB or 1.5GB`},
	}
	for text, tt := range tests {
		t.Run(text, func(t *testing.T) {
			var got conf.Size
			err := got.Set(text)
			if got != tt.want || message(err) != tt.err {
				t.Errorf("got %d and %q, want %d and %q", got, message(err), tt.want, tt.err)
			}
		})
	}
}

func TestSizeIsWrittenInTheLargestUnitThatKeepsItWhole(t *testing.T) {
	for size, want := range map[conf.Size]string{0: "0B", 512: "512B", 1024: "1KiB", 3 << 29: "1536MiB", 1 << 50: "1024TiB", 1500: "1500B"} {
		if got := size.String(); got != want {
			t.Errorf("%d is written as %s, want %s", int64(size), got, want)
		}
	}
}

func TestQuoteShowsTextWithoutTrustingIt(t *testing.T) {
	for text, want := range map[string]string{
		"web":                    `"web"`,
		"a\x1b[31m\n":            `"a\x1b[31m\n"`,
		strings.Repeat("x", 200): `"` + strings.Repeat("x", 64) + `"…`,
		strings.Repeat("値", 100): `"` + strings.Repeat("値", 21) + `"…`,
	} {
		if got := conf.Quote(text); got != want {
			t.Errorf("Quote(%q) = %s, want %s", text, got, want)
		}
	}
}

func TestNearestFindsSlipsAndNothingElse(t *testing.T) {
	known := []string{"min", "max", "replicas", "interval", "target"}
	for word, want := range map[string]string{
		"maxx": "max", "mix": "min", "replica": "replicas", "intervall": "interval", "tagret": "target", "mni": "min",
		"schedule": "", "x": "", "": "", "service": "",
	} {
		if got := conf.Nearest(word, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", word, got, want)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
