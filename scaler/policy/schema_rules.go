package policy

import (
	"reflect"
)

// wordsOf are the words that a type may be; nil if any.
func wordsOf(t reflect.Type) []string {
	switch t {
	case reflect.TypeFor[Mode]():
		return []string{string(Advise), string(Active), string(Paused)}
	case reflect.TypeFor[Type]():
		return []string{string(Track), string(Threshold), string(Steps), string(Desired)}
	case reflect.TypeFor[Source]():
		return []string{string(CPU), string(Memory), string(Query)}
	case reflect.TypeFor[Base]():
		return []string{string(Limit), string(Cores), string(Bytes)}
	case reflect.TypeFor[Kind]():
		return []string{string(Utilization), string(Average), string(Total)}
	case reflect.TypeFor[OnEmpty]():
		return []string{string(EmptyInvalid), string(EmptyZero)}
	case reflect.TypeFor[EventBase]():
		return []string{string(SameHourLastWeek), string(P95SevenDays)}
	case reflect.TypeFor[Season]():
		return []string{string(Daily), string(Weekly), string(AutoSeason)}
	case reflect.TypeFor[FallbackAction]():
		return []string{string(Exactly), string(AtLeast)}
	case reflect.TypeFor[DuringUpdate]():
		return []string{string(HoldIn), string(HoldAll)}
	}
	return nil
}

// limits are what bounds values, by the path of their key in a policy. The ceiling
// of replicas is the scaler's, and not known to a file.
func limits() map[string]object {
	name := object{"pattern": appName.String()}
	between := func(least, most float64) object { return object{"minimum": least, "maximum": most} }
	return map[string]object{
		"name":                       name,
		"min":                        {"minimum": 0},
		"max":                        {"minimum": 1},
		"target.driver":              {"enum": []string{"swarm"}},
		"target.service":             {"pattern": serviceName.String()},
		"signals":                    {"minItems": 1, "maxItems": maxSignals},
		"signals[].name":             name,
		"signals[].query":            {"pattern": `\S`},
		"signals[].guard":            {"pattern": `\S`},
		"signals[].step_out":         between(1, maxStep),
		"signals[].step_in":          between(1, maxStep),
		"signals[].samples":          between(1, maxSamples),
		"signals[].rows":             {"minItems": 1, "maxItems": maxRows},
		"signals[].rows[].set":       {"minimum": 1},
		"signals[].saturation.boost": between(1, 10),
		"out.rate[].replicas":        {"minimum": 0},
		"in.rate[].replicas":         {"minimum": 0},
		"panic.threshold":            between(1.1, 10),
		"panic.max_add":              {"minimum": 0},
		"fallback.replicas":          {"minimum": 1},
		"budget.changes":             between(1, 10_000),
		"schedules":                  {"maxItems": maxWindows},
		"schedules[].name":           name,
		"schedules[].cron":           {"pattern": `^\s*[^\s@=]+(\s+[^\s@=]+){4}\s*$`},
		"schedules[].at":             {"format": "date-time", "pattern": `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}`},
		"schedules[].floor":          {"minimum": 1},
		"schedules[].ceiling":        {"minimum": 1},
		"schedules[].exact":          {"minimum": 1},
		"events":                     {"maxItems": maxWindows},
		"events[].name":              name,
		"events[].at":                {"format": "date-time", "pattern": `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}`},
		"events[].factor":            {"exclusiveMinimum": 0, "maximum": 1000},
		"forecast.quantile":          between(0.5, 0.99),
		"forecast.max_factor":        between(1, 10),
		"allow_zero.activation":      {"minimum": 0},
		"needs.cpu":                  between(0, 1024),
		"needs.gpu":                  between(0, 64),
	}
}

func required(keys ...string) object { return object{"required": keys} }

func not(o object) object { return object{"not": o} }

// without is that none of the keys is there.
func without(keys ...string) object {
	none := object{}
	for _, key := range keys {
		none[key] = false
	}
	return object{"properties": none}
}

// is is that keys have the values, pairs of both; those after "?" may be absent.
func is(pairs ...string) object {
	values, must := object{}, []string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		key, optional := pairs[i], pairs[i][0] == '?'
		if optional {
			key = key[1:]
		} else {
			must = append(must, key)
		}
		values[key] = object{"const": pairs[i+1]}
	}
	return object{"properties": values, "required": must}
}

func when(condition, then object) object { return object{"if": condition, "then": then} }

func all(rules ...object) object { return object{"allOf": rules} }

// structRules are what the keys of a type have to do with one another.
func structRules() map[reflect.Type]object {
	return map[reflect.Type]object{
		reflect.TypeFor[Signal]():   {"required": []string{"source"}, "allOf": signalRules()},
		reflect.TypeFor[Row]():      {"oneOf": rowRules()},
		reflect.TypeFor[Rate]():     {"required": []string{"per"}, "anyOf": []object{required("replicas"), required("percent")}},
		reflect.TypeFor[Fallback](): {"required": []string{"replicas"}},
		reflect.TypeFor[Budget]():   {"required": []string{"changes"}},
		reflect.TypeFor[Needs]():    {"minProperties": 1},
		reflect.TypeFor[Event]():    {"required": []string{"name", "at", "duration", "factor"}},
		reflect.TypeFor[Schedule](): {
			"required": []string{"name", "duration"},
			"oneOf":    []object{all(required("cron", "tz"), without("at")), all(required("at"), without("cron", "tz"))},
			"anyOf":    []object{required("floor"), required("ceiling"), required("exact")},
			"allOf":    []object{when(required("exact"), without("floor", "ceiling"))},
		},
	}
}

func rowRules() []object {
	one := func(key string) object { return object{"oneOf": []object{required(key), required("set")}} }
	return []object{
		all(required("above"), without("below", "remove"), one("add")),
		all(required("below"), without("above", "add"), one("remove")),
	}
}

// signalRules are which keys apply, which are needed, and in which units.
func signalRules() []object {
	var rules []object
	for _, t := range []Type{Track, Threshold, Steps, Desired} {
		for _, source := range []Source{CPU, Memory, Query} {
			kind := "type"
			if t == Track {
				kind = "?type"
			}
			this := is(kind, string(t), "source", string(source))
			if t == Desired && source != Query {
				rules = append(rules, when(this, object{"properties": object{"source": object{"const": string(Query)}}}))
				continue
			}
			var idle []string
			for _, key := range special {
				if !appliesEver(t, source, key) {
					idle = append(idle, key)
				}
			}
			needs := map[Type][]string{Track: {"target"}, Threshold: {"max", "min"}, Steps: {"rows"}}[t]
			if source == Query {
				needs = append(needs, "query")
			}
			rules = append(rules, when(this, all(without(idle...), required(needs...))))
		}
	}
	rules = append(rules,
		when(is("source", string(CPU)), object{"properties": object{"of": object{"enum": []Base{Limit, Cores}}}}),
		when(is("source", string(Memory)), object{"properties": object{"of": object{"enum": []Base{Limit, Bytes}}}}),
		when(is("source", string(Query), "?kind", string(Total)), without("coverage")),
		when(is("of", string(Cores)), without("saturation")),
		when(is("on_empty", string(EmptyZero)), required("guard")),
		when(required("guard"), is("on_empty", string(EmptyZero))),
		// A bare 60 for 60% is the slip that costs most.
		when(is("source", string(CPU), "?of", string(Limit)), measured(Share)),
		when(is("source", string(Memory), "?of", string(Limit)), measured(Share)),
		when(is("source", string(CPU), "of", string(Cores)), measured(Plain)),
		when(is("source", string(Memory), "of", string(Bytes)), measured(Size)),
		when(is("source", string(Query), "?type", string(Track), "kind", string(Utilization)), measured(Share)),
		when(all(is("source", string(Query), "?type", string(Track)), not(is("kind", string(Utilization)))), measured(Plain, Size)),
	)
	return rules
}

// appliesEver tells whether a key may mean something for a type and source.
func appliesEver(t Type, source Source, key string) bool {
	for _, of := range []Base{Limit, Cores} {
		for _, kind := range []Kind{Average, Total} {
			if s := (Signal{Type: t, Source: source, Of: of, Kind: kind}); s.applies(key) {
				return true
			}
		}
	}
	return false
}

// measured are the units of what a signal compares.
func measured(units ...Unit) object {
	unit := amounts(units...)
	return object{"properties": object{
		"target": unit, "max": unit, "min": unit,
		"rows": object{"items": object{"properties": object{"above": unit, "below": unit}}},
	}}
}

// appRules are those of a policy that hold wherever its keys come from.
func appRules() []object {
	return []object{
		when(required("allow_zero", "min"), object{"properties": object{"min": object{"const": 0}}}),
	}
}

// fileRules are what a policy must have, unless the file has defaults that do.
func fileRules() []object {
	apps := func(item object) object { return object{"properties": object{"apps": object{"items": item}}} }
	var rules []object
	for _, key := range []string{"target", "max", "signals"} {
		given := object{"properties": object{"defaults": required(key)}, "required": []string{"defaults"}}
		rules = append(rules, object{"if": given, "else": apps(required(key))})
	}
	return append(rules, object{"if": required("defaults"), "else": apps(object{
		"properties": object{"target": required("driver", "service")},
		"allOf": []object{
			when(object{"properties": object{"min": object{"const": 0}}, "required": []string{"min"}}, required("allow_zero")),
			when(required("allow_zero"), required("min")),
		},
	})})
}
