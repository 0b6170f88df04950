package alerting

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// sink is people behind a webhook for each peer: when they were first told of
// each alert.
type sink struct {
	server *httptest.Server

	mu    sync.Mutex
	told  map[string]map[string]time.Time // by peer and name
	at    map[string]time.Time            // of the last that was new
	count map[string]int                  // of messages
}

func newSink(b *testing.B) *sink {
	s := &sink{told: map[string]map[string]time.Time{}, at: map[string]time.Time{}, count: map[string]int{}}
	s.server = httptest.NewServer(http.HandlerFunc(s.hear))
	b.Cleanup(s.server.Close)
	return s
}

func (s *sink) hear(_ http.ResponseWriter, r *http.Request) {
	now := time.Now()
	var m struct {
		Alerts []struct {
			Status string
			Labels map[string]string
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		return
	}
	peer := r.URL.Query().Get("peer")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told[peer] == nil {
		s.told[peer] = map[string]time.Time{}
	}
	s.count[peer]++
	for _, a := range m.Alerts {
		if _, known := s.told[peer][a.Labels["name"]]; a.Status == "firing" && a.Labels["alertname"] == "High" && !known {
			s.told[peer][a.Labels["name"]] = now
			s.at[peer] = now
		}
	}
}

// config is an alertmanager.yml that tells of a peer's alerts. All but those of
// the rule that is timed go nowhere.
func (s *sink) config(peer, groupWait, groupInterval, groupBy string) string {
	url := s.server.URL + "/?peer=" + escape(peer)
	return fmt.Sprintf(`route:
  receiver: nobody
  routes:
    - receiver: hook
      matchers: [alertname = High]
      group_by: [%s]
      group_wait: %s
      group_interval: %s
      repeat_interval: 1h
receivers:
  - name: nobody
  - name: hook
    webhook_configs: [{url: %q, send_resolved: false}]
`, groupBy, groupWait, groupInterval, url)
}

// complete waits until a peer has told of so many alerts, or until late.
func (s *sink) complete(peer string, n int, late <-chan time.Time) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		s.mu.Lock()
		told := len(s.told[peer])
		s.mu.Unlock()
		if told >= n {
			return true
		}
		select {
		case <-tick.C:
		case <-late:
			return false
		}
	}
}

func (s *sink) first(peer, name string) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.told[peer][name]
	return at, ok
}

func (s *sink) last(peer string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at[peer]
}

func (s *sink) messages(peer string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[peer]
}
