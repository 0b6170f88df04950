//go:build !cgo

package gpu

// inBuild tells whether this program can read GPUs.
const inBuild = false

func open() (devices, error) {
	return nil, absentError("this program was built without cgo, which GPU metrics need")
}
