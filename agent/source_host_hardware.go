package agent

import (
	"regexp"
	"strconv"

	"github.com/plimsoll-io/plimsoll/agent/node"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

func newHostFrequencies() *hostTable[node.Frequency] {
	hertz := func(which, help string) sample.Series {
		return gauge("node_cpu_scaling_frequency_"+which+"hertz", help)
	}
	series := []sample.Series{
		hertz("", "The CPU's frequency now."),
		hertz("min_", "Lowest frequency its governor may choose."),
		hertz("max_", "Highest frequency its governor may choose."),
	}
	return newHostTable("cpu", series,
		func(f *node.Frequency) string { return strconv.Itoa(f.CPU) },
		func(f *node.Frequency) []float64 {
			v := valuesOf(f.Current, f.Min, f.Max)
			for i := range v {
				if !sample.IsAbsent(v[i]) {
					v[i] *= 1000
				}
			}
			return v
		})
}

// hostChips makes series of what watches the hardware.
type hostChips struct {
	ledger
	kinds       [node.NumSensorKinds]*sample.Metric
	chip, label *sample.Metric
}

func newHostChips() *hostChips {
	metric := func(name, help string) *sample.Metric {
		return &sample.Metric{Name: "node_hwmon_" + name, Help: help, Type: sample.Gauge}
	}
	return &hostChips{
		kinds: [node.NumSensorKinds]*sample.Metric{
			node.TempInput:    metric("temp_celsius", "Temperature."),
			node.TempMax:      metric("temp_max_celsius", "Temperature above which the sensor warns."),
			node.TempCrit:     metric("temp_crit_celsius", "Temperature that is critical."),
			node.TempCritHyst: metric("temp_crit_hyst_celsius", "Temperature below which what was critical is over."),
			node.FanInput:     metric("fan_rpm", "Speed of the fan, in rotations per minute."),
			node.FanMin:       metric("fan_min_rpm", "Speed of the fan below which the sensor warns."),
			node.FanMax:       metric("fan_max_rpm", "Speed of the fan above which the sensor warns."),
		},
		chip:  metric("chip_names", "Always 1; the label chip_name is what the driver calls the chip."),
		label: metric("sensor_label", "Always 1; the label says what the sensor is at."),
	}
}

func (s *hostChips) add(b *sample.Batch, chips []node.Chip) error {
	for _, c := range chips {
		chip := sample.Label{Name: "chip", Value: c.ID}
		if c.Name != "" {
			s.put(b, s.chip, 1, chip, sample.Label{Name: "chip_name", Value: c.Name})
		}
		for _, sensor := range c.Sensors {
			at := sample.Label{Name: "sensor", Value: sensor.Name}
			if sensor.Label != "" {
				s.put(b, s.label, 1, chip, sample.Label{Name: "label", Value: sensor.Label}, at)
			}
			for _, v := range sensor.Values {
				s.put(b, s.kinds[v.Kind], v.Value, chip, at)
			}
		}
	}
	s.settle(b)
	return nil
}

// hostDisks tells what each disk is.
type hostDisks struct {
	ledger
	info    *sample.Metric
	leftOut *regexp.Regexp
}

func newHostDisks() *hostDisks {
	return &hostDisks{
		info:    &sample.Metric{Name: "node_disk_info", Help: "Always 1; the labels are what udev and the kernel say of the disk.", Type: sample.Gauge},
		leftOut: regexp.MustCompile(`^(ram|zram|loop|fd)[0-9]+$`), // the partitions that nodeDisks leaves out are not in /sys/block
	}
}

func (s *hostDisks) add(b *sample.Batch, disks []node.BlockDevice) error {
	for _, d := range disks {
		if s.leftOut.MatchString(d.Name) {
			continue
		}
		s.put(b, s.info, 1, told([]sample.Label{
			{Name: "device", Value: d.Name},
			{Name: "major", Value: d.Major},
			{Name: "minor", Value: d.Minor},
			{Name: "model", Value: d.Model},
			{Name: "path", Value: d.Path},
			{Name: "revision", Value: d.Revision},
			{Name: "rotational", Value: d.Rotational},
			{Name: "serial", Value: d.Serial},
			{Name: "wwn", Value: d.WWN},
		})...)
	}
	s.settle(b)
	return nil
}

// told are the labels that have a value: to Prometheus an empty one is none.
func told(labels []sample.Label) []sample.Label {
	kept := labels[:0]
	for _, l := range labels {
		if l.Value != "" {
			kept = append(kept, l)
		}
	}
	return kept
}
