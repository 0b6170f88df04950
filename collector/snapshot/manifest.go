package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/prometheus/tsdb"

	"github.com/plimsoll-io/plimsoll/internal/durable"
)

const (
	manifestFile = "manifest.json"
	// format is the version of the manifest. A newer one is refused.
	format = 1
	// maxManifest is more than the list of a million files takes.
	maxManifest = 256 << 20
)

// Manifest is the list of what a snapshot has.
type Manifest struct {
	Format  int       `json:"format"`
	Version string    `json:"plimsoll"` // of the collector that made it
	Created time.Time `json:"created"`
	Parts   []Part    `json:"parts"`
	Files   []File    `json:"files"`
}

// Part is one store. From and To are the times of its first and last sample,
// zero if there is none.
type Part struct {
	Name    string    `json:"name"`
	Blocks  int       `json:"blocks"`
	Samples uint64    `json:"samples"` // one that lies in two blocks counts twice
	From    time.Time `json:"from,omitzero"`
	To      time.Time `json:"to,omitzero"`
}

// File is a file of a part; Path is relative to the snapshot, with slashes.
type File struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Bytes is the size of all files.
func (m Manifest) Bytes() int64 {
	var sum int64
	for _, f := range m.Files {
		sum += f.Bytes
	}
	return sum
}

// parse reads a manifest and refuses what could lead outside of the snapshot.
func parse(text []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("it is not a list of files: %w", err)
	}
	if m.Format != format {
		return m, fmt.Errorf("its format is %d, this program reads %d; use the version of Plimsoll that made it (%q)", m.Format, format, m.Version)
	}
	if len(m.Parts) == 0 {
		return m, errors.New("it lists no stores")
	}
	known := map[string]bool{}
	for _, p := range m.Parts {
		if !filepath.IsLocal(p.Name) || filepath.Base(p.Name) != p.Name || p.Name == "." || known[p.Name] {
			return m, fmt.Errorf("%q is not the name of a store, or stands there twice", p.Name)
		}
		known[p.Name] = true
	}
	seen := map[string]bool{}
	for _, f := range m.Files {
		path := filepath.FromSlash(f.Path)
		in := slices.ContainsFunc(m.Parts, func(p Part) bool { return within(path, p.Name) })
		if !in || !filepath.IsLocal(path) || filepath.Clean(path) != path || seen[path] {
			return m, fmt.Errorf("%q is not a file of any store, or stands there twice", f.Path)
		}
		seen[path] = true
		if sum, err := hex.DecodeString(f.SHA256); err != nil || len(sum) != sha256.Size || f.Bytes < 0 {
			return m, fmt.Errorf("%q has no proper size and checksum", f.Path)
		}
	}
	return m, nil
}

// within tells whether path is below the directory part.
func within(path, part string) bool {
	rest, err := filepath.Rel(part, path)
	return err == nil && rest != "." && filepath.IsLocal(rest)
}

// read reads the manifest of a snapshot.
func read(dir string) (Manifest, error) {
	path := filepath.Join(dir, manifestFile)
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return Manifest{}, fmt.Errorf("%s is not a snapshot: it has no %s", dir, manifestFile)
	}
	if err != nil {
		return Manifest{}, err
	}
	if info.Size() > maxManifest {
		return Manifest{}, fmt.Errorf("%s has %d bytes, which is no list of files", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Manifest{}, err
	}
	m, err := parse(text)
	if err != nil {
		return m, fmt.Errorf("%s cannot be used: %w", path, err)
	}
	return m, nil
}

// write writes the manifest, which is what makes a directory a snapshot.
func (m Manifest) write(dir string) error {
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, manifestFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	if _, err = f.Write(text); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), durable.SyncDir(dir))
}

// describe tells what a part has, from its blocks' own descriptions.
func describe(dir, name string) (Part, error) {
	p := Part{Name: name}
	metas, err := filepath.Glob(filepath.Join(dir, name, "*", "meta.json"))
	if err != nil {
		return p, err
	}
	for _, path := range metas {
		text, err := os.ReadFile(path)
		if err != nil {
			return p, err
		}
		var meta tsdb.BlockMeta
		if err := json.Unmarshal(text, &meta); err != nil {
			return p, fmt.Errorf("%s: %w", path, err)
		}
		from, to := time.UnixMilli(meta.MinTime).UTC(), time.UnixMilli(meta.MaxTime-1).UTC()
		if p.Blocks == 0 || from.Before(p.From) {
			p.From = from
		}
		if p.Blocks == 0 || to.After(p.To) {
			p.To = to
		}
		p.Blocks++
		p.Samples += meta.Stats.NumSamples
	}
	return p, nil
}
