package rollup

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/prometheus/prometheus/tsdb"
)

// childEnv names the directory of a raw store and of rollups, for a copy of the
// test binary that rolls up until it is killed.
const childEnv = "PLIMSOLL_ROLLUP_TEST_CHILD"

// rollUntilKilled rolls up slice by slice and prints each that is done.
func rollUntilKilled(dir string) error {
	raw, err := tsdb.Open(dir+"/raw", nil, nil, nil, nil)
	if err != nil {
		return err
	}
	s, err := Open(Options{Dir: dir + "/rollup", Raw: rawDB{raw}, Share: 1})
	if err != nil {
		return err
	}
	s.db.DisableCompactions()
	lacking, err := s.todo(time.Now())
	if err != nil {
		return err
	}
	for _, from := range lacking {
		if err := s.rollSlice(context.Background(), from); err != nil {
			return err
		}
		fmt.Println(from)
	}
	select {} // the parent sees that it came too late
}

// kill runs rollUntilKilled and kills it in the slice after the nth.
func kill(t *testing.T, dir string, n int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n > 0 && lines.Scan() {
		n--
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err == nil || n > 0 {
		t.Fatalf("the child ended by itself, %d slices early: %v", n, err)
	}
}

func TestKilledAgainAndAgainItEndsWithTheSameRollups(t *testing.T) {
	dir := t.TempDir()
	end := today()
	raw := openRaw(t, t.TempDir())
	var traces []trace
	for i := range 30 {
		traces = append(traces, trace{named("c_total", "n", fmt.Sprint(i)), steps(end-12*slice, end+slice, 30_000, counting(uint64(i), 0.01))})
	}
	raw.store(t, traces...)
	undisturbed, _ := rolled(t, t.TempDir(), raw, nil)
	want := contents(t, undisturbed.db, math.MinInt64, math.MaxInt64)

	if err := os.CopyFS(dir+"/raw", os.DirFS(raw.Dir())); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 0, 3, 2, 1} {
		kill(t, dir, n)
	}
	s, _ := rolled(t, dir+"/rollup", raw, nil)
	got := contents(t, s.db, math.MinInt64, math.MaxInt64)
	if len(got) != len(want) {
		t.Errorf("%d series, want %d", len(got), len(want))
	}
	for name := range want {
		if format(got[name]) != format(want[name]) {
			t.Errorf("%s differs", name)
		}
	}
	if n := len(s.db.Blocks()); n != 12 {
		t.Errorf("%d blocks, want one for each of 12 slices", n)
	}
}
