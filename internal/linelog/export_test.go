package linelog

import "os"

// SetFsync puts a slow or broken disk under the log.
func (l *Log) SetFsync(fsync func(*os.File) error) { l.disk.fsync = fsync }

// Settle waits for what goes on beside.
func (l *Log) Settle() { l.beside.Wait() }
