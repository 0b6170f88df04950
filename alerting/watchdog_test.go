package alerting_test

import "testing"

func TestTheWatchdogFiresForWhoeverNamesIt(t *testing.T) {
	route := func(matcher, receiver string) string {
		return `route:
  receiver: hook
  routes:
    - receiver: nobody
      matchers: ['node = n1']
      routes: [{receiver: ` + receiver + `, matchers: ['` + matcher + `']}]
receivers:
  - name: hook
    webhook_configs: [{url: http://127.0.0.1:1}]
  - name: nobody
`
	}
	w := newWorld(t)
	p := w.run(w.options())
	for name, tt := range map[string]struct {
		config string
		want   float64
	}{
		"a route for all alerts":           {config("http://127.0.0.1:1"), 0},
		"a route with its name":            {route(`alertname = Watchdog`, "hook"), 1},
		"a route with it among others":     {route(`alertname =~ "Watchdog|Heartbeat"`, "hook"), 1},
		"a route with its name, to nobody": {route(`alertname = Watchdog`, "nobody"), 0},
		"a route for whatever has a name":  {route(`alertname =~ ".+"`, "hook"), 0},
		"a route for all but it":           {route(`alertname != Watchdog`, "hook"), 0},
		"a route for one that sounds like": {route(`alertname = HostWatchdog`, "hook"), 0},
		"a label that is not the name":     {route(`kind = Watchdog`, "hook"), 0},
	} {
		w.write("alertmanager.yml", tt.config)
		if err := p.Reload(); err != nil {
			t.Fatal(err)
		}
		if got := p.metric("plimsoll_alerting_watchdog_routed"); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
