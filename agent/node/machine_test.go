package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// plant writes files below a new folder.
func plant(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestIdentityOfAMachine(t *testing.T) {
	const id, uuid, boot = "9f0e4c2ab7d84e5f8a1b3c6d7e8f9a0b", "4C4C4544-0042-3510-8052-B4C04F4E4E32", "5c2f6d0e-9b1a-4f37-8d24-7e6a1b3c9f58"
	tests := map[string]struct {
		files map[string]string
		want  Identity
	}{
		"is in three files": {
			map[string]string{"etc/machine-id": id + "\n", "class/dmi/id/product_uuid": uuid + "\n", "sys/kernel/random/boot_id": boot + "\n"},
			Identity{id, uuid, boot},
		},
		"may be that of D-Bus":                {map[string]string{"etc/machine-id": "", "var/lib/dbus/machine-id": id}, Identity{MachineID: id}},
		"is unknown before the first boot":    {map[string]string{"etc/machine-id": "uninitialized\n"}, Identity{}},
		"is unknown if it is anything else":   {map[string]string{"etc/machine-id": "\xff" + id[1:], "sys/kernel/random/boot_id": id + id}, Identity{}},
		"is unknown if it is mostly hyphens":  {map[string]string{"etc/machine-id": "-------------------------------------" + id}, Identity{}},
		"is unknown where there are no files": {nil, Identity{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root := plant(t, tt.files)
			if got := (Roots{Proc: root, Sys: root, Root: root}).Identity(); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestTopology(t *testing.T) {
	// Two sockets of two cores of two threads, whose cores have the same ids.
	files := map[string]string{"devices/system/cpu/cpu8/online": "0\n"}
	for cpu := range 8 {
		dir := fmt.Sprintf("devices/system/cpu/cpu%d/topology/", cpu)
		files[dir+"core_id"] = fmt.Sprintln(cpu % 2)
		files[dir+"physical_package_id"] = fmt.Sprintln(cpu / 2 % 2)
		files[dir+"thread_siblings_list"] = fmt.Sprintf("%d,%d\n", cpu%4, cpu%4+4)
		first := cpu / 2 % 2 * 2
		files[dir+"core_siblings_list"] = fmt.Sprintf("%d-%d,%d-%d\n", first, first+1, first+4, first+5)
	}
	got, err := Roots{Sys: plant(t, files)}.Topology()
	if want := (Topology{Cores: 4, Sockets: 2}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := (Roots{Sys: plant(t, nil)}).Topology(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without any: %v", err)
	}
}

func TestTopologyOfThisMachine(t *testing.T) {
	got, err := Roots{}.Topology()
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip(err)
	}
	if err != nil || got.Sockets < 1 || got.Cores < got.Sockets {
		t.Errorf("got %+v, %v", got, err)
	}
}
