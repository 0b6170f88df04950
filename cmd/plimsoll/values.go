package main

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/plimsoll-io/plimsoll/agent/shard"
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

// orNone also takes 0, which turns something off.
type orNone struct{ atLeast }

// Set implements kingpin.Value.
func (o *orNone) Set(text string) error {
	if err := o.duration.Set(text); err == nil && *o.duration == 0 {
		return nil
	}
	return o.atLeast.Set(text)
}

// number is a flag that takes a whole number within bounds.
type number struct {
	into        *int
	least, most int
}

// Set implements kingpin.Value.
func (n number) Set(text string) error {
	v, err := strconv.Atoi(text)
	if err != nil || v < n.least || v > n.most {
		return fmt.Errorf("%s is not a number from %d to %d", conf.Quote(text), n.least, n.most)
	}
	*n.into = v
	return nil
}

func (n number) String() string { return strconv.Itoa(*n.into) }

// address is a flag that takes the URL of something that speaks HTTP.
type address struct{ into **url.URL }

// Set implements kingpin.Value.
func (a address) Set(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%s is not an address by HTTP, write it like http://127.0.0.1:9900", conf.Quote(text))
	}
	*a.into = u
	return nil
}

func (a address) String() string {
	if *a.into == nil {
		return ""
	}
	return (*a.into).Redacted()
}

// shards is a flag that takes the collectors of a fleet.
type shards struct{ into *[]shard.Shard }

// Set implements kingpin.Value.
func (s shards) Set(text string) (err error) {
	*s.into, err = shard.Parse(text)
	return err
}

func (s shards) String() string {
	var list []string
	for _, one := range *s.into {
		list = append(list, one.Name+"="+strings.Join(one.Addresses, "+"))
	}
	return strings.Join(list, ",")
}
