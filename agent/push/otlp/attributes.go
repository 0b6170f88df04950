package otlp

import (
	"encoding/base64"
	"encoding/json"
	"strconv"

	"github.com/prometheus/otlptranslator"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"

	"github.com/plimsoll-io/plimsoll/agent/push"
)

// Attributes that say who a resource is.
const (
	serviceName      = "service.name"
	serviceNamespace = "service.namespace"
	serviceInstance  = "service.instance.id"
	containerID      = "container.id"
)

// maxIdentity bounds what a sender says of who it is.
const maxIdentity = 256 // bytes

// origin is who a resource is.
func origin(attributes []*commonpb.KeyValue) (push.Origin, push.Reason) {
	var o push.Origin
	namespace := ""
	for _, a := range attributes {
		value := text(a.GetValue())
		switch a.GetKey() {
		case serviceName:
			o.Job = value
		case serviceNamespace:
			namespace = value
		case serviceInstance:
			o.Instance = value
		case containerID:
			o.Container = value
		}
	}
	if o.Job == "" {
		o.Job = "unknown_service"
	}
	if namespace != "" {
		o.Job = namespace + "/" + o.Job
	}
	o.Job = push.Job(o.Job)
	if max(len(o.Job), len(o.Instance), len(o.Container)) > maxIdentity {
		return o, push.TooLong
	}
	return o, 0
}

// describe gathers what else is said of a resource, for target_info.
func describe(labels *push.Labels, attributes []*commonpb.KeyValue) push.Reason {
	labels.Reset()
	for _, a := range attributes {
		switch a.GetKey() {
		case serviceName, serviceNamespace, serviceInstance, containerID:
			continue
		}
		if why := add(labels, a.GetKey(), text(a.GetValue())); why != 0 {
			return why
		}
	}
	return 0
}

// add adds an attribute, under the name that Prometheus allows it.
func add(labels *push.Labels, key, value string) push.Reason {
	if len(key) > maxIdentity {
		return push.TooLong
	}
	namer := otlptranslator.LabelNamer{}
	name, err := namer.Build(key)
	if err != nil {
		return push.Malformed
	}
	labels.Add(name, key, value)
	return 0
}

// text is an attribute's value as the text that a label holds.
func text(v *commonpb.AnyValue) string {
	switch v := plain(v).(type) {
	case nil:
		return ""
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	default: // a bool, or lists and maps
		b, err := json.Marshal(v)
		if err != nil {
			return "" // there is no JSON of numbers that are none
		}
		return string(b)
	}
}

func plain(v *commonpb.AnyValue) any {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return v.StringValue
	case *commonpb.AnyValue_BoolValue:
		return v.BoolValue
	case *commonpb.AnyValue_IntValue:
		return v.IntValue
	case *commonpb.AnyValue_DoubleValue:
		return v.DoubleValue
	case *commonpb.AnyValue_BytesValue:
		return base64.StdEncoding.EncodeToString(v.BytesValue)
	case *commonpb.AnyValue_ArrayValue:
		list := []any{}
		for _, one := range v.ArrayValue.GetValues() {
			list = append(list, plain(one))
		}
		return list
	case *commonpb.AnyValue_KvlistValue:
		list := map[string]any{}
		for _, one := range v.KvlistValue.GetValues() {
			list[one.GetKey()] = plain(one.GetValue())
		}
		return list
	}
	return nil
}
