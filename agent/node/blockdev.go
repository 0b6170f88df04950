package node

import (
	"bytes"
	"os"
	"strings"
)

// BlockDevice is what a disk is, as far as udev and the kernel say; what they
// do not is empty.
type BlockDevice struct {
	Name, Major, Minor                 string
	Model, Path, Revision, Serial, WWN string // by udev
	Rotational                         string // 1 or 0, by the kernel
}

// BlockDevices lists /sys/block and looks each up in udev's data, below Root.
func (r Roots) BlockDevices() ([]BlockDevice, error) {
	entries, err := os.ReadDir(r.sys("block"))
	if err != nil {
		return nil, err
	}
	var all []BlockDevice
	for _, e := range entries {
		number, err := text(r.sys("block", e.Name(), "dev"))
		if err != nil {
			continue // it left meanwhile
		}
		d := BlockDevice{Name: strings.ReplaceAll(e.Name(), "!", "/")}
		d.Major, d.Minor, _ = strings.Cut(number, ":")
		d.Rotational, _ = text(r.sys("block", e.Name(), "queue/rotational")) // empty if unknown
		if data, err := slurp(r.root("run/udev/data/b" + number)); err == nil {
			d.describe(parseUdev(data))
		}
		all = append(all, d)
	}
	return all, nil
}

func (d *BlockDevice) describe(udev map[string]string) {
	d.Model, d.Path, d.Revision = udev["ID_MODEL"], udev["ID_PATH"], udev["ID_REVISION"]
	d.Serial, d.WWN = udev["ID_SERIAL_SHORT"], udev["ID_WWN"]
}

// parseUdev reads the properties of a device among lines such as
//
//	S:disk/by-id/nvme-eui.0025385b21404321
//	E:ID_MODEL=SAMSUNG MZVL21T0HCLR-00B00
func parseUdev(data []byte) map[string]string {
	properties := make(map[string]string)
	for line := range bytes.Lines(data) {
		property, ok := strings.CutPrefix(strings.TrimRight(string(line), "\n"), "E:")
		if key, value, is := strings.Cut(property, "="); ok && is {
			properties[key] = value
		}
	}
	return properties
}
