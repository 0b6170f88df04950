package main

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestAnAgentThatCannotBeMadeGivesBackWhatItHasOpened(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(data, nil, 0o600); err != nil { // no directory for a spool
		t.Fatal(err)
	}
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.LocalAddr().String()
	free.Close()
	flags := agentFlags{
		node: "here", interval: 1e9, procfs: "/proc", sysfs: "/sys", cgroupfs: "/sys/fs/cgroup", rootfs: "/",
		disk: true, scrape: true, statsd: address, otlpHTTP: "127.0.0.1:0",
	}
	attempt := func() {
		_, err := newAgent(agentOptions{
			agentFlags: flags, data: data, collectors: []string{"127.0.0.1:1"}, settings: flags.settings(),
			registerer: prometheus.NewRegistry(), log: slog.New(slog.DiscardHandler),
		})
		if err == nil {
			t.Fatal("there is an agent without a spool")
		}
	}
	attempt()
	before := descriptors(t)
	for range 3 {
		attempt() // which listens at the same address
	}
	if got := descriptors(t); got > before {
		t.Errorf("%d descriptors, %d before", got, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
