package agent

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// Bounds of what a container may have its series carry. Names, images and labels
// are written by whoever starts containers: this engine takes values of 64 kB
// that are not even text.
const (
	maxLabels     = 64
	maxLabelValue = 1 << 10 // bytes
)

// naming makes the labels of containers.
type naming struct {
	job    string // as in Jobs.Containers
	wanted []wantedLabel
	cut    uint64 // values that were cut or mended

	latest []sample.Label // those of the container that was compared last
}

// wantedLabel is one of the containers' own labels and what it is called on
// their series.
type wantedLabel struct{ key, name string }

// newNaming takes the keys of wanted labels. Of those that come to the same
// name the first counts.
func newNaming(keys []string) naming {
	var n naming
	for _, key := range keys {
		name := "container_label_" + strings.Map(legal, key)
		taken := slices.ContainsFunc(n.wanted, func(w wantedLabel) bool { return w.name == name })
		if !taken && len(n.wanted) < maxLabels {
			n.wanted = append(n.wanted, wantedLabel{key, name})
		}
	}
	return n
}

// legal makes a character fit for the name of a label.
func legal(r rune) rune {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_':
		return r
	}
	return '_'
}

// of are the labels of a container's series, sorted by name. A label without a
// value is one that is not there, as Prometheus has it. In Kubernetes they are
// those of kubelet's /metrics/cadvisor, by which a pod's row has no image and no
// name, and neither it nor the sandbox's has a container.
func (n *naming) of(c *discover.Container) []sample.Label { return n.add(nil, c) }

// again are the labels that a container has now, and whether they are others
// than those it had, as after most changes they are not.
func (n *naming) again(had []sample.Label, c *discover.Container) (labels []sample.Label, others bool) {
	cut := n.cut
	n.latest = n.add(n.latest[:0], c)
	if slices.Equal(n.latest, had) {
		n.cut = cut // which has been counted
		return had, false
	}
	return slices.Clone(n.latest), true
}

// add is of, with room for the labels.
func (n *naming) add(labels []sample.Label, c *discover.Container) []sample.Label {
	add := func(name, value string) {
		if value != "" {
			labels = append(labels, sample.Label{Name: name, Value: n.clean(value)})
		}
	}
	labels = append(labels, containerJob(n.job)...)
	add("id", c.Cgroup)
	if c.Kind != discover.Pod {
		add("image", c.Image)
		add("name", nameOf(c))
	}
	if c.Kind == discover.Workload {
		add("container", c.ContainerName)
	}
	add("namespace", c.Namespace)
	add("pod", c.PodName)
	for _, w := range n.wanted {
		add(w.name, c.Labels[w.key])
	}
	return sortLabels(labels)
}

// nameOf is what the runtime calls a container. In a pod that is its id, as
// kubelet has it on containerd, but for runtimes that give it a name like
// k8s_app_web-0_shop_<uid>_0.
func nameOf(c *discover.Container) string {
	if c.PodUID == "" || strings.HasPrefix(c.Name, "k8s_") {
		return c.Name
	}
	if !c.Known {
		return ""
	}
	return c.ID
}

// clean makes a value text of a bounded length.
func (n *naming) clean(value string) string {
	if len(value) <= maxLabelValue && utf8.ValidString(value) {
		return value
	}
	n.cut++
	if len(value) > maxLabelValue {
		end := maxLabelValue
		for end > 0 && !utf8.RuneStart(value[end]) {
			end--
		}
		value = value[:end]
	}
	return strings.ToValidUTF8(value, "\uFFFD")
}
