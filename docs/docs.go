// Package docs has the documents that the binary itself reads.
package docs

import _ "embed" // for the documents

// Policies is policies.md: what the keys of a policy file mean.
//
//go:embed policies.md
var Policies string
