package alerting_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/plimsoll-io/plimsoll/alerting"
)

// killable is a world whose alerting runs in a process that may be killed.
func killable(t *testing.T) (*world, *ledger) {
	t.Helper()
	l := newLedger(t)
	w := &world{t: t, dir: t.TempDir()}
	w.write("alertmanager.yml", lifeConfig(l.url))
	w.write("rules.yml", nearLimit)
	return w, l
}

func (w *world) spawn() *child {
	c := spawn(w.t, w.dir)
	c.ready()
	return c
}

// evaluates waits until n evaluations more have ended.
func (c *child) evaluates(n float64) {
	c.t.Helper()
	until := c.metric(evaluations+"_count") + n
	c.eventually("rules are evaluated", func() bool { return c.metric(evaluations+"_count") >= until })
}

// known waits until the process knows what has become of all it has sent.
func (w *world) known(c *child) {
	w.t.Helper()
	c.eventually("all outcomes are known", func() bool {
		left, err := alerting.ReadRemains(w.path("alerting"))
		return err == nil && len(left.Unknown) == 0 // an error: it has just taken a snapshot
	})
}

func statuses(list []ledgerEntry) (s []string) {
	for _, e := range list {
		s = append(s, e.Status)
	}
	return s
}

func TestASilenceOfAmtoolSurvivesAKillRightAfterIt(t *testing.T) {
	amtool, err := exec.LookPath("amtool")
	if err != nil {
		const missing = "amtool is not installed: apt-get install prometheus-alertmanager"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	w, l := killable(t)
	c := w.spawn()
	tool := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), amtool, append([]string{"--alertmanager.url=" + c.api, "--output=simple"}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "NO_PROXY=127.0.0.1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("amtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}

	id := lastLine(tool("silence", "add", "alertname=NearLimit", "--author=test", "--comment=planned work", "--duration=1h"))
	answered := time.Now()
	c.kill()
	t.Logf("killed %v after the answer", time.Since(answered))

	c = w.spawn()
	if got := tool("silence", "query"); !strings.Contains(got, id[:8]) {
		t.Errorf("amtool silence query: %q, want %s", got, id)
	}
	c.uses("web", 95)
	c.eventually("the silence holds the alert back", func() bool { return c.metric("alertmanager_notifications_suppressed_total") >= 2 })
	if told := l.of("web"); len(told) > 0 {
		t.Errorf("%d messages of what is silenced", len(told))
	}

	tool("silence", "expire", id)
	c.kill()
	c = w.spawn()
	if got := c.silenceState(id); got != "expired" {
		t.Errorf("the silence is %q, want it expired", got)
	}
}

// Check 5: the cause ends while nobody looks.
func TestWhatEndsWhileTheProcessIsDownIsTold(t *testing.T) {
	w, l := killable(t)
	c := w.spawn()
	c.uses("web", 95)
	c.uses("db", 95)
	c.eventually("both are told", func() bool { return len(l.of("web")) == 1 && len(l.of("db")) == 1 })
	w.known(c)
	c.kill()

	c = w.spawn()
	c.uses("web", 50)
	c.uses("db", 95)
	c.eventually("the end of the one is told", func() bool { return len(l.of("web")) == 2 })
	c.evaluates(settled)
	web, db := l.of("web"), l.of("db")
	if got := statuses(web); len(got) != 2 || got[1] != "resolved" {
		t.Fatalf("web was told to be %v", got)
	}
	before, after := web[0].Alerts[0], web[1].Alerts[0]
	if !after.StartsAt.Equal(before.StartsAt) || after.GeneratorURL != before.GeneratorURL || after.Annotations["summary"] != "web uses 95%" {
		t.Errorf("it ended as %+v, and was %+v", after, before)
	}
	if got := statuses(db); len(got) != 1 {
		t.Errorf("db, which fires on, was told to be %v", got)
	}
	if n := c.metric("plimsoll_alerting_notifications_unknown_total"); n != 0 {
		t.Errorf("%v notifications of unknown outcome, want none", n)
	}
}

// A receiver has the message, and the process is killed before it hears so.
func TestANotificationOfUnknownOutcomeIsSentAgainAndItsEndIsTold(t *testing.T) {
	w, l := killable(t)
	release := l.hold()
	defer release()
	c := w.spawn()
	c.uses("on", 95)
	c.uses("over", 95)
	for range 2 {
		<-l.reached
	}
	c.uses("over", 50)
	c.evaluates(3) // its end is known, and waits behind the message under way
	c.kill()
	release()

	c = w.spawn()
	c.uses("on", 95)
	c.uses("over", 50)
	c.eventually("the end is told", func() bool { return len(l.of("over")) >= 2 })
	c.evaluates(settled)
	if got := fmt.Sprint(statuses(l.of("on"))); got != "[firing firing]" {
		t.Errorf("what fires on was told to be %s, want twice, as nobody knows whether once was enough", got)
	}
	if got := fmt.Sprint(statuses(l.of("over"))); got != "[firing resolved]" {
		t.Errorf("what has ended was told to be %s", got)
	}
	if n := c.metric("plimsoll_alerting_notifications_unknown_total"); n != 2 {
		t.Errorf("%v notifications of unknown outcome are counted, want 2", n)
	}
	c.kill()

	c = w.spawn()
	if n := c.metric("plimsoll_alerting_notifications_unknown_total"); n != 0 {
		t.Errorf("after one more start, %v notifications of unknown outcome, want none", n)
	}
}

func TestWhatAReceiverRefusedIsNotOfUnknownOutcome(t *testing.T) {
	refuse := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })
	w := &world{t: t, dir: t.TempDir()}
	w.write("alertmanager.yml", lifeConfig(refuse))
	w.write("rules.yml", nearLimit)
	c := w.spawn()
	c.uses("web", 95)
	c.eventually("it is refused", func() bool { return c.metric("alertmanager_notification_requests_failed_total") > 0 })
	w.known(c)
}

// segments are the files of a journal.
func (w *world) segments(log string) []string {
	w.t.Helper()
	found, err := filepath.Glob(w.path("alerting/" + log + ".journal.0*"))
	if err != nil || len(found) == 0 {
		w.t.Fatalf("segments of %s: %v, error %v", log, found, err)
	}
	return found
}

// Check 8, and what else may be wrong with a journal.
func TestADamagedJournalIsSetAsideAndWhatIsSoundIsInForce(t *testing.T) {
	tests := map[string]struct {
		damage func(data []byte) []byte
		kept   []int // of three silences
	}{
		"garbage behind it":   {func(data []byte) []byte { return append(data, "\x99garbage that is no record"...) }, []int{0, 1, 2}},
		"its end is torn off": {func(data []byte) []byte { return data[:len(data)-7] }, []int{0, 1}},
		"a byte is flipped":   {func(data []byte) []byte { data[20] ^= 1; return data }, []int{1, 2}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w, _ := killable(t)
			c := w.spawn()
			c.eventually("the first snapshot is on disk", func() bool { return c.metric("plimsoll_alerting_journal_snapshots_total") >= 3 })
			var ids []string
			for n := range 3 {
				ids = append(ids, c.silence(fmt.Sprintf("s%d", n)))
			}
			c.kill()
			file := w.segments("silences")[0]
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			data = tt.damage(data)
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}

			c = w.spawn()
			kept := map[int]bool{}
			for _, n := range tt.kept {
				kept[n] = true
			}
			for n, id := range ids {
				if got := c.silenceState(id) == "active"; got != kept[n] {
					t.Errorf("silence %d in force: %v, want %v", n, got, kept[n])
				}
			}
			if c.metric("plimsoll_alerting_journal_damaged_total") == 0 {
				t.Error("the damage is not counted")
			}
			c.eventually("the damaged file is set aside", func() bool {
				aside, err := os.ReadFile(w.path("alerting/silences.journal.damaged"))
				return err == nil && bytes.Equal(aside, data)
			})
			id := c.silence("new")
			c.kill()
			c = w.spawn()
			if c.silenceState(id) != "active" || c.metric("plimsoll_alerting_journal_damaged_total") != 0 {
				t.Error("the next start is not sound")
			}
		})
	}
}

func TestOfADamagedSnapshotWhatCanBeReadIsInForce(t *testing.T) {
	w, l := killable(t)
	c := w.spawn()
	c.uses("web", 95)
	c.eventually("it is told", func() bool { return len(l.of("web")) == 1 })
	id := c.silence("s")
	c.end() // which waits for what is being sent
	for _, name := range []string{"silences", "nflog", "alerts"} {
		f, err := os.OpenFile(w.path("alerting/"+name), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("\xff\xff\xff garbage"); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	c = w.spawn()
	c.uses("web", 95)
	if c.silenceState(id) != "active" {
		t.Error("the silence is gone")
	}
	if n := c.metric("plimsoll_alerting_journal_damaged_total"); n != 3 {
		t.Errorf("%v are said to be damaged, want 3", n)
	}
	c.evaluates(settled)
	if got := statuses(l.of("web")); len(got) != 1 {
		t.Errorf("what fires on is told to be %v", got)
	}
	for _, name := range []string{"silences", "nflog", "alerts"} {
		if _, err := os.Stat(w.path("alerting/" + name + ".damaged")); err != nil {
			t.Error(err)
		}
	}
}

func TestOnAFullDiskAlertingGoesOnAndSaysThatACrashWouldForget(t *testing.T) {
	w, l := killable(t)
	dir := w.path("alerting")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("a full disk takes a file system of its own: mount: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	c := w.spawn()
	first := c.silence("before")
	ballast := filepath.Join(dir, "ballast")
	_ = os.WriteFile(ballast, make([]byte, 1<<20), 0o600) // as much of it as there is room for

	refused := func() bool {
		code, body := c.ask(http.MethodPost, "/api/v2/silences",
			`{"matchers":[{"name":"name","value":"`+strings.Repeat("x", 4096)+`","isRegex":false}],"createdBy":"t","comment":"c","startsAt":"2026-01-01T00:00:00Z","endsAt":"2126-01-01T00:00:00Z"}`)
		var why string
		if code == http.StatusInsufficientStorage && (json.Unmarshal([]byte(body), &why) != nil || !strings.Contains(why, "in force, but a crash would forget")) {
			t.Errorf("the refusal says %q", body)
		}
		return code == http.StatusInsufficientStorage
	}
	c.eventually("a silence that is not on disk is not acknowledged", refused)
	if c.metric("plimsoll_alerting_journal_unsaved") != 1 || c.metric("plimsoll_alerting_journal_errors_total") == 0 {
		t.Error("the metrics do not say so")
	}
	c.uses("web", 95)
	c.eventually("people are told all the same", func() bool { return len(l.of("web")) == 1 })

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	c.eventually("all is on disk again", func() bool { return c.metric("plimsoll_alerting_journal_unsaved") == 0 })
	c.kill()
	c = w.spawn()
	c.uses("web", 95)
	c.evaluates(settled)
	if c.silenceState(first) != "active" {
		t.Error("the silence of before is gone")
	}
	if got := statuses(l.of("web")); len(got) != 1 {
		t.Errorf("what fires on is told to be %v", got)
	}
}
