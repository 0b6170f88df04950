package policy_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

var update = flag.Bool("update", false, "write the golden files anew")

const published = "../../docs/policies.schema.json"

func TestThePublishedSchemaIsTrue(t *testing.T) {
	want, err := policy.Schema(policy.Meanings(docs(t)))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(published, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(published)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/policies.schema.json is not what the types and docs/policies.md give; run this test with -update")
	}
}

func TestTheSchemaSaysWhatEachKeyMeans(t *testing.T) {
	meanings := policy.Meanings(docs(t))
	file, problems := load(t, shop, policy.Options{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	keys(t, reflect.ValueOf(file).Elem(), "", func(key string, _ reflect.Value) {
		if len(meanings[key]) < 3 {
			t.Errorf("the tables of docs/policies.md say %q of %s", meanings[key], key)
		}
	})
}

// schema is the published one, compiled.
func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	data, err := os.ReadFile(published)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("policies.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("policies.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// validate is what the schema says of YAML.
func validate(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return err // NaN
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc)
}

func TestTheSchemaTakesWhatTheLoaderTakes(t *testing.T) {
	s := schema(t)
	texts := map[string]string{"the least": shop, "the example of the docs": example(t)}
	files, err := filepath.Glob("testdata/examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = string(data)
	}
	for _, tt := range warned {
		texts[tt.text] = "version: plimsoll.scaler/v1\napps:\n- name: shop\n  target: {driver: swarm, service: shop_web}\n  max: 20\n" + tt.text
	}
	for i, part := range strings.Split(docs(t), "\n```") {
		if text, ok := strings.CutPrefix(part, "yaml\n# policies.yml\n"); ok && i%2 == 1 {
			texts["docs "+text] = text
		}
	}
	for name, text := range texts {
		_, err := policy.Parse("policy.yaml", []byte(text), policy.Options{})
		if verdict := validate(t, s, text); (err == nil) != (verdict == nil) {
			t.Errorf("%s: loader: %v; schema: %v", name, err, verdict)
		}
	}
}

// unseen are the mistakes that take a comparison, a parser or more than a file to
// be seen.
var unseen = regexp.MustCompile(`must be (\d+[a-z]+|\d+%|0B) to |must be at most 100%|must be above 0, got 0%|must be 0 to 500|must be 1 to max|` +
	`is less than |exceeds the ceiling|is never reached|is already controlled|is the name of|which never shrinks|is not below|is read as|` +
	`parse error|there is none|needs a signal that tells|belongs to one policy|is no number of replicas|does nothing while min|does not compare`)

func TestTheSchemaRefusesWhatItCanSeeToBeWrong(t *testing.T) {
	s := schema(t)
	seen := 0
	for _, tt := range mistakes {
		text := replace(tt.line, tt.text)
		verdict := validate(t, s, text)
		switch hidden := unseen.MatchString(tt.want); {
		case verdict == nil && !hidden:
			t.Errorf("the schema takes %s\nof which the loader says %s", tt.text, tt.want)
		case verdict != nil:
			seen++
		}
	}
	if seen < 60 {
		t.Errorf("the schema sees %d of %d mistakes", seen, len(mistakes))
	}
	t.Logf("the schema sees %d of %d mistakes", seen, len(mistakes))
}
