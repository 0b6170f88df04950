package node

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Chip is a chip that watches the hardware.
type Chip struct {
	ID      string // by where it is plugged in; stays when others come and go
	Name    string // by its driver
	Sensors []Sensor
}

// Sensor is one thing that a chip measures.
type Sensor struct {
	Name   string // temp1, fan2
	Label  string // what it is glued to; empty if the driver does not say
	Values []SensorValue
}

// SensorValue is a measurement or a limit of it, in °C or rotations per minute.
type SensorValue struct {
	Kind  SensorKind
	Value float64
}

// SensorKind tells measurements and limits apart.
type SensorKind int

// What is read of temperatures and of fans.
const (
	TempInput SensorKind = iota
	TempMax
	TempCrit
	TempCritHyst // below it, what was critical no longer is
	FanInput
	FanMin
	FanMax
	NumSensorKinds
)

// Chips reads /sys/class/hwmon: temperatures and fans. Some drivers ask the
// hardware over a slow bus. A sensor that does not answer has no value.
func (r Roots) Chips() ([]Chip, error) {
	dir := r.sys("class/hwmon")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []Chip
	for _, e := range entries {
		chip, err := readChip(filepath.Join(dir, e.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return all, err
		}
		if len(chip.Sensors) > 0 {
			all = append(all, chip)
		}
	}
	return all, nil
}

func readChip(dir string) (Chip, error) {
	chip := Chip{ID: chipID(dir)}
	chip.Name, _ = text(filepath.Join(dir, "name"))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return chip, err
	}
	at := make(map[string]int)
	for _, e := range entries {
		name, what, ok := strings.Cut(e.Name(), "_")
		kind, known := sensorKind(name, what)
		if !ok || !known {
			continue
		}
		value, err := text(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // ENODATA, EIO: it does not answer
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		if kind < FanInput {
			n /= 1000
		}
		i, seen := at[name]
		if !seen {
			i = len(chip.Sensors)
			at[name] = i
			s := Sensor{Name: name}
			s.Label, _ = text(filepath.Join(dir, name+"_label"))
			chip.Sensors = append(chip.Sensors, s)
		}
		chip.Sensors[i].Values = append(chip.Sensors[i].Values, SensorValue{kind, n})
	}
	return chip, nil
}

// sensorKind takes a file such as temp1_input apart. See
// https://docs.kernel.org/hwmon/sysfs-interface.html.
func sensorKind(name, what string) (SensorKind, bool) {
	switch digits := strings.TrimLeft(name, "abcdefghijklmnopqrstuvwxyz"); {
	case digits == "":
		return 0, false
	case strings.TrimSuffix(name, digits) == "temp":
		kind, ok := map[string]SensorKind{"input": TempInput, "max": TempMax, "crit": TempCrit, "crit_hyst": TempCritHyst}[what]
		return kind, ok
	case strings.TrimSuffix(name, digits) == "fan":
		kind, ok := map[string]SensorKind{"input": FanInput, "min": FanMin, "max": FanMax}[what]
		return kind, ok
	}
	return 0, false
}

var notInChipIDs = regexp.MustCompile(`[^a-z0-9:_]`)

// chipID is what node_exporter calls a chip: bus and device where it has them,
// such as platform_coretemp_0, else its driver's name, else its number.
func chipID(dir string) string {
	clean := func(s string) string {
		return strings.Trim(notInChipIDs.ReplaceAllLiteralString(strings.ToLower(s), "_"), "_")
	}
	if device, err := filepath.EvalSymlinks(filepath.Join(dir, "device")); err == nil {
		bus, name := clean(filepath.Base(filepath.Dir(device))), clean(filepath.Base(device))
		if bus != "" && name != "" {
			return bus + "_" + name
		}
		if name != "" {
			return name
		}
	}
	if name, err := text(filepath.Join(dir, "name")); err == nil && clean(name) != "" {
		return clean(name)
	}
	return clean(filepath.Base(dir))
}
