package discover

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of what is kept of one container. Whoever starts a container, or
// builds its image, may label it with whatever an engine takes: 10,000 labels,
// or one of a megabyte.
const (
	maxLabels     = 256
	maxLabelBytes = 64 << 10 // all keys and values
	maxLabelKey   = 256      // bytes; a longer one is left out, as half a key is another key
	maxText       = 4 << 10  // bytes of a value, name or image
)

// about is what one witness says of a container. What it does not say is zero.
type about struct {
	Runtime string // for paths that do not tell
	Name    string
	Image   string
	Labels  map[string]string
	Created time.Time
	Started time.Time
	Health  Health
	kube    kube

	exitLabel bool // it has a label that poses as its exit code
}

// kube is what Kubernetes is said to call a container.
type kube struct {
	uid       string // of the pod, empty if not told
	namespace string
	pod       string
	container string
	sandbox   bool
}

// kubeOf reads the labels that kubelet gives containers: Docker shims write
// them as labels, CRI-O as annotations. An image can have them too, so that they
// are believed only of a container in the pod that they name; see registry.join.
func kubeOf(labels map[string]string) kube {
	k := kube{
		uid:       labels["io.kubernetes.pod.uid"],
		namespace: labels["io.kubernetes.pod.namespace"],
		pod:       labels["io.kubernetes.pod.name"],
		container: labels["io.kubernetes.container.name"],
		sandbox:   labels["io.kubernetes.docker.type"] == "podsandbox" || labels["io.kubernetes.cri-o.ContainerType"] == "sandbox",
	}
	if k.sandbox {
		k.container = "" // "POD", which is none
	}
	return k
}

// or completes a by what b says. Of two times the later counts: a container that
// started twice did so later, and an engine's list cuts off fractions. An image
// that has lost its name to another is still the one that a was started from.
func (a about) or(b about) about {
	a.Runtime, a.Name, a.Image = cmp.Or(a.Runtime, b.Runtime), cmp.Or(a.Name, b.Name), cmp.Or(a.Image, b.Image)
	if strings.HasPrefix(a.Image, "sha256:") {
		a.Image = cmp.Or(b.Image, a.Image)
	}
	a.Health = cmp.Or(a.Health, b.Health)
	if a.Labels == nil {
		a.Labels = b.Labels
	}
	if a.Created.Before(b.Created) {
		a.Created = b.Created
	}
	if a.Started.Before(b.Started) {
		a.Started = b.Started
	}
	if a.kube.pod == "" {
		a.kube = b.kube
	}
	return a
}

func (a about) equal(b about) bool {
	return a.Runtime == b.Runtime && a.Name == b.Name && a.Image == b.Image && maps.Equal(a.Labels, b.Labels) &&
		a.Created.Equal(b.Created) && a.Started.Equal(b.Started) && a.Health == b.Health && a.kube == b.kube
}

// bound cuts what is too large, and returns how many texts and labels it cut or
// left out. Small keys come first, so that what is left out is always the same.
func (a *about) bound() (cut uint64) {
	for _, text := range []*string{&a.Name, &a.Image, &a.kube.uid, &a.kube.namespace, &a.kube.pod, &a.kube.container} {
		cut += shorten(text)
	}
	var labels map[string]string
	left := maxLabelBytes
	for _, key := range slices.Sorted(maps.Keys(a.Labels)) {
		if len(labels) == maxLabels || len(key) > maxLabelKey {
			cut++
			continue
		}
		value := a.Labels[key]
		cut += shorten(&value)
		if left -= len(key) + len(value); left < 0 {
			left += len(key) + len(value)
			cut++
			continue
		}
		if labels == nil {
			labels = make(map[string]string, min(len(a.Labels), maxLabels))
		}
		labels[key] = value
	}
	a.Labels = labels
	return cut
}

// shorten cuts a text at the border of a character, and lets go of the rest.
func shorten(s *string) (cut uint64) {
	if len(*s) <= maxText {
		return 0
	}
	end := maxText
	for end > maxText-utf8.UTFMax && !utf8.RuneStart((*s)[end]) {
		end--
	}
	*s = strings.Clone((*s)[:end])
	return 1
}

// instant parses a time as engines write it, and takes what lies before
// containers, such as Go's zero time, for none.
func instant(s string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || at.Year() < 2000 || at.Year() > 9999 {
		return time.Time{}
	}
	return at
}
