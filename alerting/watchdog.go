package alerting

import (
	"strings"

	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"
)

// watchdog is the alert that fires as long as alerting works. It is for what
// calls somebody when it is heard no more; people who did not ask for it would
// only be bothered by it.
const watchdog = "Watchdog"

// expectsWatchdog tells whether a route that names the alert leads to a receiver
// that would hear it.
func expectsWatchdog(r *dispatch.Route, receivers map[string][]notify.Integration) bool {
	if len(receivers[r.RouteOpts.Receiver]) > 0 {
		for _, m := range r.Matchers {
			if m.Name == model.AlertNameLabel && (m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp) && strings.Contains(m.Value, watchdog) && m.Matches(watchdog) {
				return true
			}
		}
	}
	for _, sub := range r.Routes {
		if expectsWatchdog(sub, receivers) {
			return true
		}
	}
	return false
}
