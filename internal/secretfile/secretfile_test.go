package secretfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/plimsoll-io/plimsoll/internal/secretfile"
)

func TestWhatIsWrittenIsForItsOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.json")
	for _, want := range []string{"first", "second"} {
		if err := secretfile.Write(path, want); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := secretfile.Read(path, &got); err != nil || got != want {
			t.Errorf("%q, error %v, want %q", got, err, want)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("mode %v, error %v", info.Mode(), err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v is in the directory, error %v; want the file alone", left, err)
	}
}

func TestWhatCannotBeWrittenLeavesWhatWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.json")
	if err := secretfile.Write(path, "before"); err != nil {
		t.Fatal(err)
	}
	if err := secretfile.Write(path, make(chan int)); err == nil {
		t.Error("a channel was written")
	}
	if err := secretfile.Write(filepath.Join(path, "below"), "x"); err == nil {
		t.Error("a file was taken for a directory")
	}
	var got string
	if err := secretfile.Read(path, &got); err != nil || got != "before" {
		t.Errorf("%q, error %v", got, err)
	}
}

func TestWhatOthersCanReadIsNoSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.json")
	var got string
	if err := secretfile.Read(path, &got); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v of no file", err)
	}
	for _, tt := range []struct {
		text string
		mode os.FileMode
		want string // in the error
	}{
		{`"x"`, 0o600, ""},
		{`"x"`, 0o400, ""},
		{`"x"`, 0o660, ""}, // put right
		{`"x"`, 0o644, "mode 0644); chmod 600"},
		{`"x"`, 0o602, "mode 0602"},
		{`"x`, 0o600, path},
		{``, 0o600, path},
	} {
		if err := errors.Join(os.WriteFile(path, []byte(tt.text), 0o600), os.Chmod(path, tt.mode)); err != nil {
			t.Fatal(err)
		}
		err := secretfile.Read(path, &got)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%q with mode %04o: error %v, want one with %q", tt.text, tt.mode, err, tt.want)
		}
		if info, err := os.Stat(path); err != nil || tt.mode == 0o660 && info.Mode() != 0o600 {
			t.Errorf("mode %v is left, error %v", info.Mode(), err)
		}
	}
}
