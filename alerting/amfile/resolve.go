package amfile

import (
	"reflect"
	"strings"

	"github.com/prometheus/alertmanager/config"
	commoncfg "github.com/prometheus/common/config"

	"github.com/plimsoll-io/plimsoll/alerting/place"
	"github.com/plimsoll-io/plimsoll/internal/conf"
)

// empty finds dashes with nothing behind them. Alertmanager lets those of Slack
// and others pass where the global settings would do, and panics over them later.
func empty(f place.File, c *config.Config) (problems conf.Problems) {
	for i := range c.Receivers {
		receiver := reflect.ValueOf(&c.Receivers[i]).Elem()
		for k := range receiver.NumField() {
			list := receiver.Field(k)
			if list.Kind() != reflect.Slice || list.Type().Elem().Kind() != reflect.Pointer {
				continue
			}
			key, _, _ := strings.Cut(receiver.Type().Field(k).Tag.Get("yaml"), ",")
			for j := range list.Len() {
				if list.Index(j).IsNil() {
					problems = append(problems, f.Problem(f.At("receivers", i, key, j), "is empty", "write at least one setting, or remove the dash"))
				}
			}
		}
	}
	return problems
}

// resolve makes relative names of files in c those of files in dir, in exactly
// the settings for which config.LoadFile does so. It cannot be used itself: the
// file has what it refuses.
func resolve(c *config.Config, dir string) {
	for i, t := range c.Templates {
		c.Templates[i] = commoncfg.JoinDir(dir, t)
	}
	clients := map[*commoncfg.HTTPClientConfig]bool{c.Global.HTTPConfig: true}
	for i := range c.Receivers {
		collect(reflect.ValueOf(&c.Receivers[i]).Elem(), clients)
	}
	for _, out := range c.EventRecorder.WebhookOutputs {
		clients[out.HTTPConfig] = true
	}
	for client := range clients {
		client.SetDirectory(dir)
	}
	for i := range c.EventRecorder.FileOutputs {
		c.EventRecorder.FileOutputs[i].Path = commoncfg.JoinDir(dir, c.EventRecorder.FileOutputs[i].Path)
	}
	for _, out := range c.EventRecorder.KafkaOutputs {
		if out.TLSConfig != nil {
			out.TLSConfig.SetDirectory(dir)
		}
	}
}

// collect finds the HTTP clients of a receiver. Many integrations share one, and
// a second join would make dir/dir/file of a relative dir.
func collect(receiver reflect.Value, clients map[*commoncfg.HTTPClientConfig]bool) {
	for i := range receiver.NumField() {
		list := receiver.Field(i)
		// Alertmanager leaves out those of incident.io.
		if list.Kind() != reflect.Slice || receiver.Type().Field(i).Name == "IncidentioConfigs" {
			continue
		}
		for j := range list.Len() {
			field := list.Index(j).Elem().FieldByName("HTTPConfig")
			if !field.IsValid() {
				continue
			}
			if client, ok := field.Interface().(*commoncfg.HTTPClientConfig); ok && client != nil {
				clients[client] = true
			}
		}
	}
}
