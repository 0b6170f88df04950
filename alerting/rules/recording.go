package rules

import "github.com/prometheus/prometheus/model/rulefmt"

// Recording is the recording rules of the set alone, in groups of the same names.
// Groups without any are left out.
func (s Set) Recording() Set {
	only := Set{groups: map[string]*rulefmt.RuleGroups{}}
	for _, file := range s.files {
		var groups rulefmt.RuleGroups
		for _, g := range s.groups[file].Groups {
			all := g.Rules
			g.Rules = nil
			for _, r := range all {
				if r.Record != "" {
					g.Rules = append(g.Rules, r)
				}
			}
			if len(g.Rules) > 0 {
				groups.Groups = append(groups.Groups, g)
			}
		}
		if len(groups.Groups) > 0 {
			only.files = append(only.files, file)
			only.groups[file] = &groups
		}
	}
	return only
}
