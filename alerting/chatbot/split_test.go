package chatbot

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestATextIsDividedAtLinesElseBetweenCharacters(t *testing.T) {
	tests := map[string]struct {
		text  string
		limit int
		want  []string
	}{
		"what fits stays whole":             {"abc", 3, []string{"abc"}},
		"nothing is nothing":                {"", 3, []string{""}},
		"a character stays whole":           {"告警告警", 7, []string{"告警", "告警"}},
		"not in the middle of one":          {"告警", 5, []string{"告", "警"}},
		"at a line end":                     {"aaaa\nbbbb", 7, []string{"aaaa", "bbbb"}},
		"an early line end wastes too much": {"a\nbbbbbbbb", 8, []string{"a\nbbbbbb", "bb"}},
		"what exceeds all alone":            {"告a", 2, []string{"告", "a"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := split(tt.text, tt.limit, UTF8Size)
			if strings.Join(got, "|") != strings.Join(tt.want, "|") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// Parts are valid, within the limit, and together the text but for line ends.
func FuzzSplit(f *testing.F) {
	f.Add("告警：容器内存不足\n- a\n", 10)
	f.Add("\n\n\n", 1)
	f.Add("a\"\\\t\x01\u2028b", 6)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		text = strings.ToValidUTF8(text, "?")
		limit = 8 + max(limit, -limit)%5000
		for _, size := range []func(string) int{UTF8Size, JSONSize} {
			parts := split(text, limit, size)
			for _, p := range parts {
				if !utf8.ValidString(p) || size(p) > limit {
					t.Errorf("part %q of %d bytes, limit %d", p, size(p), limit)
				}
			}
			bare := func(s string) string { return strings.ReplaceAll(s, "\n", "") }
			if got := strings.Join(parts, ""); bare(got) != bare(text) {
				t.Errorf("parts make %q, want %q", got, text)
			}
			if short := truncate(text, limit, size); size(short) > limit || !utf8.ValidString(short) {
				t.Errorf("truncated to %q", short)
			}
		}
	})
}

func FuzzJSONSizeIsWhatTheEncoderWrites(f *testing.F) {
	f.Add("a\"\\\n\r\t\b\f\x01\x7f\u2028\u2029<>&告\xff")
	f.Fuzz(func(t *testing.T, text string) {
		var b strings.Builder
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(text); err != nil {
			t.Fatal(err)
		}
		if got, want := JSONSize(text), b.Len()-len(`""`+"\n"); got != want {
			t.Errorf("%q: %d, the encoder writes %d: %s", text, got, want, b.String())
		}
	})
}
