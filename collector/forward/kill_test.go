package forward

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	childDir = "PLIMSOLL_TEST_FORWARD_DIR"
	childURL = "PLIMSOLL_TEST_FORWARD_URL"

	childSeries = 200
	childTick   = 100 // ms
)

// child is a collector that hands over tick after tick and says which of them
// it would acknowledge. On its standard input are the time of tick 0, in ms, and
// the last tick of its predecessor, from which it counts on.
func child(dir, url string) {
	var epoch, tick int64
	if _, err := fmt.Fscan(os.Stdin, &epoch, &tick); err != nil {
		panic(err)
	}
	cfg, problems := parse("forward.yaml", []byte(quick(url, version1)))
	if len(problems) > 0 {
		panic(problems)
	}
	f, err := Open(Options{Dir: dir}, cfg)
	if err != nil {
		panic(err)
	}
	go f.Run(context.Background())
	ls := container(childSeries, "c")
	for {
		tick++
		if err := f.Stored(epoch+childTick*tick, ls, valued(childSeries, float64(tick))); err != nil {
			panic(err)
		}
		if tick%5 == 0 {
			if err := f.Sync(context.Background()); err != nil {
				panic(err)
			}
			fmt.Println(tick)
		}
	}
}

// However often it is killed, what it has synced reaches the target, whole and
// with the values that were handed over.
func TestWhatWasSyncedSurvivesKills(t *testing.T) {
	tg := newTarget(t, 24*time.Hour)
	dir := t.TempDir()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	epoch, acked := time.Now().Add(-time.Hour).UnixMilli(), int64(0)
	for range 8 {
		acked = runAndKill(t, tg.server.URL, dir, epoch, acked, 1+random.IntN(30))
	}
	r := start(t, Options{Dir: dir}, configured(t, quick(tg.server.URL, version1)))
	e := r.drained(t)
	if len(e.Dropped) != 0 {
		t.Errorf("dropped %v", e.Dropped)
	}
	stored := tg.samples()
	if missing := compare(t, stored, epoch, acked); missing != 0 {
		t.Errorf("%d samples are missing of %d ticks", missing, acked)
	}
	if n := len(stored); n != childSeries {
		t.Errorf("%d series, want %d", n, childSeries)
	}
	t.Logf("%d ticks acknowledged, %d samples at the target", acked, tg.count())
}

// compare wants the values that a child has handed over, and returns how many
// there are none of.
func compare(t *testing.T, stored map[string]map[int64]float64, epoch, ticks int64) (missing int) {
	t.Helper()
	for i, ls := range container(childSeries, "c") {
		points := stored[ls.String()]
		for tick := int64(1); tick <= ticks; tick++ {
			switch v, ok := points[epoch+childTick*tick]; {
			case !ok:
				missing++
			case v != float64(tick)+float64(i)/4:
				t.Fatalf("%s at tick %d is %v", ls, tick, v)
			}
		}
	}
	return missing
}

// runAndKill runs a child until it has acknowledged some more ticks.
func runAndKill(t *testing.T, url, dir string, epoch, acked int64, lines int) int64 {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childURL+"="+url)
	cmd.Stdin = strings.NewReader(fmt.Sprintln(epoch, acked))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(out)
	for n := 0; n < lines && said.Scan(); n++ {
		if acked, err = strconv.ParseInt(said.Text(), 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for said.Scan() { // what it said before it died is acknowledged, too
		if tick, err := strconv.ParseInt(said.Text(), 10, 64); err == nil {
			acked = max(acked, tick)
		}
	}
	_ = cmd.Wait()
	return acked
}
