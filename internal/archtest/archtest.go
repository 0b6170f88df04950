// Package archtest holds the shape of the tree as a test: who may import whom,
// and that each package says what it is.
package archtest
