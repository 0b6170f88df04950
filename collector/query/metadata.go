package query

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// Metric is what is known of a metric besides its samples.
type Metric struct {
	Name, Type, Help, Unit string // Type as Prometheus spells it: "counter"
}

// about is a Metric as the API shows it, below its name.
type about struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

// metadata answers what Prometheus would answer from its targets: for each
// metric all that different nodes say of it, without repetition.
func metadata(list func() []Metric) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		limit, err1 := atMost(r, "limit")
		perMetric, err2 := atMost(r, "limit_per_metric")
		if err := cmp.Or(err1, err2); err != nil {
			problem(w, http.StatusBadRequest, "bad_data", err.Error())
			return
		}
		var metrics []Metric
		if list != nil {
			metrics = list()
		}
		answer(w, http.StatusOK, map[string]any{
			"status": "success", "data": byName(metrics, r.FormValue("metric"), limit, perMetric),
		})
	}
}

// atMost reads a limit; none, or a negative one, is -1.
func atMost(r *http.Request, name string) (int, error) {
	s := r.FormValue(name)
	if s == "" {
		return -1, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("%s must be a number", name)
	}
	return max(n, -1), nil
}

func byName(metrics []Metric, only string, limit, perMetric int) map[string][]about {
	data := map[string][]about{}
	for _, m := range metrics {
		if only != "" && m.Name != only {
			continue
		}
		known, ok := data[m.Name]
		if !ok && limit >= 0 && len(data) >= limit {
			continue
		}
		a := about{m.Type, m.Help, m.Unit}
		if slices.Contains(known, a) || perMetric > 0 && len(known) >= perMetric {
			continue
		}
		data[m.Name] = append(known, a)
	}
	return data
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the client has gone
}
