// Command load sends what 1,000 containers have to say, in one of the ways that
// there are, to a receiver that somebody else measures.
//
//	load -by push -to 127.0.0.1:9901 -dir /tmp/spools
//
// It does nothing by itself: each number on its standard input is how many
// rounds to send, and each line of its standard output is a report, in JSON,
// that comes once the receiver has them all. The end of its input is its end.
//
//	push    our agents: a spool on disk and a stream for each node
//	rw1     Prometheus remote write 1.0: a request for each node and round
//	rw2     the same, 2.0
//	expose  a target for each node, to be scraped
//	raw     no receiver: appends to a TSDB of its own
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// report is what has been sent so far.
type report struct {
	Samples  int
	Sent     int64 // bytes to the receiver, as TCP carries them
	Answered int64 // bytes back
}

// sender sends a fleet in one of the ways.
type sender interface {
	// send returns once the receiver has all rounds up to, but not including, that.
	send(ctx context.Context, until int) error
	report() report
	close() error
}

func main() {
	var s shape
	flag.IntVar(&s.nodeCount, "nodes", 20, "nodes")
	flag.IntVar(&s.containers, "containers", 1000, "containers, of all nodes")
	flag.IntVar(&s.rounds, "rounds", 10, "rounds there are")
	flag.DurationVar(&s.interval, "interval", 10*time.Second, "from round to round")
	flag.BoolVar(&s.busy, "busy", false, "all containers are at work, not a third of them")
	by := flag.String("by", "", "push, rw1, rw2, expose or raw")
	to := flag.String("to", "", "address of the receiver; expose listens there")
	dir := flag.String("dir", "", "an empty directory, for what is kept on disk")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, s, *by, *to, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, s shape, by, to, dir string) (err error) {
	f, start := newFleet(s), time.Now()
	var snd sender
	switch by {
	case "push":
		snd, err = newPusher(f, start, to, dir)
	case "rw1":
		snd = newWriter(f, start, to, version1)
	case "rw2":
		snd = newWriter(f, start, to, version2)
	case "expose":
		snd, err = newExposer(f, to)
	case "raw":
		snd, err = newRaw(f, start, dir)
	default:
		err = fmt.Errorf("-by %q: choose push, rw1, rw2, expose or raw", by)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snd.close()) }()

	answers := json.NewEncoder(out)
	if err := answers.Encode(snd.report()); err != nil { // it is ready
		return err
	}
	until := 0
	for lines := bufio.NewScanner(in); lines.Scan(); {
		n, err := strconv.Atoi(strings.TrimSpace(lines.Text()))
		if err != nil || n < 0 || until+n > s.rounds {
			return fmt.Errorf("asked to send %q rounds; %d are left", lines.Text(), s.rounds-until)
		}
		until += n
		if err := snd.send(context.Background(), until); err != nil {
			return fmt.Errorf("send by %s: %w", by, err)
		}
		if err := answers.Encode(snd.report()); err != nil {
			return err
		}
	}
	return nil
}
