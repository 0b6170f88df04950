package main

import (
	"context"
	"fmt"

	"github.com/alecthomas/kingpin/v2"

	"github.com/plimsoll-io/plimsoll/internal/conf"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// checkPolicies checks scaling policies.
type checkPolicies struct {
	*cli
	files   []string
	ceiling int
	failOn  string
}

func (c *cli) checkPolicies(parent *kingpin.CmdClause) {
	cmd := &checkPolicies{cli: c}
	k := parent.Command("policies", `Scaling policies: keys, values, queries, two policies on one workload, and what is valid and yet hardly meant, such as thresholds that flap.`)
	c.commands["check policies"] = cmd.run
	k.Arg("file", "Files to check, all together: a workload has one policy.").Required().StringsVar(&cmd.files)
	k.Flag("scaler.absolute-max", "The collector's bound on replicas.").
		Default(fmt.Sprint(policy.DefaultCeiling)).SetValue(number{&cmd.ceiling, 1, maxCeiling})
	failOnVar(k, &cmd.failOn, failOnMistake)
}

func (c *checkPolicies) run(context.Context) error {
	var f findings
	type owner struct{ file, name string }
	owners := map[string]owner{} // of workloads
	for _, file := range c.files {
		doc, problems := readYAML(file)
		var policies *policy.File
		if len(problems) == 0 {
			policies, problems = policy.Load(doc, policy.Options{Ceiling: c.ceiling, CheckQuery: queryFacts()})
		}
		if len(problems) > 0 {
			f.mistakes = append(f.mistakes, problems...)
			continue
		}
		f.warnings = append(f.warnings, policies.Warnings...)
		before := len(f.mistakes)
		for i, a := range policies.Apps {
			target := a.Target.String()
			if o, taken := owners[target]; taken && o.file != file {
				f.mistakes = append(f.mistakes, doc.At(fmt.Sprintf("apps[%d].target", i), conf.Mistake{
					What: fmt.Sprintf("%s is already controlled by %s in %s", target, conf.Quote(o.name), o.file),
					Hint: "one workload takes one policy; put all signals into that one",
				}))
				continue
			}
			owners[target] = owner{file, a.Name}
		}
		if len(policies.Warnings) == 0 && len(f.mistakes) == before {
			fmt.Fprintf(c.stdout, "%s: ok, %s\n", file, count(len(policies.Apps), "policy"))
		}
	}
	return c.tell(nil, f, "", c.failOn)
}

// loadPolicies reads a policy file as the collector does.
func loadPolicies(file string, ceiling int) ([]policy.App, conf.Problems) {
	f, problems := readPolicies(file, policy.Options{Ceiling: ceiling})
	if len(problems) > 0 {
		return nil, problems
	}
	return f.Apps, nil
}

// readPolicies is policy.Load for a file, with a parser for its queries.
func readPolicies(file string, o policy.Options) (*policy.File, conf.Problems) {
	doc, problems := readYAML(file)
	if len(problems) > 0 {
		return nil, problems
	}
	o.CheckQuery = queryFacts()
	return policy.Load(doc, o)
}
