package alerting

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"

	"github.com/plimsoll-io/plimsoll/alerting/chatbot"
)

// people write down what they are told, as "1m0s firing HostMemoryLow n1 …".
type people struct {
	mu    sync.Mutex
	begin time.Time
	told  []string
}

func (p *people) Notify(_ context.Context, alerts ...*alert.Alert) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range alerts {
		words := []string{time.Since(p.begin).String(), string(a.Status()), a.Name()}
		for _, l := range []model.LabelName{"severity", "node", "name", "mountpoint", "policy"} {
			if v := a.Labels[l]; v != "" {
				words = append(words, string(v))
			}
		}
		p.told = append(p.told, strings.Join(words, " "))
	}
	return false, nil
}

// heard is what people were told since they were last asked, sorted.
func (p *people) heard() []string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	told := slices.Sorted(slices.Values(p.told))
	p.told = nil
	return told
}

type always struct{}

func (always) SendResolved() bool { return true }

// office is an Alertmanager with a configuration whose receiver "people" is
// heard.
type office struct {
	*people
	t  *testing.T
	am *alertmanager
}

// during runs f in a bubble with an office of a configuration; "" is the
// built-in one.
func during(t *testing.T, config string, f func(*office)) {
	t.Helper()
	dir := t.TempDir()
	file := ""
	if config != "" {
		file = filepath.Join(dir, "alertmanager.yml")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		opts := Options{
			DataDir: dir, Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
			ExternalURL: &url.URL{Scheme: "http", Host: "plimsoll.example"},
		}
		hub, err := chatbot.NewHub(chatbot.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer hub.Close()
		s, problems := loadConfig(file, opts.ExternalURL, opts.Log, hub)
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		p := &people{begin: time.Now()}
		s.receivers["people"] = []notify.Integration{notify.NewIntegration(p, always{}, "test", 0, "people")}
		m, err := newMetrics(opts.Registerer)
		if err != nil {
			t.Fatal(err)
		}
		am, err := newAlertmanager(opts, m)
		if err != nil {
			t.Fatal(err)
		}
		if err := am.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		am.apply(s)
		f(&office{p, t, am})
		am.stop()
	})
}

// fires hands alerts over, each a list of label names and values, that fire for
// four minutes more.
func (o *office) fires(alerts ...[]string) { o.put(4*time.Minute, alerts...) }

func (o *office) ends(alerts ...[]string) { o.put(0, alerts...) }

func (o *office) put(left time.Duration, alerts ...[]string) {
	o.t.Helper()
	now := time.Now()
	for _, pairs := range alerts {
		set := model.LabelSet{}
		for pair := range slices.Chunk(pairs, 2) {
			set[model.LabelName(pair[0])] = model.LabelValue(pair[1])
		}
		a := &alert.Alert{Alert: model.Alert{Labels: set, StartsAt: now, EndsAt: now.Add(left)}, UpdatedAt: now}
		if err := o.am.alerts.Put(o.t.Context(), a); err != nil {
			o.t.Fatal(err)
		}
	}
}

func (o *office) hears(want ...string) {
	o.t.Helper()
	if diff := cmp.Diff(want, o.heard()); diff != "" {
		o.t.Errorf("people heard (-want +got):\n%s", diff)
	}
}

func of(alertname, severity string, more ...string) []string {
	return append([]string{"alertname", alertname, "severity", severity}, more...)
}

func TestByDefaultCriticalAlertsAreToldAtOnceAndWarningsTogether(t *testing.T) {
	during(t, "", func(o *office) {
		o.fires(
			of("ContainerOOMKilled", "critical", "node", "n1", "name", "web"),
			of("ContainerOOMKilled", "critical", "node", "n1", "name", "api"),
			of("HostNetworkErrors", "warning", "node", "n1", "device", "eth0"),
			of("Watchdog", "none"),
		)
		<-time.After(5 * time.Second)
		o.fires(of("HostNetworkErrors", "warning", "node", "n1", "device", "eth1"))
		o.hears("0s firing ContainerOOMKilled critical n1 api", "0s firing ContainerOOMKilled critical n1 web")
		<-time.After(5 * time.Second)
		o.hears("10s firing HostNetworkErrors warning n1", "10s firing HostNetworkErrors warning n1")
		o.ends(of("ContainerOOMKilled", "critical", "node", "n1", "name", "web"))
		<-time.After(5 * time.Second)
		o.hears("15s resolved ContainerOOMKilled critical n1 web")
	})
}

func TestByDefaultWhatIsKnownAlreadyIsNotTold(t *testing.T) {
	web := []string{"node", "n1", "name", "web"}
	tests := map[string]struct {
		told, muted [][]string
	}{
		"of a node that is not heard of": {
			[][]string{of("AgentDown", "critical", "node", "n1"), of("HostDiskFull", "critical", "node", "n2")},
			[][]string{of("HostDiskFull", "critical", "node", "n1"), of("ContainerCPUThrottled", "warning", web...)},
		},
		"the warning before a critical alert, of the same container alone": {
			[][]string{of("ContainerMemoryNearLimit", "critical", web...), of("ContainerMemoryNearLimit", "warning", "node", "n1", "name", "api")},
			[][]string{of("ContainerMemoryNearLimit", "warning", web...)},
		},
		"the warning before a critical alert, of the same file system alone": {
			[][]string{
				of("HostDiskWillFill", "critical", "node", "n1", "mountpoint", "/", "device", "sda1"),
				of("HostDiskWillFill", "warning", "node", "n1", "mountpoint", "/data", "device", "sdb1"),
			},
			[][]string{of("HostDiskWillFill", "warning", "node", "n1", "mountpoint", "/", "device", "sda1")},
		},
		"what was foreseen of memory": {
			[][]string{of("ContainerMemoryNearLimit", "warning", web...), of("HostMemoryLow", "warning", "node", "n1")},
			[][]string{
				of("ContainerMemoryWillHitLimit", "warning", web...), of("HostMemoryWillRunOut", "warning", "node", "n1"),
				of("ContainerMemoryPressure", "warning", web...),
			},
		},
		"that a disk will be full which is": {
			[][]string{of("HostDiskFull", "critical", "node", "n1", "mountpoint", "/", "device", "sda1")},
			[][]string{of("HostDiskWillFill", "critical", "node", "n1", "mountpoint", "/", "device", "sda1")},
		},
		"of a policy at its maximum": {
			[][]string{of("ScalerWantsMoreThanMax", "critical", "policy", "web"), of("ScalerWantsMoreThanMax", "critical", "policy", "db"), of("ScalerAtMax", "warning", "policy", "api")},
			[][]string{of("ScalerAtMax", "warning", "policy", "web"), of("ScalerWillHitMax", "warning", "policy", "db"), of("ScalerWillHitMax", "warning", "policy", "api")},
		},
		"of a policy whose growth is held": {
			[][]string{of("ScalerStuck", "critical", "policy", "web"), of("ScalerNotConverging", "warning", "policy", "api")},
			[][]string{of("ScalerNotConverging", "warning", "policy", "web")},
		},
		"of an event whose load is not known": {
			[][]string{of("ScalerEventUnknown", "critical", "policy", "web"), of("ScalerHistoryMissing", "warning", "policy", "api")},
			[][]string{of("ScalerHistoryMissing", "warning", "policy", "web")},
		},
		"of a GPU that is gone": {
			[][]string{of("GPULost", "critical", "node", "n1", "gpu", "0"), of("GPUHot", "critical", "node", "n1", "gpu", "1")},
			[][]string{of("GPUXidFatal", "critical", "node", "n1", "gpu", "0")},
		},
		"pressure whose cause is told": {
			[][]string{of("ContainerCPUThrottled", "warning", web...), of("HostCPUSaturated", "warning", "node", "n1")},
			[][]string{of("ContainerCPUPressure", "warning", web...), of("HostCPUPressure", "warning", "node", "n1")},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			during(t, "", func(o *office) {
				// The causes first: what they mute must not slip through before.
				o.fires(tt.told...)
				synctest.Wait()
				o.fires(tt.muted...)
				<-time.After(20 * time.Second)
				o.hears(all("10s", "0s", tt.told)...)
				// The causes over, the rest is told.
				o.ends(tt.told...)
				<-time.After(20 * time.Second)
				firing := slices.DeleteFunc(o.heard(), func(l string) bool { return strings.Contains(l, "resolved") })
				for i, l := range firing {
					_, firing[i], _ = strings.Cut(l, " ")
				}
				for _, a := range tt.muted {
					if !slices.Contains(firing, worded(a)) {
						t.Errorf("not told afterwards: %s", worded(a))
					}
				}
			})
		})
	}
}

// all is what people hear of alerts, warnings and critical ones after a while.
func all(warning, critical string, alerts [][]string) []string {
	var told []string
	for _, a := range alerts {
		after := warning
		if a[3] == "critical" {
			after = critical
		}
		told = append(told, after+" "+worded(a))
	}
	slices.Sort(told)
	return told
}

// worded is how people write down that an alert fires.
func worded(pairs []string) string {
	words := []string{"firing"}
	for _, key := range []string{"alertname", "severity", "node", "name", "mountpoint", "policy"} {
		for pair := range slices.Chunk(pairs, 2) {
			if pair[0] == key {
				words = append(words, pair[1])
			}
		}
	}
	return strings.Join(words, " ")
}

// Nobody is told of warnings at night in Shanghai, which lasts until 10:30 there.
// The clock of a bubble begins at midnight UTC, and it is 8 o'clock there.
func nights(begin string) string {
	return `route:
  receiver: people
  group_by: [alertname]
  group_wait: 0s
  group_interval: 15s
  repeat_interval: 1h
  routes:
    - matchers: [severity = warning]
      mute_time_intervals: [night]
receivers:
  - name: people
time_intervals:
  - name: night
    time_intervals:
      - times: [{start_time: "` + begin + `", end_time: "10:30"}]
        location: Asia/Shanghai
`
}

func TestAnAlertThatStillFiresWhenANightEndsIsToldWithinAGroupInterval(t *testing.T) {
	const full = "firing HostDiskFull critical n1"
	tests := map[string]struct {
		begin string
		want  []string
	}{
		"it began at night":          {"00:00", []string{"2h30m0s firing HostMemoryLow warning n1"}},
		"it was told the day before": {"08:30", []string{"0s firing HostMemoryLow warning n1", "2h30m0s firing HostMemoryLow warning n1"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			during(t, nights(tt.begin), func(o *office) {
				for range 152 { // minutes
					o.fires(of("HostMemoryLow", "warning", "node", "n1"), of("HostDiskFull", "critical", "node", "n1"))
					<-time.After(time.Minute)
				}
				want := append(tt.want, "0s "+full, "1h0m15s "+full, "2h0m30s "+full)
				slices.Sort(want)
				o.hears(want...)
			})
		})
	}
}
