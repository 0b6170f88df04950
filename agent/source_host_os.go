package agent

import (
	"strings"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// hostOS tells which distribution the node runs.
type hostOS struct {
	ledger
	info *sample.Metric
}

func newHostOS() *hostOS {
	return &hostOS{info: &sample.Metric{Name: "node_os_info", Help: "Always 1; the labels are from os-release(5).", Type: sample.Gauge}}
}

func (s *hostOS) add(b *sample.Batch, release map[string]string) error {
	var labels []sample.Label
	for _, name := range []string{
		"BUILD_ID", "ID", "ID_LIKE", "IMAGE_ID", "IMAGE_VERSION", "NAME", "PRETTY_NAME",
		"VARIANT", "VARIANT_ID", "VERSION", "VERSION_CODENAME", "VERSION_ID",
	} {
		labels = append(labels, sample.Label{Name: strings.ToLower(name), Value: release[name]})
	}
	s.put(b, s.info, 1, told(labels)...)
	s.settle(b)
	return nil
}

// newHostBuild stands in for node_exporter's version, by which dashboards and
// rules find nodes.
func newHostBuild(version, goVersion string) *hostValues {
	return &hostValues{newNodeGroup(gauge("node_exporter_build_info",
		"Always 1; stands here for dashboards that find nodes by it. The version is the agent's.",
		sample.Label{Name: "goversion", Value: goVersion}, sample.Label{Name: "version", Value: version}))}
}

func always() ([]float64, error) { return []float64{1}, nil }
