// Package rules reads rule files and the pack that comes with Plimsoll, says
// everything that is wrong with them, and hands them to Prometheus' rule
// manager, which alone evaluates them.
package rules

import (
	"embed"
	"path"
)

//go:embed bundled/*.yaml
var bundled embed.FS

// Bundled names the files of the pack, as Read takes them.
func Bundled() []string {
	entries, err := bundled.ReadDir("bundled")
	if err != nil {
		panic(err) // the folder is part of the binary
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = path.Join("bundled", e.Name())
	}
	return names
}
