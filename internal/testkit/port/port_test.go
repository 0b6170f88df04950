package port

import "testing"

func TestNoAddressIsGivenTwice(t *testing.T) {
	given := map[string]bool{}
	for range process / 4 {
		a := Free(t)
		if given[a] {
			t.Fatalf("%s was given before", a)
		}
		given[a] = true
	}
}
