package agent

import (
	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// timexValues are in the order of newHostTimex's series.
func timexValues(read func() (node.Timex, error)) func() ([]float64, error) {
	return func() ([]float64, error) {
		t, err := read()
		if err != nil {
			return nil, err
		}
		synchronized := 0.0
		if t.Synchronized {
			synchronized = 1
		}
		return []float64{
			t.Offset, t.MaxError, t.EstimatedError, t.Tick, float64(t.TAIOffset), t.PPSJitter, float64(t.PPSShift),
			synchronized, float64(t.Status), t.FrequencyRatio, t.LoopTimeConstant, t.PPSFrequencyHertz, t.PPSStabilityHertz,
			t.PPSJitters, t.PPSCalibrations, t.PPSErrors, t.PPSInstabilities,
		}, nil
	}
}

func newHostTimex() *hostValues {
	seconds := func(name, help string, divisor uint32) sample.Series {
		return sample.Series{Metric: &sample.Metric{
			Name: "node_timex_" + name + "_seconds", Help: help, Type: sample.Gauge, Unit: "seconds", Divisor: divisor,
		}}
	}
	count := func(name, help string) sample.Series {
		return sample.Series{Metric: &sample.Metric{Name: "node_timex_pps_" + name + "_total", Help: help, Type: sample.Counter}}
	}
	return &hostValues{newNodeGroup(
		seconds("offset", "How far the clock is from what it is steered to.", 1e9),
		seconds("maxerror", "Bound of the clock's error.", 1e6),
		seconds("estimated_error", "Estimate of the clock's error.", 1e6),
		seconds("tick", "Time between ticks of the clock.", 1e6),
		seconds("tai_offset", "Offset of International Atomic Time from the clock's.", 1),
		seconds("pps_jitter", "Jitter of the pulse per second.", 1e9),
		seconds("pps_shift", "Interval of calibration by the pulse per second: 2 to this power.", 1),
		gauge("node_timex_sync_status", "1 if the clock is synchronized to a reliable one."),
		gauge("node_timex_status", "Status bits of the clock, STA_… in adjtimex(2)."),
		gauge("node_timex_frequency_adjustment_ratio", "The clock's speed as it is steered, by its own."),
		gauge("node_timex_loop_time_constant", "Time constant of the loop that steers the clock."),
		gauge("node_timex_pps_frequency_hertz", "Frequency of the pulse per second."),
		gauge("node_timex_pps_stability_hertz", "Stability of the pulse per second."),
		count("jitter", "Times that the pulse's jitter exceeded its limit."),
		count("calibration", "Intervals of calibration."),
		count("error", "Intervals of calibration that failed."),
		count("stability_exceeded", "Times that the pulse's stability exceeded its limit."),
	)}
}
