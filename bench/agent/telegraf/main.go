// Command telegraf is Telegraf with its cgroup input and its Prometheus output
// alone.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/influxdata/telegraf/agent"
	"github.com/influxdata/telegraf/config"
	_ "github.com/influxdata/telegraf/plugins/inputs/cgroup"
	_ "github.com/influxdata/telegraf/plugins/outputs/prometheus_client"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(file string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c := config.NewConfig()
	if err := c.LoadConfig(file); err != nil {
		return err
	}
	return agent.NewAgent(c).Run(ctx)
}
