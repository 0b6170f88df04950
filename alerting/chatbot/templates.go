package chatbot

import (
	"bytes"
	"cmp"
	_ "embed"

	"github.com/prometheus/alertmanager/template"
)

//go:embed default.tmpl
var defaults []byte

// Templates are Alertmanager's, the default ones of chat bots, and those in the
// files that match globs, which may redefine either.
func Templates(globs []string) (*template.Template, error) {
	t, err := template.FromGlobs(nil)
	if err != nil {
		return nil, err
	}
	if err := t.Parse(bytes.NewReader(defaults)); err != nil {
		return nil, err
	}
	for _, glob := range globs {
		if err := t.FromGlob(glob); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// defaultTemplate names one of default.tmpl.
func defaultTemplate(kind, format, language string) string {
	if format == "text" {
		kind = "plain"
	}
	return `{{ template "plimsoll.` + kind + "." + language + `" . }}`
}

// Complete is a Config with the format and the templates that it has by default.
func (k Kind) Complete(c Config) Config {
	c.Format = cmp.Or(c.Format, k.Formats[0])
	c.Title = cmp.Or(c.Title, defaultTemplate("title", "", c.Language))
	c.Text = cmp.Or(c.Text, defaultTemplate(k.Name, c.Format, c.Language))
	return c
}
