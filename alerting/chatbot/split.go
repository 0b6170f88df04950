package chatbot

import (
	"strings"
	"unicode/utf8"
)

// split divides text into parts of at most limit bytes as size counts them: at
// the last line border that fits if that is in the second half of a part, else
// at a character border. All parts together are the text, less the line ends
// between them. A character that alone exceeds limit stands alone.
func split(text string, limit int, size func(string) int) []string {
	var parts []string
	for size(text) > limit {
		end, line, used := 0, 0, 0
		for end < len(text) {
			_, n := utf8.DecodeRuneInString(text[end:])
			used += size(text[end : end+n])
			if used > limit {
				break
			}
			end += n
			if text[end-1] == '\n' && used > limit/2 {
				line = end
			}
		}
		switch {
		case line > 0:
			end = line
		case end == 0:
			_, end = utf8.DecodeRuneInString(text)
		}
		parts = append(parts, strings.TrimSuffix(text[:end], "\n"))
		text = text[end:]
	}
	if text != "" || len(parts) == 0 {
		parts = append(parts, text)
	}
	return parts
}

// truncate is the beginning of text that has at most limit bytes as size counts
// them.
func truncate(text string, limit int, size func(string) int) string {
	if size(text) <= limit {
		return text
	}
	used, end := size("…"), 0
	for end < len(text) {
		_, n := utf8.DecodeRuneInString(text[end:])
		if used += size(text[end : end+n]); used > limit {
			break
		}
		end += n
	}
	return text[:end] + "…"
}

// JSONSize is how many bytes text has inside a JSON string, quotes not counted,
// as encoding/json writes it without care for HTML.
func JSONSize(text string) int {
	n := 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == '"', r == '\\', r == '\n', r == '\r', r == '\t', r == '\b', r == '\f':
			n += 2
		case r < ' ', r == '\u2028', r == '\u2029', r == utf8.RuneError && size == 1:
			n += 6
		default:
			n += size
		}
		i += size
	}
	return n
}

// UTF8Size is how many bytes text has once what is no UTF-8 is replaced.
func UTF8Size(text string) int {
	if utf8.ValidString(text) {
		return len(text)
	}
	return len(strings.ToValidUTF8(text, "\uFFFD"))
}
