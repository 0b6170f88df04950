package store

import "testing"

func TestSpaceIsReadAsPeopleWriteIt(t *testing.T) {
	tests := map[string]struct {
		want Space
		of   int64 // of 1000 bytes, where auto is 7
	}{
		"auto":   {Space{}, 7},
		"0":      {Space{Bytes: -1}, 0},
		"0%":     {Space{Bytes: -1}, 0},
		"12.5%":  {Space{Percent: 12.5}, 125},
		"512":    {Space{Bytes: 512}, 512},
		"512B":   {Space{Bytes: 512}, 512},
		"2K":     {Space{Bytes: 2048}, 2048},
		"2KB":    {Space{Bytes: 2048}, 2048},
		"2KiB":   {Space{Bytes: 2048}, 2048},
		"64MiB":  {Space{Bytes: 64 << 20}, 64 << 20},
		"3TB":    {Space{Bytes: 3 << 40}, 3 << 40},
		"8191PB": {Space{Bytes: 8191 << 50}, 8191 << 50},
	}
	for text, tt := range tests {
		var s Space
		if err := s.Set(text); err != nil || s != tt.want {
			t.Errorf("%q: %+v, error %v", text, s, err)
		}
		if got := s.of(1000, 7); got != tt.of {
			t.Errorf("%q of 1000 bytes is %d, want %d", text, got, tt.of)
		}
	}
	for _, text := range []string{"", "%", "B", "-1", "-1%", "101%", "NaN%", "1.5G", "5iB", "5 MB", "5XB", "8192PB", "9223372036854775808"} {
		s := Space{Bytes: 3}
		if err := s.Set(text); err == nil || s != (Space{Bytes: 3}) {
			t.Errorf("%q is taken for %+v", text, s)
		}
	}
}

func TestBytesAreSaidAsPeopleDo(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 48 << 20: "48.0 MiB", 3 << 50: "3.0 PiB", -3 << 20: "-3.0 MiB", 1 << 62: "4096.0 PiB",
	} {
		if got := inBytes(n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
}

func FuzzSpace(f *testing.F) {
	for _, text := range []string{"auto", "5%", "64MiB", "0", "1e2%", "9P"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s, again Space
		if s.Set(text) != nil {
			return
		}
		if n := s.of(1<<40, 1); n < 0 {
			t.Errorf("%q is %d bytes", text, n)
		}
		if err := again.Set(s.String()); err != nil || again != s {
			t.Errorf("%q is %+v, said as %q, which is %+v, error %v", text, s, s.String(), again, err)
		}
	})
}
