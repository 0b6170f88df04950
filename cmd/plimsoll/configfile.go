package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/alecthomas/kingpin/v2"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

const configFlag = "config.file"

// readConfigFile gives the flags that args leave open the values of the file
// that args or the environment name, as if they were the flags' defaults: a
// flag --a.b is the key b in the map a.
func (c *cli) readConfigFile(args []string) error {
	// A second command line tells what is selected and takes trial values.
	trial := newCLI(io.Discard, io.Discard, nil)
	parsed, err := trial.app.ParseContext(args)
	if err != nil || parsed.SelectedCommand == nil {
		return nil // the real parse will say so
	}
	name := parsed.SelectedCommand.Model().Name
	if err := trial.checkValues(parsed); err != nil {
		return err
	}
	file := configFile(parsed)
	if file == "" {
		return nil
	}
	_, problems := c.applyConfigFile(name, trial.flag, file)
	return problems.Err()
}

// checkValues tries each value that was typed, or is in the environment, on its
// flag, so that a mistake is reported under the name of the flag or variable.
func (c *cli) checkValues(parsed *kingpin.ParseContext) error {
	for _, e := range parsed.Elements {
		if f, ok := e.Clause.(*kingpin.FlagClause); ok && e.Value != nil {
			if err := f.Model().Value.Set(*e.Value); err != nil {
				return usage(fmt.Errorf("--%s=%s: %w", f.Model().Name, *e.Value, err))
			}
		}
	}
	for _, f := range slices.Concat(parsed.SelectedCommand.Model().Flags, c.app.Model().Flags) {
		value := os.Getenv(f.Envar)
		if f.Envar == "" || value == "" {
			continue
		}
		if err := f.Value.Set(value); err != nil {
			return usage(fmt.Errorf("environment variable %s=%q: %w", f.Envar, value, err))
		}
	}
	return nil
}

func configFile(parsed *kingpin.ParseContext) string {
	for _, e := range parsed.Elements {
		if f, ok := e.Clause.(*kingpin.FlagClause); ok && f.Model().Name == configFlag && e.Value != nil {
			return *e.Value
		}
	}
	if f := parsed.SelectedCommand.GetFlag(configFlag); f != nil {
		return os.Getenv(f.Model().Envar)
	}
	return ""
}

// applyConfigFile makes the values of a file the defaults of the flags of a
// subcommand, and returns how many there were. trial looks flags up on a
// command line that is thrown away.
func (c *cli) applyConfigFile(
	command string, trial func(command, flag string) *kingpin.FlagClause, file string,
) (int, conf.Problems) {
	doc, problems := readYAML(file)
	if len(problems) > 0 {
		return 0, problems
	}
	leaves, problems := doc.Leaves()
	names := c.flagsOf(command)
	for _, leaf := range leaves {
		flag := trial(command, leaf.Path)
		if leaf.Path == configFlag || !slices.Contains(names, leaf.Path) {
			m := conf.Mistake{What: "unknown key", Hint: "see plimsoll " + command + " --help"}
			if near := conf.Nearest(leaf.Path, names); near != "" {
				m.Hint = fmt.Sprintf("did you mean %q?", near)
			}
			problems = append(problems, doc.At(leaf.Path, m))
			continue
		}
		for _, value := range leaf.Values {
			if err := flag.Model().Value.Set(value); err != nil {
				problems = append(problems, doc.At(leaf.Path, mistake(value, err)))
			}
		}
		c.flag(command, leaf.Path).Default(leaf.Values...)
	}
	problems.Sort()
	return len(leaves), problems
}

// mistake is what a flag said of a value, as a mistake in a file.
func mistake(value string, err error) conf.Mistake {
	if m, ok := errors.AsType[conf.Mistake](err); ok {
		return m
	}
	return conf.Mistake{What: "does not take " + conf.Quote(value), Hint: err.Error()}
}

// readYAML parses a file that a person wrote.
func readYAML(file string) (*conf.Doc, conf.Problems) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, conf.Problems{{File: file, What: "cannot be read: " + errors.Unwrap(err).Error(), Hint: "check the path and its permissions"}}
	}
	doc, err := conf.Parse(file, data)
	if problems, ok := errors.AsType[conf.Problems](err); ok {
		return nil, problems
	}
	return doc, nil
}

// flag finds a flag of a subcommand or of all, or nil.
func (c *cli) flag(command, name string) *kingpin.FlagClause {
	if f := c.app.GetCommand(command).GetFlag(name); f != nil {
		return f
	}
	return c.app.GetFlag(name)
}

// flagsOf are the names of the flags of a subcommand and of all.
func (c *cli) flagsOf(command string) []string {
	var names []string
	for _, f := range slices.Concat(c.app.GetCommand(command).Model().Flags, c.app.Model().Flags) {
		if !f.Hidden && f.Name != "help" { // what kingpin answers by itself is no setting
			names = append(names, f.Name)
		}
	}
	return names
}

// flagValues are the settings of a subcommand as they are in force.
func (c *cli) flagValues(command string) map[string]string {
	values := map[string]string{}
	for _, name := range c.flagsOf(command) {
		values[name] = c.flag(command, name).Model().Value.String()
	}
	return values
}

// flagNames are the names of the flags that args could have meant.
func (c *cli) flagNames(args []string) []string {
	for _, a := range args {
		if c.app.GetCommand(a) != nil {
			return c.flagsOf(a)
		}
	}
	return nil
}
