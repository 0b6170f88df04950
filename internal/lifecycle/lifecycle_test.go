package lifecycle_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/lifecycle"
)

func until(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func TestTheFirstLoopToEndTakesTheOthersDown(t *testing.T) {
	broken := errors.New("broken")
	tests := map[string]struct {
		end  error
		want string
	}{
		"with its failure":      {broken, "second: broken"},
		"even without any":      {nil, "second: ended by itself"},
		"not with a stray hint": {context.Canceled, "second: context canceled"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := lifecycle.Run(t.Context(),
					lifecycle.Loop{Name: "first", Run: until},
					lifecycle.Loop{Name: "second", Run: func(context.Context) error { <-time.After(time.Minute); return tt.end }},
				)
				if err == nil || err.Error() != tt.want {
					t.Errorf("error %v, want %s", err, tt.want)
				}
			})
		})
	}
}

func TestLoopsThatAreToldToEndAreNoFailure(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := lifecycle.Run(ctx, lifecycle.Loop{Name: "a", Run: until}, lifecycle.Loop{Name: "b", Run: until}); err != nil {
		t.Error(err)
	}
}

func TestAFailureOnTheWayOutIsTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := lifecycle.Run(ctx, lifecycle.Loop{Name: "store", Run: func(ctx context.Context) error {
		<-ctx.Done()
		return errors.New("disk full")
	}})
	if err == nil || !strings.Contains(err.Error(), "store: disk full") {
		t.Errorf("error %v, want that of the store", err)
	}
}
