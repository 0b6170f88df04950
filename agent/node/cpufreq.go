package node

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Frequency is how fast a CPU is clocked, in kHz.
type Frequency struct {
	CPU               int
	Current, Min, Max Number // as its governor sees and bounds it
}

// Frequencies reads /sys/devices/system/cpu/cpu*/cpufreq, in the order of the
// CPUs. To ask for the current one may take milliseconds for each CPU: some
// drivers measure it. The error wraps fs.ErrNotExist where no CPU can be
// clocked differently, as on most virtual machines.
func (r Roots) Frequencies() ([]Frequency, error) {
	dirs, err := filepath.Glob(r.sys("devices/system/cpu/cpu[0-9]*/cpufreq"))
	if err != nil {
		return nil, err
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("%s: %w", r.sys("devices/system/cpu/cpu*/cpufreq"), fs.ErrNotExist)
	}
	var all []Frequency
	var errs []error
	for _, dir := range dirs {
		id, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(filepath.Dir(dir)), "cpu"))
		if err != nil {
			continue
		}
		f := Frequency{CPU: id}
		for name, into := range map[string]*Number{"cur": &f.Current, "min": &f.Min, "max": &f.Max} {
			n, err := attribute(filepath.Join(dir, "scaling_"+name+"_freq"))
			switch {
			case err == nil:
				*into = n
			case errors.Is(err, ErrFormat) || errors.Is(err, fs.ErrNotExist):
				// "<unsupported>", or a driver without it
			default:
				errs = append(errs, err)
			}
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b Frequency) int { return cmp.Compare(a.CPU, b.CPU) })
	return all, errors.Join(errs...)
}
