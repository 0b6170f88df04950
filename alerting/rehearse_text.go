package alerting

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/template"

	"github.com/plimsoll-io/plimsoll/alerting/amfile"
	"github.com/plimsoll-io/plimsoll/alerting/place"
)

// capture makes of the integrations of a configuration such that keep what they
// would have sent.
func (r *Rehearsal) capture(file string) (map[string][]notify.Integration, error) {
	texts, err := r.texts(file)
	if err != nil {
		return nil, err
	}
	receivers := map[string][]notify.Integration{}
	for name, list := range r.settings.receivers {
		receivers[name] = nil
		for i := range list {
			to := captured{r, name, fmt.Sprintf("%s[%d]", list[i].Name(), list[i].Index()), nil}
			to.texts = texts[name+"/"+to.name]
			receivers[name] = append(receivers[name], notify.NewIntegration(to, &list[i], list[i].Name(), list[i].Index(), name))
		}
	}
	return receivers, nil
}

// texts are the templates of every integration, defaults included, by
// "receiver/integration[0]" and then by key.
func (r *Rehearsal) texts(file string) (map[string]map[string]string, error) {
	all := map[string]map[string]string{}
	for _, rcv := range r.settings.conf.Receivers {
		integrations(rcv, func(name string, settings any) {
			texts := map[string]string{}
			collect(reflect.ValueOf(settings), "", texts)
			all[rcv.Name+"/"+name] = texts
		})
	}
	if file == "" {
		return all, nil
	}
	data, err := os.ReadFile(file) // bots are not in Alertmanager's own
	if err != nil {
		return nil, err
	}
	f, problems := place.Parse(file, data)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	c, bots, problems := amfile.Parse(f, data, filepath.Dir(file))
	if err := problems.Err(); err != nil {
		return nil, err
	}
	for _, b := range bots {
		texts := map[string]string{}
		collect(reflect.ValueOf(b.Kind.Complete(b.Config)), "", texts)
		all[fmt.Sprintf("%s/%s[%d]", c.Receivers[b.Receiver].Name, b.Kind.Name, b.Index)] = texts
	}
	return all, nil
}

// integrations calls each with every integration of a stock receiver, by the
// names that Alertmanager gives them.
func integrations(rcv config.Receiver, each func(name string, settings any)) {
	v := reflect.ValueOf(rcv)
	for i := range v.NumField() {
		name, ok := strings.CutSuffix(key(v.Type().Field(i)), "_configs")
		if !ok || v.Field(i).Kind() != reflect.Slice {
			continue
		}
		for j := range v.Field(i).Len() {
			each(fmt.Sprintf("%s[%d]", name, j), v.Field(i).Index(j).Interface())
		}
	}
}

// key is what a field is called in YAML.
func key(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}

// collect gathers the texts of a configuration by their path. Secrets have
// types of their own and so are left out, and so is how to connect.
func collect(v reflect.Value, path string, into map[string]string) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			collect(v.Elem(), path, into)
		}
	case reflect.String:
		if v.Type() == reflect.TypeFor[string]() && v.String() != "" {
			into[path] = v.String()
		}
	case reflect.Slice:
		for i := range v.Len() {
			collect(v.Index(i), fmt.Sprintf("%s[%d]", path, i), into)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			collect(v.MapIndex(k), strings.TrimPrefix(fmt.Sprintf("%s.%v", path, k), "."), into)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name := key(f)
			if !f.IsExported() || name == "-" || name == "" || name == "http_config" || strings.HasSuffix(name, "_file") {
				continue
			}
			collect(v.Field(i), strings.TrimPrefix(path+"."+name, "."), into)
		}
	}
}

// captured is a notifier that sends nothing.
type captured struct {
	to       *Rehearsal
	receiver string
	name     string
	texts    map[string]string
}

// Notify implements notify.Notifier.
func (c captured) Notify(ctx context.Context, alerts ...*alert.Alert) (bool, error) {
	data := notify.GetTemplateData(ctx, c.to.settings.tmpl, alerts, slog.New(slog.DiscardHandler))
	at, _ := notify.Now(ctx)
	m := Message{At: at, Receiver: c.receiver, Integration: c.name, Status: data.Status, GroupLabels: data.GroupLabels, Text: map[string]string{}}
	for _, a := range data.Alerts {
		m.Alerts = append(m.Alerts, MessageAlert{Status: a.Status, Labels: a.Labels})
	}
	for key, text := range c.texts {
		rendered, err := render(c.to.settings.tmpl, key, text, data)
		if err != nil {
			return false, fmt.Errorf("%s: %w", key, err)
		}
		m.Text[key] = rendered
	}
	c.to.mu.Lock()
	defer c.to.mu.Unlock()
	c.to.sent = append(c.to.sent, m)
	return false, nil
}

// render renders a text as its integration would: only that of e-mails in HTML
// is escaped.
func render(tmpl *template.Template, key, text string, data *template.Data) (string, error) {
	if key == "html" {
		return tmpl.ExecuteHTMLString(text, data)
	}
	return tmpl.ExecuteTextString(text, data)
}
