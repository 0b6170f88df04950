package main

import (
	"io"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"plimsoll": main})
}

// TestWhatAUserTypes runs the scripts of testdata: everything that needs no
// containers.
func TestWhatAUserTypes(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata"})
}

// A key of a file cannot be a value and a map at a time.
func TestNoFlagIsTheBeginningOfAnother(t *testing.T) {
	c := newCLI(io.Discard, io.Discard, nil)
	for command := range c.commands {
		name, _, _ := strings.Cut(command, " ")
		names := c.flagsOf(name)
		for _, a := range names {
			for _, b := range names {
				if strings.HasPrefix(b, a+".") {
					t.Errorf("%s: --%s and --%s", command, a, b)
				}
			}
		}
	}
}
