package gpu

import (
	"bytes"
	"errors"
	"io"
	"math"
	"reflect"
	"testing"
)

func TestAnAnswerArrivesAsItWasSent(t *testing.T) {
	sent := &answer{
		Snapshot: &Snapshot{Driver: "1", Devices: []Device{{
			UUID: "GPU-x", Busy: some(Percent(0)), Energy: some(Millijoules(math.MaxUint64 >> 1)), Lost: true,
			Part:      Part{Memory: some(Memory{Used: 1, Total: 2, Reserved: some(uint64(0))})},
			Instances: []Instance{{ID: 7, Name: "1g.5gb", Part: Part{Profile: Profile{SM: some(Ratio(0.25))}}}},
			Processes: []Process{{PID: 1, SM: some(Ratio(1))}},
		}}},
		Events: []xidEvent{{"GPU-x", 79}},
	}
	var wire bytes.Buffer
	if err := writeFrame(&wire, sent); err != nil {
		t.Fatal(err)
	}
	got, err := readFrame(&wire)
	if err != nil || !reflect.DeepEqual(got, sent) {
		t.Errorf("got %+v, %v; sent %+v", got, err, sent)
	}
}

func TestABrokenFrameIsAnError(t *testing.T) {
	for name, tt := range map[string]struct {
		wire string
		want error
	}{
		"nothing came":                  {"", io.EOF},
		"it ends within the length":     {"\x00\x00", io.ErrUnexpectedEOF},
		"it ends within the answer":     {"\x00\x00\x00\x09{}", io.ErrUnexpectedEOF},
		"a library printed to it":       {"NVRM: hello\n", errFrame},
		"it is longer than may be":      {"\x00\x40\x00\x01", errFrame},
		"it is not what was agreed":     {"\x00\x00\x00\x02[]", errFrame},
		"a count is not a whole number": {"\x00\x00\x00\x20{\"Events\":[{\"UUID\":\"\",\"Code\":-1}]}"[:36], errFrame},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := readFrame(bytes.NewReader([]byte(tt.wire))); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

// Whatever comes, a reader neither panics nor takes more than it is allowed, and
// what it accepts can be sent again.
func FuzzFrame(f *testing.F) {
	var good bytes.Buffer
	if err := writeFrame(&good, &answer{Snapshot: &Snapshot{Devices: []Device{{UUID: "x"}}}}); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		a, err := readFrame(bytes.NewReader(wire))
		if err != nil {
			return
		}
		if err := writeFrame(io.Discard, a); err != nil {
			t.Error(err)
		}
	})
}
