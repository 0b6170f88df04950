package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/plimsoll-io/plimsoll/alerting"
	"github.com/plimsoll-io/plimsoll/alerting/ruletest"
	"github.com/plimsoll-io/plimsoll/internal/conf"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// block is a fenced block of a document.
type block struct {
	file, kind, text string
}

// documents are all blocks of the kinds that people copy.
func documents(t *testing.T) []block {
	t.Helper()
	const root = "../.."
	files := []string{filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md")}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	var blocks []block
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, part := range strings.Split("\n"+string(data), "\n```") {
			kind, text, _ := strings.Cut(part, "\n")
			if i%2 == 1 && kind != "" {
				blocks = append(blocks, block{file, kind, text})
			}
		}
	}
	if len(blocks) < 8 {
		t.Fatalf("only %d blocks found in %d documents", len(blocks), len(files))
	}
	return blocks
}

// A block of YAML names its file in its first line, and so what reads it.
func TestTheYAMLOfTheDocumentsLoads(t *testing.T) {
	c := &checkCommand{cli: newCLI(io.Discard, io.Discard, nil), command: "up"}
	load := map[string]func(file string) (string, conf.Problems){
		"# policies.yml":     func(file string) (string, conf.Problems) { return "", sound(file) },
		"# forward.yaml":     c.forward,
		"# plimsoll.yml":     c.config,
		"# rules.yml":        func(file string) (string, conf.Problems) { return "", alerting.CheckRules([]string{file}) },
		"# bucket.yml":       c.bucket,
		"# tests.yml":        func(file string) (string, conf.Problems) { return "", tested(t, file) },
		"# overrides.yml":    c.overrides,
		"# alertmanager.yml": func(file string) (string, conf.Problems) { return "", alerting.CheckConfig(file) },
	}
	for _, b := range documents(t) {
		if b.kind != "yaml" {
			continue
		}
		first, _, _ := strings.Cut(b.text, "\n")
		name, _, _ := strings.Cut(first, " for: ")
		if load[name] == nil {
			t.Errorf("%s: a block of YAML begins with %q, which tells nobody what reads it", b.file, first)
			continue
		}
		file := filepath.Join(t.TempDir(), "file.yml")
		if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if name == "# tests.yml" { // what it tests with is above it
			beside(t, b, filepath.Join(filepath.Dir(file), "alertmanager.yml"))
		}
		if _, problems := load[name](file); len(problems) > 0 {
			t.Errorf("%s: %s", b.file, problems.Render())
		}
	}
}

// sound is what there is to say of a policy file, warnings as well.
func sound(file string) conf.Problems {
	doc, problems := readYAML(file)
	if len(problems) > 0 {
		return problems
	}
	f, problems := policy.Load(doc, policy.Options{CheckQuery: queryFacts()})
	if len(problems) > 0 {
		return problems
	}
	return f.Warnings
}

// beside writes the first alertmanager.yml of a block's document.
func beside(t *testing.T, b block, file string) {
	t.Helper()
	for _, other := range documents(t) {
		if other.file == b.file && strings.HasPrefix(other.text, "# alertmanager.yml") {
			if err := os.WriteFile(file, []byte(other.text), 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("%s has no alertmanager.yml", b.file)
}

// tested runs the tests of a file.
func tested(t *testing.T, file string) (problems conf.Problems) {
	t.Helper()
	r := ruletest.Run(t.Context(), file, ruletest.Options{})
	if r.Tests == 0 {
		t.Errorf("%s has no tests", file)
	}
	for _, f := range r.Failures {
		problems = append(problems, conf.Problem{File: file, What: f.Error()})
	}
	return problems
}

func TestTheCommandsOfTheDocumentsExist(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range documents(t) {
		if b.kind != "sh" {
			continue
		}
		for line := range strings.Lines(b.text) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
			line, _, _ = strings.Cut(line, " > ") // into a file
			args := strings.Fields(strings.ReplaceAll(line, "'", ""))
			if len(args) < 2 {
				continue
			}
			switch args[0] {
			case "make":
				if !strings.Contains(string(makefile), "\n"+args[1]+":") {
					t.Errorf("%s: %s: there is no such target", b.file, line)
				}
			case "plimsoll":
				if _, err := newCLI(io.Discard, io.Discard, nil).app.ParseContext(args[1:]); err != nil {
					t.Errorf("%s: %s: %v", b.file, line, err)
				}
			case "docker", "curl", "amtool":
			default:
				t.Errorf("%s: %s: nobody knows whether this works", b.file, line)
			}
		}
	}
}

// A test is named in a document by its directory and its name.
func TestTheTestsOfTheDocumentsExist(t *testing.T) {
	const root = "../.."
	files, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz|Benchmark)[A-Z0-9]\\w*)`")
	sources, found := map[string]string{}, 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(data), -1) {
			found++
			dir, name := m[1], m[2]
			if _, read := sources[dir]; !read {
				sources[dir] = testsIn(t, filepath.Join(root, dir))
			}
			if !strings.Contains(sources[dir], "\nfunc "+name+"(") {
				t.Errorf("%s: there is no %s in %s", file, name, dir)
			}
		}
	}
	if found < 80 {
		t.Errorf("only %d tests found in the documents", found)
	}
}

// testsIn is the text of all tests of a directory, whatever their tags.
func testsIn(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	return all.String()
}
