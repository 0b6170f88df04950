package chain_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/plimsoll-io/plimsoll/internal/chain"
)

// sealed is a chain of three lines.
func sealed(t *testing.T) (lines [][]byte, end chain.Link) {
	t.Helper()
	for _, body := range []string{`{"a":1}`, `{"a":{"seq":7,"hash":"x"}}`, `{"b":"}\",\"seq\":9"}`} {
		line, next, err := end.Seal([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		lines, end = append(lines, line), next
	}
	return lines, end
}

func TestALineFollowsTheOneBefore(t *testing.T) {
	lines, end := sealed(t)
	var at chain.Link
	for i, line := range lines {
		seal, err := chain.Read(line)
		if err != nil || !seal.Follows(at) || seal.Seq != uint64(i+1) {
			t.Errorf("%s: seal %+v, error %v", line, seal, err)
		}
		at = seal.Link
	}
	if at != end {
		t.Errorf("the chain ends with %v, want %v", at, end)
	}
	for name, order := range map[string][]int{"removed": {0, 2}, "swapped": {1, 0, 2}, "doubled": {0, 0, 1}} {
		at, follows := chain.Link{}, true
		for _, i := range order {
			seal, _ := chain.Read(lines[i])
			follows = follows && seal.Follows(at)
			at = seal.Link
		}
		if follows {
			t.Errorf("%s: nothing shows", name)
		}
	}
}

// Any change of any byte shows in the line itself.
func TestEveryByteCounts(t *testing.T) {
	lines, _ := sealed(t)
	for _, line := range lines {
		for at := range line {
			for _, bit := range []byte{0x01, 0x20, 0x80} {
				other := bytes.Clone(line)
				other[at] ^= bit
				if seal, err := chain.Read(other); err == nil {
					t.Fatalf("%s\nreads as %s\nwith %v", line, other, seal)
				}
			}
			if _, err := chain.Read(line[:at]); err == nil {
				t.Fatalf("%s can be cut after %d bytes", line, at)
			}
		}
	}
	if _, err := chain.Read(bytes.Replace(lines[0], []byte(`"a":1`), []byte(`"a":2`), 1)); !errors.Is(err, chain.ErrAltered) {
		t.Errorf("error %v", err)
	}
	if _, err := chain.Read([]byte(`{"a":1}`)); !errors.Is(err, chain.ErrNoSeal) {
		t.Errorf("error %v", err)
	}
}

// The package's own words on how to look at a line without this program.
func TestAnyoneCanLook(t *testing.T) {
	sum, err := exec.LookPath("sha256sum")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("there is no sha256sum here")
	}
	lines, _ := sealed(t)
	file := filepath.Join(t.TempDir(), "line")
	if err := os.WriteFile(file, append(lines[1], '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("sh", "-c", "head -c -76 "+file+" | "+sum).Output()
	if err != nil {
		t.Fatal(err)
	}
	seal, _ := chain.Read(lines[1])
	if got, _, _ := strings.Cut(string(out), " "); got != seal.Hash.String() {
		t.Errorf("sha256sum says %s, the line %s", got, seal.Hash)
	}
}

func TestWhatIsNoObjectIsNotSealed(t *testing.T) {
	for _, text := range []string{"", "{}", "[1]", `{"a":1`, "{\n\"a\":1}"} {
		if line, _, err := (chain.Link{}).Seal([]byte(text)); err == nil {
			t.Errorf("%q is sealed as %s", text, line)
		}
	}
}

func TestALinkIsWrittenDownAndRead(t *testing.T) {
	_, end := sealed(t)
	var got chain.Link
	if err := got.UnmarshalText([]byte(end.String())); err != nil || got != end {
		t.Errorf("%v read as %v, error %v", end, got, err)
	}
	for _, text := range []string{"", "3", "3:", "x:" + end.Hash.String(), "3:" + strings.ToUpper(end.Hash.String()), "3:" + end.Hash.String()[1:]} {
		if got.UnmarshalText([]byte(text)) == nil {
			t.Errorf("%q is a link", text)
		}
	}
}

// FuzzRead: nothing breaks, and what reads as sealed is what Seal would write.
func FuzzRead(f *testing.F) {
	line, _, _ := (chain.Link{}).Seal([]byte(`{"a":1}`))
	f.Add(line)
	f.Add([]byte(`{"a":1,"seq":1}`))
	f.Add([]byte(`,"hash":"`))
	f.Fuzz(func(t *testing.T, line []byte) {
		seal, err := chain.Read(line)
		if err != nil {
			return
		}
		i := bytes.LastIndex(line, []byte(`,"seq":`))
		again, _, err := chain.Link{Seq: seal.Seq - 1, Hash: seal.Prev}.Seal(append(bytes.Clone(line[:i]), '}'))
		if err == nil && !bytes.Equal(again, line) {
			t.Errorf("%s\nsealed anew is\n%s", line, again)
		}
	})
}
