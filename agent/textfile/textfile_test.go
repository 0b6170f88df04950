package textfile

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

func dirOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// lines are the samples as text.
func lines(samples []Sample) []string {
	var all []string
	for _, s := range samples {
		var pairs []string
		for _, l := range s.Labels {
			pairs = append(pairs, l.Name+"="+strconv.Quote(l.Value))
		}
		all = append(all, s.Type.String()+" "+s.Name+"{"+strings.Join(pairs, ",")+"} "+strconv.FormatFloat(s.Value, 'g', -1, 64))
	}
	return all
}

func TestEveryTypeComesAsTheSeriesItConsistsOf(t *testing.T) {
	got, leftOut, err := Parse([]byte(`# HELP backup_bytes Size of the last backup.
# TYPE backup_bytes gauge
backup_bytes{to="b"} 2
backup_bytes{to="a"} 1e3
# TYPE runs_total counter
runs_total 7
plain 5
# TYPE took_seconds histogram
took_seconds_bucket{le="0.5"} 1
took_seconds_bucket{le="+Inf"} 3
took_seconds_sum 4.5
took_seconds_count 3
# TYPE size summary
size{quantile="0.5"} 12
size_sum 30
size_count 2
`))
	if err != nil || leftOut != 0 {
		t.Fatal(leftOut, err)
	}
	want := []string{
		`gauge backup_bytes{to="a"} 1000`,
		`gauge backup_bytes{to="b"} 2`,
		`untyped plain{} 5`,
		`counter runs_total{} 7`,
		`gauge size{quantile="0.5"} 12`,
		`counter size_count{} 2`,
		`counter size_sum{} 30`,
		`counter took_seconds_bucket{le="+Inf"} 3`,
		`counter took_seconds_bucket{le="0.5"} 1`,
		`counter took_seconds_count{} 3`,
		`counter took_seconds_sum{} 4.5`,
	}
	if diff := cmp.Diff(want, lines(got)); diff != "" {
		t.Error(diff)
	}
	if got[0].Help != "Size of the last backup." {
		t.Errorf("help %q", got[0].Help)
	}
}

func TestLabelsThatSayWhereASeriesIsFromAreRenamed(t *testing.T) {
	got, _, err := Parse([]byte(`x{job="a",instance="b",node="c",agent="d",le="e"} 1` + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`untyped x{exported_agent="d",exported_instance="b",exported_job="a",exported_node="c",le="e"} 1`}
	if diff := cmp.Diff(want, lines(got)); diff != "" {
		t.Error(diff)
	}
}

func TestALineWithATimeIsRefused(t *testing.T) {
	if _, _, err := Parse([]byte("x 1 1700000000000\n")); !errors.Is(err, ErrTime) {
		t.Errorf("error %v, want ErrTime", err)
	}
}

func TestWhatMakesTheParserPanicIsAnError(t *testing.T) {
	if _, _, err := Parse([]byte("# TYPE A \n{}0")); err == nil {
		t.Error("no error")
	}
}

func TestABrokenFileCostsItsOwnSeriesOnly(t *testing.T) {
	dir := dirOf(t, map[string]string{
		"a.prom": "good 1\n", "b.prom": "good_too 1\nbad{ 2\n", "c.prom": "# TYPE good counter\ngood{of=\"c\"} 3\n",
		"d.prom": "last 4", "e.txt": "other 5\n", "f.prom.tmp": "unfinished",
	})
	at := time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(dir, "d.prom"), at, at); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir)
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "b.prom")) || !strings.Contains(err.Error(), filepath.Join(dir, "c.prom")) {
		t.Errorf("error %v, want one that names b.prom and c.prom", err)
	}
	if diff := cmp.Diff([]string{`untyped good{} 1`, `untyped last{} 4`}, lines(got.Samples)); diff != "" {
		t.Error(diff)
	}
	if len(got.Files) != 2 || !got.Files[1].ModTime.Equal(at) {
		t.Errorf("files %v", got.Files)
	}
}

func TestOfTheSameSeriesTheFirstCounts(t *testing.T) {
	got, err := Read(dirOf(t, map[string]string{"a.prom": "x{a=\"1\",b=\"2\"} 1\nx{b=\"2\",a=\"1\"} 2\n", "b.prom": "x{b=\"2\",a=\"1\"} 3\n"}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`untyped x{a="1",b="2"} 1`}, lines(got.Samples)); diff != "" {
		t.Error(diff)
	}
}

func TestAReadingIsBounded(t *testing.T) {
	var many strings.Builder
	for i := range MaxSeries + 10 {
		many.WriteString("x{i=\"" + strconv.Itoa(i) + "\"} 1\n")
	}
	labels := "a{"
	for i := range maxLabels + 1 {
		labels += "l" + strconv.Itoa(i) + "=\"\","
	}
	labels += "} 1\n"
	files := map[string]string{
		"a.prom":    "long{v=\"" + strings.Repeat("v", maxValueBytes+1) + "\"} 1\nshort 1\n",
		"b.prom":    many.String(),
		"huge.prom": strings.Repeat("# a comment\n", MaxFileBytes/12+1),
		"l.prom":    labels,
	}
	got, err := Read(dirOf(t, files))
	if err == nil || !strings.Contains(err.Error(), "huge.prom") {
		t.Errorf("error %v, want one about huge.prom", err)
	}
	if len(got.Samples) != MaxSeries || got.LeftOut != 1+11+1 {
		t.Errorf("%d samples, %d left out", len(got.Samples), got.LeftOut)
	}

	files = make(map[string]string)
	for i := range MaxFiles + 1 {
		files[strconv.Itoa(i)+".prom"] = "x" + strconv.Itoa(i) + " 1\n"
	}
	got, err = Read(dirOf(t, files))
	if err == nil || len(got.Files) != MaxFiles {
		t.Errorf("%d files, %v", len(got.Files), err)
	}
}

func TestAPipeDoesNotHoldTheReader(t *testing.T) {
	dir := dirOf(t, map[string]string{"a.prom": "x 1\n"})
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.prom"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", filepath.Join(dir, "zero.prom")); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir)
	if err == nil || len(got.Samples) != 1 {
		t.Errorf("%d samples, %v", len(got.Samples), err)
	}
}

func TestADirectoryThatIsNotThereIsAnError(t *testing.T) {
	if _, err := Read(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want ErrNotExist", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("# TYPE x histogram\nx_bucket{le=\"1\"} 1\nx_sum 1\nx_count 1\n"))
	f.Add([]byte("# TYPE x summary\nx{quantile=\"0.5\"} NaN\nx_sum +Inf\n"))
	f.Add([]byte("x{a=\"\\\"\\n\",a=\"\"} -0x1p-2 \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		samples, _, err := Parse(data)
		if err != nil {
			return
		}
		for i := range samples {
			if !samples[i].bounded() || samples[i].Name == "" {
				t.Errorf("got %+v", samples[i])
			}
			if s := samples[i]; s.Type > sample.Gauge || sample.IsAbsent(s.Value) && !math.IsNaN(s.Value) {
				t.Errorf("got %+v", s)
			}
		}
	})
}
