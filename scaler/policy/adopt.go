package policy

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Adopt adds policies that FromLabels found to those of a file, in an order that
// does not depend on theirs. The file wins: where it has a workload or a name
// already, and where two workloads claim the same name, those of labels are left
// out and told of.
func Adopt(file, labelled []App) ([]App, conf.Problems) {
	all := slices.Clone(file)
	var problems conf.Problems
	leave := func(a App, what, hint string) {
		problems = append(problems, conf.Problem{File: "labels of " + a.Target.String(), Path: LabelPrefix + "name", What: what, Hint: hint})
	}
	targets, names, claims := map[string]string{}, map[string]bool{}, map[string]int{}
	for _, a := range file {
		targets[a.Target.String()], names[a.Name] = a.Name, true
	}
	for _, a := range labelled {
		claims[a.Name]++
	}
	sorted := slices.Clone(labelled)
	slices.SortFunc(sorted, func(a, b App) int { return cmp.Compare(a.Target.String(), b.Target.String()) })
	for _, a := range sorted {
		by, taken := targets[a.Target.String()]
		switch {
		case taken:
			leave(a, fmt.Sprintf("the policy %s controls this workload already", conf.Quote(by)), "remove it from the file, or remove the labels")
		case names[a.Name]:
			leave(a, conf.Quote(a.Name)+" is the name of a policy in the file", "give it another name")
		case claims[a.Name] > 1:
			leave(a, conf.Quote(a.Name)+" is claimed by the labels of other workloads, too", "give each its own")
		default:
			targets[a.Target.String()] = a.Name
			all = append(all, a)
		}
	}
	return all, problems
}
