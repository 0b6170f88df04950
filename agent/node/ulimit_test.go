package node

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	limitsHead = "Limit                     Soft Limit           Hard Limit           Units     \n" +
		"Max cpu time              unlimited            unlimited            seconds   \n"
	limitsTail = "Max locked memory         8388608              8388608              bytes     \n"
)

func TestTheSoftLimitOfOpenFilesIsFoundInTheTable(t *testing.T) {
	tests := map[string]struct {
		table string
		want  Ulimit
		bad   bool
	}{
		"the soft one of two":      {table: limitsHead + "Max open files            1024                 1048576              files     \n" + limitsTail, want: Ulimit{Value: 1024}},
		"none":                     {table: limitsHead + "Max open files            unlimited            unlimited            files     \n", want: Ulimit{Unlimited: true}},
		"without the last newline": {table: "Max open files 20 30 files", want: Ulimit{Value: 20}},
		"no such line":             {table: limitsHead + limitsTail, bad: true},
		"no number":                {table: "Max open files            many                 1048576              files\n", bad: true},
		"one column":               {table: "Max open files            1024\n", bad: true},
		"nothing":                  {bad: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseOpenFilesLimit([]byte(tt.table))
			if got != tt.want || errors.Is(err, ErrFormat) != tt.bad {
				t.Errorf("got %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

func TestTheKernelSaysWhatThisProcessMayOpen(t *testing.T) {
	var want unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &want); err != nil {
		t.Fatal(err)
	}
	got, err := Roots{}.OpenFilesLimit(os.Getpid())
	if err != nil || got != (Ulimit{Value: want.Cur}) {
		t.Errorf("got %+v, %v; want %d", got, err, want.Cur)
	}
	if _, err := (Roots{Proc: t.TempDir()}).OpenFilesLimit(1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no process: error %v, want ErrNotExist", err)
	}
}

func FuzzOpenFilesLimit(f *testing.F) {
	f.Add([]byte(limitsHead + "Max open files            1024                 1048576              files     \n" + limitsTail))
	f.Add([]byte("Max open files  18446744073709551616 1 files\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := parseOpenFilesLimit(data)
		check(t, err)
		if err != nil && l != (Ulimit{}) {
			t.Errorf("%+v with error %v", l, err)
		}
	})
}
