package node

import (
	"os"
	"syscall"
)

// Timex is how the machine's clock is kept, by adjtimex(2), in seconds where
// nothing else is said.
type Timex struct {
	Synchronized      bool
	Status            int32   // bits of STA_…
	Offset            float64 // from what the clock is steered to
	MaxError          float64
	EstimatedError    float64
	FrequencyRatio    float64 // of the clock's speed, steered, to its own
	Tick              float64
	TAIOffset         int32 // of TAI from UTC
	LoopTimeConstant  float64
	PPSFrequencyHertz float64
	PPSJitter         float64
	PPSShift          int32 // interval of calibration: 2 to this power
	PPSStabilityHertz float64
	PPSJitters        float64 // times the limit was exceeded; likewise the next
	PPSCalibrations   float64
	PPSErrors         float64
	PPSInstabilities  float64
}

const (
	timeError = 5      // TIME_ERROR: the clock is not synchronized
	staNano   = 0x2000 // STA_NANO: offset and jitter are in ns
	ppm16     = 1e6 * 65536
)

// ReadTimex asks the kernel. It changes nothing.
func ReadTimex() (Timex, error) {
	var raw syscall.Timex
	state, err := syscall.Adjtimex(&raw)
	if err != nil {
		return Timex{}, os.NewSyscallError("adjtimex", err)
	}
	return timexOf(state, &raw), nil
}

func timexOf(state int, raw *syscall.Timex) Timex {
	fine := 1e6
	if raw.Status&staNano != 0 {
		fine = 1e9
	}
	return Timex{
		Synchronized:      state != timeError,
		Status:            raw.Status,
		Offset:            float64(raw.Offset) / fine,
		MaxError:          float64(raw.Maxerror) / 1e6,
		EstimatedError:    float64(raw.Esterror) / 1e6,
		FrequencyRatio:    1 + float64(raw.Freq)/ppm16,
		Tick:              float64(raw.Tick) / 1e6,
		TAIOffset:         raw.Tai,
		LoopTimeConstant:  float64(raw.Constant),
		PPSFrequencyHertz: float64(raw.Ppsfreq) / ppm16,
		PPSJitter:         float64(raw.Jitter) / fine,
		PPSShift:          raw.Shift,
		PPSStabilityHertz: float64(raw.Stabil) / ppm16,
		PPSJitters:        float64(raw.Jitcnt),
		PPSCalibrations:   float64(raw.Calcnt),
		PPSErrors:         float64(raw.Errcnt),
		PPSInstabilities:  float64(raw.Stbcnt),
	}
}
