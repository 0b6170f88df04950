package main

import (
	"context"

	"github.com/plimsoll-io/plimsoll/docs"
	"github.com/plimsoll-io/plimsoll/scaler/policy"
)

// schemaCommand prints what editors check files with.
type schemaCommand struct{ *cli }

func (c *cli) schema() {
	cmd := &schemaCommand{cli: c}
	k := c.app.Command("schema", "Print the JSON Schema of a kind of file, for editors.")
	k.Command("policy", "The schema of policy files, draft 2020-12. It knows keys, words, ranges and which keys belong together; check policies knows the rest.")
	c.commands["schema policy"] = cmd.policy
}

func (c *schemaCommand) policy(context.Context) error {
	schema, err := policy.Schema(policy.Meanings(docs.Policies))
	if err != nil {
		return err
	}
	_, err = c.stdout.Write(schema)
	return err
}
