package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/plimsoll-io/plimsoll/"
	root   = "../.."
)

// mayImport names, for a tree of packages, what of ours it may import; the
// longest matching tree rules. The four parts never see each other: they meet
// on the wire, in PromQL, in interfaces that the consumer owns, and in cmd.
var mayImport = map[string][]string{
	"cmd":                     {"agent", "collector", "alerting", "scaler", "internal", "docs"},
	"agent":                   {"agent", "internal"},
	"agent/cgroup":            {},
	"agent/netns":             {},
	"agent/disk":              {},
	"agent/burst":             {"agent/cgroup"},
	"agent/exit":              {"agent/cgroup", "agent/discover"},
	"agent/scrape":            {"agent/sample"},
	"agent/shard":             {},
	"agent/push":              {"agent/push", "agent/sample"},
	"agent/doctor":            {"agent"},
	"agent/node":              {},
	"agent/gpu":               {},
	"agent/sample":            {},
	"agent/discover":          {"agent/sample"},
	"agent/expose":            {"agent/sample"},
	"agent/spool":             {"agent/sample", "internal/durable", "internal/records"},
	"agent/textfile":          {"agent/sample"},
	"agent/stream":            {"agent/sample", "agent/spool", "proto", "internal"},
	"agent/vote":              {"proto"},
	"agent/enroll":            {"proto", "internal"},
	"collector":               {"collector", "internal"},
	"collector/gate":          {},
	"collector/lease":         {"proto"},
	"collector/pair":          {"proto"},
	"collector/ingest":        {"proto", "internal", "collector/gate"},
	"collector/receive":       {"collector/gate", "collector/store"},
	"collector/identity":      {"proto", "internal"},
	"alerting":                {"alerting", "internal"},
	"alerting/journal":        {"internal/durable"},
	"scaler":                  {"scaler", "internal"},
	"scaler/policy":           {"internal/conf"},
	"scaler/decide":           {"scaler/policy"},
	"scaler/journal":          {"scaler/decide", "scaler/policy", "internal/chain", "internal/linelog"},
	"scaler/explain":          {"scaler/decide", "scaler/journal", "scaler/policy"},
	"scaler/forecast":         {},
	"scaler/backtest":         {"scaler/backtest", "scaler/decide", "scaler/policy"},
	"scaler/backtest/history": {"scaler/backtest", "scaler/decide", "scaler/policy", "internal/bounded"},
	"scaler/driver":           {"scaler/driver"},
	"internal":                {},
	"internal/archtest":       {},
	"internal/secretfile":     {"internal/durable"},
	"internal/door":           {"internal/conf"},
	"docs":                    {},
	"proto":                   {},
	"bench":                   {"agent", "collector", "scaler", "proto", "internal"},
	"test":                    {"internal"},
	"test/e2e":                {"agent", "internal"},
	"test/power":              {"collector/store"},
	"test/lease":              {"agent/vote", "collector/lease", "proto"},
	"test/pair":               {"alerting", "collector/identity", "collector/pair", "internal"},
	"test/identity":           {"agent/enroll", "collector/identity", "proto", "internal"},
	"test/differential":       {"collector", "internal"},
	"test/delivery":           {"agent", "collector", "internal"},
	"test/faults":             {"collector/query", "scaler", "internal"},
}

// only names, for a library, the trees that may use it.
var only = map[string][]string{
	"github.com/prometheus/prometheus":       {"agent/scrape", "collector", "alerting", "cmd", "bench", "test/power"},
	"github.com/prometheus/alertmanager":     {"alerting", "cmd"},
	"github.com/prometheus/client_golang":    {"agent", "agent/stream", "collector", "alerting", "scaler", "cmd", "bench", "internal/door"},
	"github.com/docker/docker":               {"agent/discover", "scaler/driver/swarm", "internal/testkit"},
	"google.golang.org/grpc":                 {"agent/stream", "agent/enroll", "agent/vote", "agent/push/otlp", "collector", "proto", "cmd", "bench"},
	"google.golang.org/protobuf":             {"alerting", "agent/stream", "agent/push/otlp", "collector/ingest", "collector/receive", "proto", "bench"},
	"go.opentelemetry.io/proto/otlp":         {"agent/push/otlp"},
	"github.com/prometheus/otlptranslator":   {"agent/push/otlp"},
	"github.com/NVIDIA/go-nvml":              {"agent/gpu"},
	"github.com/containerd/cgroups":          {"agent/cgroup", "bench"},
	"github.com/alecthomas/kingpin":          {"cmd"},
	"github.com/goccy/go-yaml":               {"internal/conf"},
	"github.com/prometheus/procfs":           {"agent/node"},
	"github.com/prometheus/common/promslog":  {"cmd"},
	"github.com/prometheus/common/expfmt":    {"agent/textfile", "collector/query"},
	"github.com/prometheus/exporter-toolkit": {"internal/door"},
	"github.com/thanos-io/objstore":          {"collector/ship"},
}

// pure names trees that decide without looking: no clock, disk or network.
var pure = []string{"scaler/backtest", "scaler/decide", "scaler/forecast", "scaler/policy", "agent/sample"}

var impure = []string{"os", "net", "net/http", "sync", "context", "log/slog", "math/rand", "math/rand/v2"}

// vague are names that say nothing about what is inside.
var vague = []string{"util", "utils", "common", "helper", "helpers", "types", "base", "misc", "shared"}

// file is a Go file of the tree, read here rather than by "go list" so that go
// test knows when to run again.
type file struct {
	dir, name string
	imports   []string
	tree      *ast.File
}

func (f file) test() bool { return strings.HasSuffix(f.name, "_test.go") }

func files(t *testing.T) []file {
	t.Helper()
	var all []file
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", "testdata", "bin", "data", "tools", "node_modules":
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		tree, err := parser.ParseFile(token.NewFileSet(), p, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		f := file{dir: path.Dir(filepath.ToSlash(rel)), name: d.Name(), tree: tree}
		for _, i := range tree.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, name)
		}
		all = append(all, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d files found below %s", len(all), root)
	}
	return all
}

// within tells whether dir is tree or below it.
func within(dir, tree string) bool { return dir == tree || strings.HasPrefix(dir, tree+"/") }

// ruling is the longest key of mayImport that dir is within.
func ruling(dir string) (string, bool) {
	best, found := "", false
	for tree := range mayImport {
		if within(dir, tree) && len(tree) >= len(best) {
			best, found = tree, true
		}
	}
	return best, found
}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	for _, f := range files(t) {
		tree, ok := ruling(f.dir)
		if !ok {
			t.Errorf("%s/%s: no rule says what it may import", f.dir, f.name)
			continue
		}
		for _, imp := range f.imports {
			ours, ok := strings.CutPrefix(imp, module)
			if !ok || within(ours, f.dir) || f.test() && within(ours, "internal") {
				continue
			}
			if !slices.ContainsFunc(mayImport[tree], func(allowed string) bool { return within(ours, allowed) }) {
				t.Errorf("%s/%s imports %s, which %s may not", f.dir, f.name, ours, tree)
			}
		}
	}
}

func TestLibrariesStayWhereTheyBelong(t *testing.T) {
	for _, f := range files(t) {
		if f.test() {
			continue
		}
		for _, imp := range f.imports {
			lib := ""
			for l := range only {
				if within(imp, l) && len(l) > len(lib) {
					lib = l
				}
			}
			if lib == "" {
				continue
			}
			if !slices.ContainsFunc(only[lib], func(tree string) bool { return within(f.dir, tree) }) {
				t.Errorf("%s/%s imports %s, which belongs to %v", f.dir, f.name, imp, only[lib])
			}
		}
	}
}

// The rest of that module is the engine itself, with advisories of its own.
func TestOfTheEngineOnlyItsClientIsUsed(t *testing.T) {
	const engine = "github.com/docker/docker/"
	for _, f := range files(t) {
		for _, imp := range f.imports {
			if part, ok := strings.CutPrefix(imp, engine); ok && !within(part, "client") && !within(part, "api/types") && part != "errdefs" {
				t.Errorf("%s/%s imports %s", f.dir, f.name, imp)
			}
		}
	}
}

func TestWhatDecidesReadsNeitherClockNorDisk(t *testing.T) {
	for _, f := range files(t) {
		if f.test() || !slices.Contains(pure, f.dir) {
			continue
		}
		for _, imp := range f.imports {
			if slices.Contains(impure, imp) {
				t.Errorf("%s/%s imports %s", f.dir, f.name, imp)
			}
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" &&
				slices.Contains([]string{"Now", "Since", "Until", "After", "NewTimer", "NewTicker"}, sel.Sel.Name) {
				t.Errorf("%s/%s calls time.%s", f.dir, f.name, sel.Sel.Name)
			}
			return true
		})
	}
}

func TestEachPackageSaysWhatItIs(t *testing.T) {
	said := map[string]bool{}
	for _, f := range files(t) {
		if f.test() || strings.HasSuffix(f.name, ".pb.go") {
			continue
		}
		said[f.dir] = said[f.dir] || f.tree.Doc != nil
		if name := path.Base(f.dir); slices.Contains(vague, name) {
			t.Errorf("%s: the name %q says nothing", f.dir, name)
		}
	}
	for dir, ok := range said {
		if !ok {
			t.Errorf("%s: no file has a package comment", dir)
		}
	}
}

func TestNothingRunsBeforeMain(t *testing.T) {
	for _, f := range files(t) {
		if strings.HasSuffix(f.name, ".pb.go") {
			continue
		}
		for _, d := range f.tree.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s/%s has an init function", f.dir, f.name)
			}
		}
	}
}
