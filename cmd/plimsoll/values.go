package main

import (
	"fmt"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// duration is a flag that also takes days: 15d.
type duration time.Duration

// durationVar adds a duration flag with its default and its least value.
func durationVar(k *kingpin.CmdClause, name, help string, into *time.Duration, byDefault string, least time.Duration) {
	k.Flag(name, help).Default(byDefault).SetValue(&atLeast{(*duration)(into), least})
}

// Set implements kingpin.Value.
func (d *duration) Set(text string) error {
	v, err := conf.ParseDuration(text)
	*d = duration(v)
	return err
}

func (d *duration) String() string { return time.Duration(*d).String() }

// atLeast refuses durations that make no sense.
type atLeast struct {
	*duration
	least time.Duration
}

// Set implements kingpin.Value.
func (a *atLeast) Set(text string) error {
	if err := a.duration.Set(text); err != nil {
		return err
	}
	if got := time.Duration(*a.duration); got < a.least {
		return fmt.Errorf("%v is too short, at least %v", got, a.least)
	}
	return nil
}
