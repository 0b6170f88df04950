package gpu

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

type liar struct{ driver }

func (l *liar) snapshot() (*Snapshot, []xidEvent, error) {
	names := make([]string, l.told.Load())
	return nil, nil, errors.New(names[l.told.Load()])
}

func ask(t *testing.T, open func() (devices, error), requests string) []*answer {
	t.Helper()
	var out bytes.Buffer
	if err := serve(open, strings.NewReader(requests), &out); err != nil {
		t.Fatal(err)
	}
	var got []*answer
	for out.Len() > 0 {
		a, err := readFrame(&out)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, a)
	}
	return got
}

func TestEachRequestHasOneAnswer(t *testing.T) {
	d := new(driver)
	got := ask(t, d.open, "???")
	if len(got) != 3 || got[2].Snapshot == nil || got[2].Snapshot.Devices[0].Index != 3 || len(got[2].Events) != 1 {
		t.Errorf("answers %+v", got)
	}
}

func TestWhyThereIsNothingToReadIsToldOnce(t *testing.T) {
	for want, d := range map[string]*driver{
		"absent": {missing: absentError("absent")},
		"failed": {missing: errors.New("failed")},
	} {
		got := ask(t, d.open, "???")
		if len(got) != 1 || got[0].Absent+got[0].Failed != want || (got[0].Absent != "") != (want == "absent") {
			t.Errorf("answers %+v, want %q", got, want)
		}
	}
}

func TestABindingThatPanicsIsAFailure(t *testing.T) {
	got := ask(t, func() (devices, error) { return &liar{}, nil }, "??")
	if len(got) != 1 || !strings.Contains(got[0].Failed, "index out of range") {
		t.Errorf("answers %+v", got)
	}
}

func TestAPersonWhoRunsTheChildIsTold(t *testing.T) {
	if err := serve(new(driver).open, strings.NewReader("help\n"), io.Discard); err == nil || !strings.Contains(err.Error(), "run by the agent") {
		t.Errorf("error %v", err)
	}
}

func TestTheChildEndsWhenItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		in, parent := io.Pipe() // a parent that asks nothing and stays
		if err := Serve(ctx, in, io.Discard); err != nil {
			t.Error(err)
		}
		parent.Close()
	})
}
