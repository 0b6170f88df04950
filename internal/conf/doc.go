// Package conf reads configuration files: strictly, with every mistake of a
// file reported at once, each with its place, what is wrong and what to do.
//
// A file is YAML, one document of at most 1 MiB. Beyond YAML's own rules it
// has no tags, no directives, no duplicate keys and no keys that nothing reads;
// durations, percentages and sizes carry their unit. Anchors, aliases and
// merge keys work as long as what they expand to stays small.
//
//	doc, err := conf.Parse(name, data)
//	problems := doc.Decode(&settings)                             // form
//	if settings.Port == 0 {                                       // meaning
//		problems = append(problems, doc.At("port", conf.Mistake{What: "must be above 0"}))
//	}
//	return problems.Err()
package conf

// Doc is a parsed file.
type Doc struct {
	file  string
	lines []string // of the file as it was read, for showing a place
	root  *node    // always a mapping

	from, heir string // what Inherit was told
}
