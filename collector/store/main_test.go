package store

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"
)

// childEnv names the data directory of a copy of the test binary that stores
// samples until it is killed.
const childEnv = "PLIMSOLL_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		panic(storeForEver(dir)) // it returns only if it fails
	}
	goleak.VerifyTestMain(m)
}

// storeForEver appends a sample to each of ten series, syncs, and prints the
// number of samples each series has by now, again and again.
func storeForEver(dir string) error {
	s, err := Open(context.Background(), Options{Dir: dir})
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		if err := put(s, series(10), n-1, n); err != nil {
			return err
		}
		if err := s.Sync(context.Background()); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// killed runs storeForEver on dir, kills it after it has synced n times and
// returns how many times it had by then.
func killed(t *testing.T, dir string, n int) int {
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
	lines, synced := bufio.NewScanner(out), 0
	for lines.Scan() {
		if _, err := fmt.Sscan(lines.Text(), &synced); err != nil {
			t.Fatal(err)
		}
		if synced == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err == nil || synced < n {
		t.Fatalf("the child ended by itself after %d rounds, error %v", synced, err)
	}
	return synced
}
