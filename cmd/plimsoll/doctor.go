package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/doctor"
	"github.com/plimsoll-io/plimsoll/agent/node"
)

const doctorHelp = `Tell what an agent with these flags could not read on this node, what that costs, and how to have it.

Give it the flags, mounts and rights that the agent has, and apply what it says until nothing is left. It changes nothing, takes ten seconds at most, and ends with 3 if something is lacking:

    docker run --rm --pid=host … plimsoll doctor --path.cgroup=/host/sys/fs/cgroup
    kubectl exec ds/plimsoll-agent -- plimsoll doctor -o json`

// doctorCommand looks at the node in place of an agent, of which it has all
// flags, so that a command line or a file serves both.
type doctorCommand struct {
	agentCommand
	output string
}

func (c *cli) doctor() {
	cmd := &doctorCommand{agentCommand: agentCommand{cli: c}}
	k := c.command("doctor", doctorHelp, cmd.run)
	c.configurable(k)
	k.Flag("output", "text, or json with every check.").Short('o').Default("text").EnumVar(&cmd.output, "text", "json")
	k.Flag("data.path", "Directory for what waits to be sent.").Default("data").StringVar(&cmd.data)
	cmd.joinFlags.add(k)
	k.Flag("web.listen-address", "Where the agent is to serve /metrics; nowhere if empty.").StringVar(&cmd.web)
	k.Flag("web.config.file", "As of the agent; not looked at.").PlaceHolder("FILE").StringVar(&cmd.webConfig)
	k.Flag("insecure", "As of the agent; not looked at.").BoolVar(&cmd.insecure)
	cmd.agentFlags.add(k)
}

func (c *doctorCommand) run(ctx context.Context) error {
	findings := doctor.Run(ctx, c.options())
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err := c.print(findings); err != nil {
		return err
	}
	return verdict(findings)
}

// verdict is an error if something is lacking that could be had.
func verdict(findings []doctor.Finding) error {
	lacking := 0
	for _, f := range findings {
		if f.Found() {
			lacking++
		}
	}
	if lacking > 0 {
		return exitError{exitFindings, fmt.Errorf("%s found", count(lacking, "problem"))}
	}
	return nil
}

func (c *doctorCommand) options() doctor.Options {
	opts := doctor.Options{
		Discover: discover.Options{
			CgroupRoot: c.cgroupfs, RootFS: c.rootfs, DockerRoot: c.dockerRoot, DockerHost: c.dockerHost,
			KubeletURL: c.kubeletURL, KubeletTokenFile: c.kubeletToken, KubeletCAFile: c.kubeletCAFile,
		},
		Roots:       node.Roots{Proc: c.procfs, Sys: c.sysfs, Root: c.rootfs},
		TextfileDir: c.textfiles,
		Disk:        c.disk,
		Bursts:      c.burstTriggers >= 0,
		Scrape:      c.scrape,
		DataPath:    c.data,
		SpoolSize:   int64(c.spoolBytes),
		Collector:   c.likely(),
		Listeners: []doctor.Listener{
			{Flag: "web.listen-address", Network: "tcp", Address: c.web},
			{Flag: "statsd.listen-address", Network: "udp", Address: c.statsd},
			{Flag: "otlp.grpc-listen-address", Network: "tcp", Address: c.otlpGRPC},
			{Flag: "otlp.http-listen-address", Network: "tcp", Address: c.otlpHTTP},
		},
	}
	if c.gpu {
		opts.GPU = []string{gpuHelper}
	}
	return opts
}

func (c *doctorCommand) print(findings []doctor.Finding) error {
	if c.output == "text" {
		return doctor.Write(c.stdout, findings)
	}
	e := json.NewEncoder(c.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(findings)
}
