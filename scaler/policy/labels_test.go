package policy_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// readLabels reads a file with a label on each line.
func readLabels(t testing.TB, file string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"com.docker.stack.namespace": "shop"}
	for line := range strings.Lines(string(data)) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !ok {
			t.Fatalf("%s: %q is no label", file, line)
		}
		labels[key] = value
	}
	return labels
}

func TestLabelsGiveWhatTheFileGives(t *testing.T) {
	for name, want := range examples(t) {
		t.Run(name, func(t *testing.T) {
			got := policy.FromLabels(want.Target, readLabels(t, filepath.Join("testdata", "examples", name+".labels")), allDrivers)
			if got == nil || len(got.Problems) > 0 || len(got.Warnings) > 0 {
				t.Fatalf("%+v", got)
			}
			if diff := cmp.Diff(want, got.App, same); diff != "" {
				t.Errorf("(-file +labels):\n%s", diff)
			}
		})
	}
}

var web = policy.Target{Driver: "swarm", Service: "shop_web"}

func TestAWorkloadWithoutSuchLabelsHasNoPolicy(t *testing.T) {
	for _, labels := range []map[string]string{nil, {}, {"com.docker.stack.namespace": "shop", "plimsoll.scaler": "x", "aliyun.log": "y"}} {
		if got := policy.FromLabels(web, labels, policy.Options{}); got != nil {
			t.Errorf("%v: %+v", labels, got)
		}
	}
}

func TestAPolicyInLabelsIsCalledLikeItsWorkload(t *testing.T) {
	labels := map[string]string{"plimsoll.scale.max": "5", "plimsoll.scale.signals.cpu.source": "cpu", "plimsoll.scale.signals.cpu.target": "60%"}
	got := policy.FromLabels(web, labels, policy.Options{})
	if len(got.Problems) > 0 || got.App.Name != "shop_web" || got.App.Mode != policy.Advise || got.App.Target != web {
		t.Errorf("%+v", got)
	}
	kube := policy.Target{Driver: "kubernetes", Namespace: "shop", Kind: "Deployment", Name: "web"}
	if got := policy.FromLabels(kube, labels, allDrivers); got.App.Name != "shop-Deployment-web" || got.App.Target != kube {
		t.Errorf("%+v", got)
	}
}

func TestItemsOfAListGoByNameOrByPosition(t *testing.T) {
	one := policy.FromLabels(web, map[string]string{
		"plimsoll.scale.max":              "5",
		"plimsoll.scale.signals.z.source": "cpu", "plimsoll.scale.signals.z.target": "60%",
		"plimsoll.scale.signals.a.source": "memory", "plimsoll.scale.signals.a.target": "70%",
	}, policy.Options{})
	two := policy.FromLabels(web, map[string]string{
		"plimsoll.scale.max":              "5",
		"plimsoll.scale.signals.0.source": "memory", "plimsoll.scale.signals.0.target": "70%", "plimsoll.scale.signals.0.name": "a",
		"plimsoll.scale.signals.1.source": "cpu", "plimsoll.scale.signals.1.target": "60%", "plimsoll.scale.signals.1.name": "z",
	}, policy.Options{})
	three := policy.FromLabels(web, map[string]string{
		"plimsoll.scale.max":     "5",
		"plimsoll.scale.signals": "[{name: a, source: memory, target: 70%}, {name: z, source: cpu, target: 60%}]",
	}, policy.Options{})
	if diff := cmp.Diff(one, two); diff != "" {
		t.Errorf("(-name +position):\n%s", diff)
	}
	if diff := cmp.Diff(one, three); diff != "" {
		t.Errorf("(-name +whole):\n%s", diff)
	}
}

// unclosed is a parser that knows of one mistake.
func unclosed(query string) (policy.Facts, error) {
	if strings.Contains(query, "(") != strings.Contains(query, ")") {
		return policy.Facts{}, &policy.QueryError{At: strings.Index(query, "("), What: "parse error: unclosed left parenthesis"}
	}
	return policy.Facts{}, nil
}

// The labels that docs/policies.md shows are those of a sound policy.
func TestTheLabelsOfTheDocsAreSound(t *testing.T) {
	labels := map[string]string{}
	for line := range strings.Lines(docs(t)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && strings.HasPrefix(key, policy.LabelPrefix) {
			labels[key] = value
		}
	}
	got := policy.FromLabels(web, labels, policy.Options{})
	if got == nil || len(got.Problems) > 0 || len(got.Warnings) > 0 || len(got.App.Signals) != 2 || got.App.Panic == nil {
		t.Errorf("%+v", got)
	}
}

func TestTheMistakesOfLabelsAreToldUnderTheirs(t *testing.T) {
	sound := map[string]string{"plimsoll.scale.max": "5", "plimsoll.scale.signals.cpu.source": "cpu", "plimsoll.scale.signals.cpu.target": "60%"}
	tests := []struct {
		labels string // added, or taken away where they are empty
		want   string
	}{
		{"plimsoll.scale.maxx=5", `plimsoll.scale.maxx: unknown key "maxx", did you mean "max"?`},
		{"plimsoll.scale.max=", `plimsoll.scale.max: must be a whole number, got ""`},
		{"-plimsoll.scale.max", `plimsoll.scale.max: is missing, say how many replicas the platform can carry`},
		{"-plimsoll.scale.signals.cpu.target", `plimsoll.scale.signals.cpu.target: is missing, write a percentage like 60%`},
		{"plimsoll.scale.max=5000", `plimsoll.scale.max: 5000 exceeds the ceiling of 500 replicas, lower it, or raise the scaler's ceiling`},
		{"plimsoll.scale.signals.cpu.target=60", `plimsoll.scale.signals.cpu.target: 60 has the wrong unit, write a percentage like 60%`},
		{"plimsoll.scale.signals.cpu.sorce=cpu", `plimsoll.scale.signals.cpu.sorce: unknown key "sorce", did you mean "source"?`},
		{"plimsoll.scale.signals.0.source=cpu", `plimsoll.scale.signals.cpu.source: names an item by "cpu", and other labels do by position, use one of the two for all`},
		{"plimsoll.scale.in.rate.first.per=1m", `plimsoll.scale.in.rate.first.per: "first" is not the position of an item, count them from 0: in.rate.0`},
		{"plimsoll.scale.in.rate.1.per=1m", `plimsoll.scale.in.rate.0: is missing, though there are other items, count them from 0`},
		{"plimsoll.scale.in.rate.99999999999999999999.per=1m", `plimsoll.scale.in.rate.99999999999999999999.per: "99999999999999999999" is not the position of an item, count them from 0: in.rate.0`},
		{"plimsoll.scale.in.rate=[{per: 1m}]", `plimsoll.scale.in.rate.0: allows no change at all (at character 2), give replicas, percent or both`},
		{"plimsoll.scale.in.rate=fast", `plimsoll.scale.in.rate: must be a list, got "fast", start each item with a dash, or write [a, b]`},
		{"plimsoll.scale.in.rate=[{per: 1m", `plimsoll.scale.in.rate: "[{per: 1m" is neither a list nor a mapping, write it like [{replicas: 1, per: 60s}] or {hold: 2m}`},
		{"plimsoll.scale.panic=", `plimsoll.scale.panic: has no value, give it one, or remove the key`},
		{"plimsoll.scale.mode.now=x", `plimsoll.scale.mode: must be text, got a mapping`},
		{"plimsoll.scale.target.service=other", `plimsoll.scale.target.service: is the workload that has the label, remove it`},
		{"plimsoll.scale.signals=[]", `plimsoll.scale.signals.cpu.source: is given twice, or as a whole and in parts, remove one of them`},
		{"plimsoll.scale.=x", `plimsoll.scale.: unknown key "", known here: `},
		{"plimsoll.scale.signals.q=[{source: query, query: x, target: 5}]", `plimsoll.scale.signals.q: is given twice, or as a whole and in parts, remove one of them`},
		{"plimsoll.scale.signals.q={source: query, query: 'sum(x', target: 5}", `plimsoll.scale.signals.q.query: parse error: unclosed left parenthesis (at character 28)`},
		{"plimsoll.scale.signals.cpu.query=测 sum(x", `plimsoll.scale.signals.cpu.query: does nothing for type track and source cpu, remove it`},
		{"plimsoll.scale.in.rate=[{replicas: 1, per: 0s}]", `plimsoll.scale.in.rate.0.per: must be 1s to 1h, got 0s (at character 21)`},
		{"aliyun.auto_scaling.max_instances=5", `aliyun.auto_scaling.max_instances: is given twice, or as a whole and in parts, remove one of them`},
		{"aliyun.auto_scaling.max_cpus=5", `aliyun.auto_scaling.max_cpus: unknown label, did you mean aliyun.auto_scaling.max_cpu?`},
		{"aliyun.auto_scaling.min_instances=none", `aliyun.auto_scaling.min_instances: must be a whole number, got "none"`},
	}
	for _, tt := range tests {
		t.Run(tt.labels, func(t *testing.T) {
			labels := maps.Clone(sound)
			if gone, ok := strings.CutPrefix(tt.labels, "-"); ok {
				delete(labels, gone)
			} else {
				key, value, _ := strings.Cut(tt.labels, "=")
				labels[key] = value
			}
			got := policy.FromLabels(web, labels, policy.Options{CheckQuery: unclosed})
			if len(got.Problems) == 0 {
				t.Fatalf("%+v", got.App)
			}
			want := "labels of swarm/shop_web: " + tt.want
			if !slices.ContainsFunc(strings.Split(got.Problems.Error(), "\n"), func(line string) bool { return strings.HasPrefix(line, want) }) {
				t.Errorf("got\n%v\nwant\n%s", got.Problems, want)
			}
		})
	}
}

func TestLabelsOfAlibabaAreReadAsTheyWereMeant(t *testing.T) {
	tests := map[string]struct {
		labels map[string]string
		check  func(*policy.Labelled) bool
		want   string // of problems and warnings
	}{
		"a minimum alone is no threshold": {
			labels: map[string]string{"min_cpu": "30", "max_instances": "5"},
			want:   "aliyun.auto_scaling.max_cpu: is missing, write a percentage like 60%",
		},
		"without bounds nobody knows what the platform can carry": {
			labels: map[string]string{"min_cpu": "30", "max_cpu": "80"},
			want:   "aliyun.auto_scaling.max_instances: is missing, say how many replicas the platform can carry",
		},
		"a step is one unless it is given": {
			labels: map[string]string{"min_cpu": "30", "max_cpu": "80%", "max_instances": "5"},
			check: func(l *policy.Labelled) bool {
				s := l.App.Signals[0]
				return s.StepOut == 1 && s.StepIn == 1 && s.Max.Value == 0.8 && l.App.Min == 1 && l.App.Max == 5
			},
		},
		"a step in that cannot be is told of": {
			labels: map[string]string{"min_memory": "50", "max_memory": "70", "max_instances": "5"},
			check:  func(l *policy.Labelled) bool { return l.App.Signals[0].Source == policy.Memory },
			want:   "aliyun.auto_scaling.max_memory: W-FLAP: at 2 replicas, in 2->1 turns 50% into 100%, too near max 70%, so that it is not done",
		},
		"a mapping of ours has what is in it": {
			labels: map[string]string{"min_cpu": "30", "max_cpu": "80", "max_instances": "5", "plimsoll.scale.in": "{window: 10m}", "plimsoll.scale.out": "{rate: [{replicas: 3, per: 15s}]}"},
			check: func(l *policy.Labelled) bool {
				return l.App.In.Window == 10*time.Minute && len(l.App.In.Rate) == 0 && len(l.App.Out.Rate) == 1
			},
		},
		"and lacks what is not": {
			labels: map[string]string{"min_cpu": "30", "max_cpu": "80", "max_instances": "5", "plimsoll.scale.in": "{cooldown: 1m}"},
			check: func(l *policy.Labelled) bool {
				return l.App.In.Window == 5*time.Second && l.App.In.Cooldown == time.Minute && len(l.App.In.Rate) == 0
			},
		},
		"the in window has two intervals": {
			labels: map[string]string{"min_cpu": "30", "max_cpu": "80", "max_instances": "5", "plimsoll.scale.interval": "10s"},
			check:  func(l *policy.Labelled) bool { return l.App.In.Window == 20*time.Second },
		},
		"an interval that is none is told of, and nothing else": {
			labels: map[string]string{"min_cpu": "30", "max_cpu": "80", "max_instances": "5", "plimsoll.scale.interval": "soon"},
			want:   "plimsoll.scale.interval: ",
		},
		"signals of ours stand beside them": {
			labels: map[string]string{
				"min_cpu": "30", "max_cpu": "80", "max_instances": "5",
				"plimsoll.scale.signals.q.source": "query", "plimsoll.scale.signals.q.query": "sum(x)", "plimsoll.scale.signals.q.target": "60",
			},
			check: func(l *policy.Labelled) bool {
				return len(l.App.Signals) == 2 && l.App.Signals[0].Name == "q" && l.App.Signals[1].Name == "cpu"
			},
		},
		"signals of ours by position are counted by themselves": {
			labels: map[string]string{
				"min_cpu": "30", "max_cpu": "80", "min_memory": "30", "max_memory": "80", "max_instances": "5",
				"plimsoll.scale.signals.0.source": "query", "plimsoll.scale.signals.0.query": "sum(x)", "plimsoll.scale.signals.0.target": "60",
			},
			check: func(l *policy.Labelled) bool {
				return len(l.App.Signals) == 3 && l.App.Signals[0].Name == "query" && l.App.Signals[2].Source == policy.Memory
			},
		},
		"one of ours of the same name is one too many": {
			labels: map[string]string{
				"min_cpu": "30", "max_cpu": "80", "max_instances": "5",
				"plimsoll.scale.signals.cpu.source": "cpu", "plimsoll.scale.signals.cpu.target": "60%",
			},
			want: `aliyun.auto_scaling.max_cpu: "cpu" is the name of signals[0] already`,
		},
		"the words of ours say the rest": {
			labels: map[string]string{"min_cpu": "30", "max_cpu": "80", "max_instances": "5", "plimsoll.scale.mode": "active", "plimsoll.scale.in.window": "2m"},
			check:  func(l *policy.Labelled) bool { return l.App.Mode == policy.Active && l.App.In.Window.Minutes() == 2 },
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			labels := map[string]string{}
			for key, value := range tt.labels {
				if !strings.Contains(key, ".") {
					key = "aliyun.auto_scaling." + key
				}
				labels[key] = value
			}
			got := policy.FromLabels(web, labels, policy.Options{})
			told := append(slices.Clone(got.Problems), got.Warnings...).Error()
			if tt.want == "" && told != "" || !strings.Contains(told, tt.want) {
				t.Errorf("told\n%s\nwant\n%s", told, tt.want)
			}
			if tt.check != nil && !tt.check(got) {
				t.Errorf("%+v", got.App)
			}
		})
	}
}

func TestAMistakeInAQueryOfALabelHasItsPlace(t *testing.T) {
	got := policy.FromLabels(web, map[string]string{
		"plimsoll.scale.max": "5", "plimsoll.scale.signals.q.source": "query", "plimsoll.scale.signals.q.target": "5",
		"plimsoll.scale.signals.q.query": `"测" + sum(x`,
	}, policy.Options{CheckQuery: unclosed})
	want := "labels of swarm/shop_web: plimsoll.scale.signals.q.query: parse error: unclosed left parenthesis (at character 10)"
	if got.Problems.Error() != want {
		t.Errorf("got  %v\nwant %s", got.Problems, want)
	}
}

func TestTooManyLabelsAreRefused(t *testing.T) {
	labels := map[string]string{}
	for i := range 501 {
		labels["plimsoll.scale.x"+strings.Repeat("y", i)] = "1"
	}
	if got := policy.FromLabels(web, labels, policy.Options{}); len(got.Problems) != 1 || !strings.Contains(got.Problems[0].What, "501 labels") {
		t.Errorf("%+v", got)
	}
}

func TestAFileWinsOverLabels(t *testing.T) {
	app := func(name, service string, most int) policy.App {
		return policy.App{Name: name, Max: most, Target: policy.Target{Driver: "swarm", Service: service}}
	}
	file := []policy.App{app("shop", "shop_web", 1), app("blog", "blog_web", 1)}
	labelled := []policy.App{
		app("other", "shop_web", 2), app("blog", "blog_api", 2), app("twin", "b", 2), app("twin", "a", 2), app("new", "z", 2), app("also", "y", 2),
	}
	for range 2 {
		got, problems := policy.Adopt(file, labelled)
		want := append(slices.Clone(file), app("also", "y", 2), app("new", "z", 2))
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		told := `labels of swarm/a: plimsoll.scale.name: "twin" is claimed by the labels of other workloads, too, give each its own
labels of swarm/b: plimsoll.scale.name: "twin" is claimed by the labels of other workloads, too, give each its own
labels of swarm/blog_api: plimsoll.scale.name: "blog" is the name of a policy in the file, give it another name
labels of swarm/shop_web: plimsoll.scale.name: the policy "shop" controls this workload already, remove it from the file, or remove the labels`
		if diff := cmp.Diff(told, problems.Error()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		slices.Reverse(labelled)
	}
}

// FuzzFromLabels reads labels, one a line.
func FuzzFromLabels(f *testing.F) {
	files, err := filepath.Glob("testdata/examples/*.labels")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Add("plimsoll.scale.signals.a.0.b=[&x {y: *x}]\nplimsoll.scale.signals.1={<<: {a: b}}\nplimsoll.scale.in.rate.0.per.x=1")
	f.Fuzz(func(t *testing.T, text string) {
		labels := map[string]string{}
		for line := range strings.Lines(text) {
			key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			labels[key] = value
		}
		got := policy.FromLabels(web, labels, allDrivers)
		if got == nil {
			return
		}
		got.Problems.Render()
		again := policy.FromLabels(web, labels, allDrivers)
		if diff := cmp.Diff(got.Problems.Error(), again.Problems.Error()); diff != "" {
			t.Errorf("the same labels are told of otherwise:\n%s", diff)
		}
		if len(got.Problems) > 0 {
			return
		}
		if a := got.App; a.Target != web || a.Max < a.Min || a.Max > policy.DefaultCeiling || len(a.Signals) == 0 || a.Min < 1 && a.AllowZero == nil {
			t.Errorf("let pass: %+v", a)
		}
	})
}
