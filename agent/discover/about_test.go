package discover

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLabelsCostNoMoreThanTheirBounds(t *testing.T) {
	many := map[string]string{}
	for i := range 10_000 {
		many[fmt.Sprintf("label.%05d", i)] = "x"
	}
	heavy := map[string]string{}
	for i := range 100 {
		heavy[fmt.Sprintf("label.%02d", i)] = strings.Repeat("x", 2000)
	}
	tests := map[string]struct {
		about about
		kept  int
		cut   uint64
	}{
		"few are kept as they are":    {about{Labels: map[string]string{"team": "red", "": "", "é": "\xff"}}, 3, 0},
		"too many are left out":       {about{Labels: many}, maxLabels, 10_000 - maxLabels},
		"too many bytes are left out": {about{Labels: heavy}, maxLabelBytes / 2008, 100 - maxLabelBytes/2008},
		"a megabyte is cut":           {about{Labels: map[string]string{"a": strings.Repeat("é", 1<<19), "b": "c"}}, 2, 1},
		"a long key is left out":      {about{Labels: map[string]string{strings.Repeat("k", maxLabelKey+1): "v", "b": "c"}}, 1, 1},
		"names are cut":               {about{Name: strings.Repeat("n", 1<<20), Image: strings.Repeat("i", 1<<20), kube: kube{pod: strings.Repeat("p", 1<<20)}}, 0, 3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := tt.about
			if cut := a.bound(); cut != tt.cut || len(a.Labels) != tt.kept {
				t.Errorf("%d cut, %d labels kept; want %d and %d", cut, len(a.Labels), tt.cut, tt.kept)
			}
			if v := a.Labels["a"]; v != "" && v != strings.Repeat("é", maxText/2) {
				t.Errorf("cut to %d bytes, not at the border of a character", len(v))
			}
			if len(a.Name) > maxText || len(a.kube.pod) > maxText {
				t.Errorf("a name of %d bytes", len(a.Name))
			}
		})
	}
}

func FuzzBound(f *testing.F) {
	f.Add("team", "red", 3)
	f.Add(strings.Repeat("k", 300), strings.Repeat("é", 5000), 400)
	f.Fuzz(func(t *testing.T, key, value string, n int) {
		a := about{Name: value, Labels: map[string]string{}}
		for i := range n % 1000 {
			a.Labels[fmt.Sprint(key, i)] = value
		}
		a.bound()
		size := 0
		for k, v := range a.Labels {
			size += len(k) + len(v)
			if utf8.ValidString(value) && !utf8.ValidString(v) {
				t.Fatalf("%q cut to %q", value, v)
			}
		}
		if size > maxLabelBytes || len(a.Labels) > maxLabels || len(a.Name) > maxText {
			t.Errorf("%d labels of %d bytes, a name of %d", len(a.Labels), size, len(a.Name))
		}
		if cut := a.bound(); cut != 0 {
			t.Errorf("%d cut again", cut)
		}
	})
}

func TestInstant(t *testing.T) {
	for _, none := range []string{"", "yesterday", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "99999-01-01T00:00:00Z"} {
		if at := instant(none); !at.IsZero() {
			t.Errorf("%q is %v", none, at)
		}
	}
	if at := instant("2026-11-21T09:24:58.164698953Z"); at.UnixNano() != 1795253098164698953 {
		t.Errorf("%v, %d", at, at.UnixNano())
	}
}
