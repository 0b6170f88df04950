package policy

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// Target names a workload on a platform. Which fields apply depends on Driver.
type Target struct {
	// Driver speaks to the platform. This version has swarm.
	Driver string `yaml:"driver" json:"driver"`
	// Service is the full name of a Swarm service, with its stack, "shop_web", or
	// that of a service of a Compose project.
	Service string `yaml:"service" json:"service,omitempty"`
	// Project is that of Compose.
	Project string `yaml:"project" json:"project,omitempty"`
	// Context names the cluster in a kubeconfig, for driver kubernetes; the
	// collector's own if it is empty.
	Context string `yaml:"context" json:"context,omitempty"`
	// Namespace, Kind and Name are those of an object that Kubernetes can scale.
	// Kind is Deployment unless the file says otherwise.
	Namespace string `yaml:"namespace" json:"namespace,omitempty"`
	Kind      string `yaml:"kind" json:"kind,omitempty"`
	Name      string `yaml:"name" json:"name,omitempty"`
	// App is the id of an app of Marathon.
	App string `yaml:"app" json:"app,omitempty"`
}

// String is the target as people and messages name it: "swarm/shop_web",
// "kubernetes/shop/Deployment/checkout".
func (t Target) String() string {
	parts := []string{t.Driver}
	for _, part := range []string{t.Context, t.Project, t.Namespace, t.Kind, t.Name, t.App, t.Service} {
		if part != "" {
			parts = append(parts, strings.TrimPrefix(part, "/"))
		}
	}
	return strings.Join(parts, "/")
}

// shape is which keys a target of a driver must have, and which it may have.
type shape struct{ must, may []string }

// shapes are those of drivers that need other keys than service.
var shapes = map[string]shape{
	"compose":    {must: []string{"project", "service"}},
	"kubernetes": {must: []string{"namespace", "name"}, may: []string{"context", "kind"}},
	"marathon":   {must: []string{"app"}},
}

func shapeOf(driver string) shape {
	if s, ok := shapes[driver]; ok {
		return s
	}
	return shape{must: []string{"service"}}
}

// value is that of a key of the target.
func (t *Target) value(key string) *string {
	return map[string]*string{
		"service": &t.Service, "project": &t.Project, "context": &t.Context, "namespace": &t.Namespace,
		"kind": &t.Kind, "name": &t.Name, "app": &t.App,
	}[key]
}

// targetKeys are all keys of targets but the driver.
var targetKeys = []string{"service", "project", "context", "namespace", "kind", "name", "app"}

// complete fills in what depends on the driver.
func (t *Target) complete() {
	if t.Driver == "kubernetes" {
		t.Kind = cmp.Or(t.Kind, "Deployment")
	}
}

// The names of what is scaled.
var (
	serviceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	appID       = regexp.MustCompile(`^/?[a-z0-9][a-z0-9./-]{0,252}$`)
)

func (c *checker) target(t Target, path string) {
	later := []string{"docker", "compose", "kubernetes", "marathon", "webhook", "exec"}
	if m, ok := oneOf(t.Driver, c.opts.Drivers, later); !ok {
		c.fail(path+".driver", m.What, m.Hint)
	}
	takes := shapeOf(t.Driver)
	known := slices.Contains(c.opts.Drivers, t.Driver)
	for _, key := range targetKeys {
		value, path := *t.value(key), path+"."+key
		must := slices.Contains(takes.must, key)
		switch {
		case value == "" && must && key == "service":
			c.fail(path, "is missing", "name the service with its stack, as docker service ls does")
		case value == "" && must:
			c.fail(path, "is missing", "driver "+t.Driver+" needs it")
		case value == "":
		case !must && !slices.Contains(takes.may, key):
			if known {
				c.fail(path, "does nothing for driver "+t.Driver, "it takes "+strings.Join(slices.Concat(takes.must, takes.may), ", "))
			}
		case key == "app" && !appID.MatchString(value):
			c.fail(path, conf.Quote(value)+" is not the id of an app", "write it like /shop/web")
		case key == "service" && !serviceName.MatchString(value):
			c.fail(path, conf.Quote(value)+" is not the name of a service", "use up to 63 letters, digits, dots, dashes and underscores")
		case key != "app" && !serviceName.MatchString(value):
			c.fail(path, conf.Quote(value)+" is not a name", "use up to 63 letters, digits, dots, dashes and underscores")
		}
	}
}
