package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// moment is a time, or how long ago it was: 7d, -7d.
func moment(text string, now time.Time) (time.Time, error) {
	if ago, err := conf.ParseDuration(strings.TrimPrefix(text, "-")); err == nil && ago > 0 {
		return now.Add(-ago), nil
	}
	return parseTime(text)
}

// bootTime is how long replicas take to start, or auto.
type bootTime struct {
	known bool
	took  time.Duration
}

// Set implements kingpin.Value.
func (b *bootTime) Set(text string) (err error) {
	if text == "auto" {
		*b = bootTime{}
		return nil
	}
	b.known = true
	b.took, err = conf.ParseDuration(text)
	return err
}

func (b *bootTime) String() string {
	if !b.known {
		return "auto"
	}
	return b.took.String()
}

// perSignal is a flag that takes a number above 0 for each signal, and for the first
// one without its name.
type perSignal map[string]float64

// Set implements kingpin.Value.
func (p *perSignal) Set(text string) error {
	name, number, named := strings.Cut(text, "=")
	if !named {
		name, number = "", text
	}
	v, err := conf.ParseNumber(number)
	if err != nil || !(v > 0) {
		return fmt.Errorf("%s is not a number above 0", conf.Quote(number))
	}
	if *p == nil {
		*p = perSignal{}
	}
	(*p)[name] = v
	return nil
}

func (p *perSignal) String() string { return "" }

// IsCumulative tells kingpin that the flag may be repeated.
func (p *perSignal) IsCumulative() bool { return true }

// first gives what has no name to the first signal, and tells of names that no policy
// has.
func (p *perSignal) first(flag string, contenders []*contender) error {
	known := map[string]bool{}
	var names []string
	for _, c := range contenders {
		for _, s := range c.app.Signals {
			if !known[s.Name] {
				names = append(names, s.Name)
			}
			known[s.Name] = true
		}
	}
	if v, ok := (*p)[""]; ok {
		delete(*p, "")
		if _, twice := (*p)[names[0]]; !twice {
			(*p)[names[0]] = v
		}
	}
	for name := range *p {
		if !known[name] {
			return usage(fmt.Errorf("--%s: there is no signal %s; there is %s", flag, conf.Quote(name), strings.Join(names, ", ")))
		}
	}
	return nil
}
