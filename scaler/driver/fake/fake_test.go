package fake_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/driver"
	"github.com/plimsoll-io/plimsoll/scaler/driver/drivertest"
	"github.com/plimsoll-io/plimsoll/scaler/driver/fake"
)

var web = driver.Workload{Namespace: "shop", Name: "web"}

func TestConformance(t *testing.T) {
	var p fake.Platform
	p.Add(web, 1)
	drivertest.Run(t, drivertest.Platform{
		Driver:   &p,
		Workload: web,
		Replicas: func(*testing.T) []string { return p.Replicas(web) },
		Patience: time.Second,
	})
}

func TestReplicasTakeTheirTimeToStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := fake.Platform{Boot: 20 * time.Second}
		p.Add(web, 1)
		if err := p.Scale(t.Context(), web, 3, "", 0); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			wait            time.Duration
			ready, starting int
		}{{0, 1, 2}, {19 * time.Second, 1, 2}, {time.Second, 3, 0}} {
			<-time.After(step.wait)
			got, err := p.Status(t.Context(), web)
			if err != nil || got.Ready != step.ready || got.Starting != step.starting {
				t.Errorf("after %v more: %+v, %v; want %d ready, %d starting", step.wait, got, err, step.ready, step.starting)
			}
		}
	})
}

func TestOnlyAcceptedChangesAreWrites(t *testing.T) {
	var p fake.Platform
	p.Add(web, 1)
	broken := errors.New("broken pipe")
	p.FailScale(broken)
	if err := p.Scale(t.Context(), web, 2, "", 0); !errors.Is(err, broken) {
		t.Errorf("error %v, want the scripted one", err)
	}
	p.Edit(web, 4)
	for range 2 {
		if err := p.Scale(t.Context(), web, 5, "", 0); err != nil {
			t.Fatal(err)
		}
	}
	got := p.Writes()
	if len(got) != 1 || got[0].From != 4 || got[0].To != 5 {
		t.Errorf("writes %+v, want one from 4 to 5", got)
	}
}

func TestAHungCallEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p fake.Platform
		p.Add(web, 1)
		p.HangStatus()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := p.Status(ctx, web); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the deadline", err)
		}
	})
}
