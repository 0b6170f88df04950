package node

import (
	"errors"
	"os"
	"syscall"
)

// Space is how full a file system is.
type Space struct {
	SizeBytes  uint64
	FreeBytes  uint64 // of them AvailBytes are for everybody, the rest for root
	AvailBytes uint64
	Files      uint64 // inodes; 0 where there is no limit
	FilesFree  uint64
}

// Statfs asks how full the file system at path is. It does not return as long
// as a file server does not answer, and nothing can end it.
func Statfs(path string) (Space, error) {
	var raw syscall.Statfs_t
	for {
		err := syscall.Statfs(path, &raw)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EINTR) {
			return Space{}, &os.PathError{Op: "statfs", Path: path, Err: err}
		}
	}
	block := uint64(raw.Bsize)
	return Space{
		SizeBytes:  raw.Blocks * block,
		FreeBytes:  raw.Bfree * block,
		AvailBytes: raw.Bavail * block,
		Files:      raw.Files,
		FilesFree:  raw.Ffree,
	}, nil
}
