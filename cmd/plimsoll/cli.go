package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// cli is the command line: one kingpin application whose flags may also come
// from the environment and from a YAML file.
type cli struct {
	app            *kingpin.Application
	stdout, stderr io.Writer
	commands       map[string]func(context.Context) error
	logConfig      promslog.Config
	configFile     string
	hangup         <-chan os.Signal // asks for a reload
	ended          bool             // kingpin has answered by itself: --help
}

const about = `Container monitoring and autoscaling in one binary.

Try it on this machine, without any configuration:

    plimsoll up

Every flag --a.b-c can also be given as the environment variable
PLIMSOLL_A_B_C, or in the file named by --config.file as YAML (a: {b-c: …}).
A flag wins over the environment, and that over the file.

Exit codes: 0 ok, 1 failure, 2 usage, 3 findings, 4 limit exceeded, 5 unreachable.`

func newCLI(stdout, stderr io.Writer, hangup <-chan os.Signal) *cli {
	c := &cli{stdout: stdout, stderr: stderr, hangup: hangup, commands: map[string]func(context.Context) error{}}
	c.app = kingpin.New("plimsoll", about).UsageWriter(stdout).ErrorWriter(stderr).DefaultEnvars()
	c.app.Terminate(func(int) { c.ended = true })
	c.app.HelpFlag.Short('h')
	c.logConfig = promslog.Config{Writer: stderr}
	promslogflag.AddFlags(c.app, &c.logConfig)

	c.up()
	c.agent()
	c.collector()
	c.check()
	c.schema()
	c.test()
	c.rules()
	c.doctor()
	c.explain()
	c.journal()
	c.backtest()
	c.scaler()
	c.alert()
	c.silence()
	c.tokens()
	c.nodes()
	c.authority()
	c.snapshot()
	c.gpuHelper()
	c.version()
	return c
}

// command adds a subcommand. Flags are added to what it returns.
func (c *cli) command(name, help string, run func(context.Context) error) *kingpin.CmdClause {
	c.commands[name] = run
	return c.app.Command(name, help)
}

// configurable adds --config.file to a subcommand.
func (c *cli) configurable(k *kingpin.CmdClause) {
	k.Flag(configFlag, "YAML file with the values of flags that are not given otherwise.").
		PlaceHolder("FILE").StringVar(&c.configFile)
}

func (c *cli) log() *slog.Logger { return promslog.New(&c.logConfig) }

// run parses args and does what they say.
func (c *cli) run(ctx context.Context, args []string) error {
	if err := c.readConfigFile(args); err != nil {
		return err
	}
	name, err := c.app.Parse(args)
	switch {
	case errors.Is(err, kingpin.ErrCommandNotSpecified) && !slices.Contains(args, "--help") && !slices.Contains(args, "-h"):
		return usage(errors.New("no command given, try: plimsoll up"))
	case c.ended:
		return nil
	case err != nil:
		return usage(c.explainMistake(err, args))
	}
	return c.commands[name](ctx)
}

// explainMistake adds to kingpin's words what to do about it.
func (c *cli) explainMistake(err error, args []string) error {
	what := err.Error()
	if flag, ok := strings.CutPrefix(what, "unknown long flag '--"); ok {
		flag = strings.TrimSuffix(flag, "'")
		if near := conf.Nearest(flag, c.flagNames(args)); near != "" {
			return fmt.Errorf("unknown flag --%s, did you mean --%s?", flag, near)
		}
		return fmt.Errorf("unknown flag --%s, see plimsoll --help", flag)
	}
	if strings.HasPrefix(what, "expected command but got ") {
		typed := strings.Trim(strings.TrimPrefix(what, "expected command but got "), `"`)
		names := make([]string, 0, len(c.commands))
		for name := range c.commands {
			names = append(names, name)
		}
		if near := conf.Nearest(typed, names); near != "" {
			return fmt.Errorf("unknown command %q, did you mean %q?", typed, near)
		}
		return fmt.Errorf("unknown command %q, see plimsoll --help", typed)
	}
	return err
}
