package node

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
)

// OSRelease reads what the distribution says of itself, by the names of
// os-release(5), such as ID and VERSION_ID: /etc/os-release, else
// /usr/lib/os-release, below Root.
func (r Roots) OSRelease() (map[string]string, error) {
	data, err := slurp(r.root("etc/os-release"))
	if errors.Is(err, fs.ErrNotExist) {
		data, err = slurp(r.root("usr/lib/os-release"))
	}
	if err != nil {
		return nil, err
	}
	return parseOSRelease(data), nil
}

// parseOSRelease reads lines such as
//
//	PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
//	ID=debian
//
// People edit this file: what is no assignment is passed over.
func parseOSRelease(data []byte) map[string]string {
	fields := make(map[string]string)
	for line := range bytes.Lines(data) {
		key, value, ok := strings.Cut(strings.TrimSpace(string(line)), "=")
		if ok && !strings.HasPrefix(key, "#") {
			fields[key] = unquote(value)
		}
	}
	return fields
}

// unquote undoes what a shell would: quotes of both kinds, and backslashes
// outside of single ones.
func unquote(value string) string {
	if n := len(value); n >= 2 && value[0] == '\'' && value[n-1] == '\'' {
		return value[1 : n-1]
	} else if n >= 2 && value[0] == '"' && value[n-1] == '"' {
		value = value[1 : n-1]
	}
	var out strings.Builder
	escaped := false
	for _, c := range value {
		if c == '\\' && !escaped {
			escaped = true
			continue
		}
		escaped = false
		out.WriteRune(c)
	}
	return out.String()
}
