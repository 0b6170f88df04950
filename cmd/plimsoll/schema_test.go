package main

import (
	"bytes"
	"io"
	"os"
	"testing"
)

func TestThePublishedSchemaIsWhatTheCommandPrints(t *testing.T) {
	var out bytes.Buffer
	if err := newCLI(&out, io.Discard, nil).commands["schema policy"](t.Context()); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../docs/policies.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Error("they differ; run: go test ./scaler/policy -run Schema -update")
	}
}
