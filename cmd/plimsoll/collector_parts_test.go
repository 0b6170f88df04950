package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/alecthomas/kingpin/v2"
)

// A second collector takes the same ports and directories, which nothing may
// hold any more.
func TestACollectorThatCannotBeMadeLeavesNothingOpen(t *testing.T) {
	dir, err := os.MkdirTemp("", "collector") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	policies := write("policies.yml", "nonsense")
	collector := func() (*collectorParts, error) {
		var f collectorFlags
		app := kingpin.New("test", "")
		f.add(app.Command("collector", ""))
		_, err := app.Parse([]string{
			"collector", "--data.path=" + dir, "--web.listen-address=127.0.0.1:0", "--grpc.listen-address=127.0.0.1:0", "--grpc.tls=on",
			"--scaler.policy.file=" + policies, "--pair.name=a", "--query.upstream=http://127.0.0.1:1",
			"--grpc.relay.listen-address=127.0.0.1:0", "--grpc.relay.upstream=127.0.0.1:1",
			"--forward.config.file=" + write("forward.yml", "remote_write: [{name: a, url: 'http://127.0.0.1:1'}]"),
			"--objstore.config-file=" + write("bucket.yml", "{type: FILESYSTEM, config: {directory: "+dir+"/bucket}}"),
		})
		if err != nil {
			t.Fatal(err)
		}
		return newCollector(t.Context(), f, map[string]string{}, slog.New(slog.DiscardHandler))
	}
	for range 2 {
		if _, err := collector(); err == nil {
			t.Fatal("nonsense is taken for policies")
		}
	}
	write("policies.yml", "{version: plimsoll.scaler/v1, apps: []}")
	p, err := collector()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.close(); err != nil {
		t.Error(err)
	}
}
