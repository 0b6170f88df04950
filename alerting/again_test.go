package alerting

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
)

func TestAQueryWhoseSeriesWereTakenAwayIsAskedAgain(t *testing.T) {
	taken := fmt.Errorf("cannot populate chunk 7 from block 0: %w", storage.ErrNotFound)
	tests := map[string]struct {
		answers []error
		asked   int
		want    error
	}{
		"an answer is enough":                   {[]error{nil}, 1, nil},
		"the next finds what is there":          {[]error{taken, nil}, 2, nil},
		"it is not asked for ever":              {[]error{taken, taken, taken, nil}, 3, storage.ErrNotFound},
		"what fails otherwise would fail again": {[]error{context.DeadlineExceeded, nil}, 1, context.DeadlineExceeded},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			asked := 0
			_, err := again(func(context.Context, string, time.Time) (promql.Vector, error) {
				asked++
				return nil, tt.answers[asked-1]
			})(t.Context(), "up", time.Time{})
			if asked != tt.asked || !errors.Is(err, tt.want) {
				t.Errorf("asked %d times, error %v; want %d and %v", asked, err, tt.asked, tt.want)
			}
		})
	}
}
