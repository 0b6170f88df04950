package main

import (
	"bytes"
	"context"
	"testing"
)

// Where there is much data a start takes a while, and a supervisor may not wait
// for its end.
func TestAStartThatIsCalledOffIsNoFailure(t *testing.T) {
	for _, command := range []string{"collector", "up"} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var out, trouble bytes.Buffer
		args := []string{command, "--data.path=" + t.TempDir(), "--web.listen-address=127.0.0.1:0", "--grpc.listen-address=127.0.0.1:0"}
		if code := run(ctx, args, &out, &trouble, nil); code != exitOK {
			t.Errorf("%s: exit code %d, says %q", command, code, trouble.String())
		}
	}
}
