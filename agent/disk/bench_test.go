package disk

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// tree makes 20 directories with 500 files each and returns how many entries
// there are, the directory itself included.
func tree(b *testing.B, dir string) int {
	b.Helper()
	for d := range 20 {
		sub := filepath.Join(dir, fmt.Sprintf("directory-%d", d))
		if err := os.Mkdir(sub, 0o755); err != nil {
			b.Fatal(err)
		}
		for f := range 500 {
			if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("a-file-of-some-name-%d", f)), []byte("x"), 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	return 1 + 20 + 20*500
}

func BenchmarkWalk(b *testing.B) {
	dir := b.TempDir()
	entries := tree(b, dir)
	perEntry := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*entries), "ns/entry")
	}
	b.Run("walker", func(b *testing.B) {
		b.ReportAllocs()
		w := NewWalker(Limits{Rate: 1 << 40})
		for b.Loop() {
			if u, err := w.Walk(b.Context(), "/", dir); err != nil || u.Entries != uint64(entries) {
				b.Fatal(u, err)
			}
		}
		perEntry(b)
	})
	b.Run("WalkDir", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
				if err == nil {
					_, err = d.Info() // which has the blocks
				}
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		perEntry(b)
	})
	b.Run("du", func(b *testing.B) {
		for b.Loop() {
			if out, err := exec.Command("du", "-s", dir).CombinedOutput(); err != nil {
				b.Fatal(err, string(out))
			}
		}
		perEntry(b)
	})
}
