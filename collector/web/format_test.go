package web

import (
	"math"
	"strconv"
	"testing"
	"time"
	"unicode/utf8"
)

func TestFormats(t *testing.T) {
	tests := map[string]struct{ got, want string }{
		"bytes below a KiB are whole":     {bytesText(known(1023)), "1023 B"},
		"bytes have three digits":         {bytesText(known(1.5 * (1 << 20))), "1.50 MiB"},
		"or four":                         {bytesText(known(1000 << 30)), "1000 GiB"},
		"no bytes are a number":           {bytesText(known(0)), "0 B"},
		"unknown bytes are none":          {bytesText(reading{}), "–"},
		"NaN is not known":                {bytesText(known(math.NaN())), "–"},
		"a share":                         {percentText(known(0.125)), "12.5 %"},
		"a share of nothing":              {percentText(known(0)), "0.0 %"},
		"a little is not nothing":         {percentText(known(0.0004)), "< 0.1 %"},
		"more than all is possible":       {percentText(known(1.5)), "150.0 %"},
		"a share of an unknown whole":     {percentText(known(1).of(reading{})), "–"},
		"a share of no limit":             {percentText(known(1).of(known(0))), "–"},
		"seconds":                         {span(59 * time.Second), "59 s"},
		"minutes":                         {span(61 * time.Second), "1 min 1 s"},
		"hours":                           {span(23*time.Hour + 59*time.Minute), "23 h 59 min"},
		"days":                            {span(49 * time.Hour), "2 d 1 h"},
		"a clock that is ahead is not -1": {span(-time.Second), "0 s"},
		"never":                           {since(time.Now(), time.Time{}), "–"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.got != tt.want {
				t.Errorf("got %q, want %q", tt.got, tt.want)
			}
		})
	}
}

func FuzzVisible(f *testing.F) {
	for _, s := range []string{"web", "", "a\u202eb", "\xff", "\x00\x1b[2J", "容器", "🚢"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		shown := visible(s)
		if !utf8.ValidString(shown) || len(shown) > 12*longest+len("…") {
			t.Fatalf("%q becomes %q", s, shown)
		}
		for _, r := range shown {
			if !strconv.IsPrint(r) {
				t.Fatalf("%q keeps %q", s, r)
			}
		}
	})
}
