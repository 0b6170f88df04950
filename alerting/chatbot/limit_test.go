package chatbot_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plimsoll-io/plimsoll/alerting/chatbot"
)

// everybody fails if a name is in no message, or a platform was cross.
func everybody(t *testing.T, w *world, names []string) {
	t.Helper()
	said := strings.Builder{}
	for _, m := range w.messages() {
		said.WriteString(m.title + "\n" + m.text + "\n")
	}
	for _, name := range names {
		if !strings.Contains(said.String(), name) {
			t.Errorf("%s is in no message", name)
		}
	}
	if got := len(w.messages()); got != w.count() {
		t.Errorf("%d of %d messages were taken, want all", got, w.count())
	}
	if got := w.metric("waiting"); got != 0 {
		t.Errorf("%v wait at the end", got)
	}
}

// empty uses up the bucket, when the hub is old enough to have a full one.
func empty(t *testing.T, n *chatbot.Notifier, burst int) {
	t.Helper()
	<-time.After(time.Minute)
	tell(t, n, names(burst), 0, time.Minute)
}

func names(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("Alert%04dEnd", i)
	}
	return list
}

// tell delivers an alert of each name, every so often.
func tell(t *testing.T, n *chatbot.Notifier, names []string, every, limit time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var all sync.WaitGroup
	for _, name := range names {
		all.Go(func() {
			if _, err := deliver(ctx, n, name, firing(name)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		<-time.After(every)
	}
	all.Wait()
}

func TestTwentyFiveAlertsInAMinuteAreAllToldInAtMostTwentyPosts(t *testing.T) {
	for _, kind := range []string{"dingtalk", "wecom"} {
		for name, every := range map[string]time.Duration{"evenly": 2400 * time.Millisecond, "at once": 0} {
			t.Run(kind+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, kind)
					tell(t, w.notifier(w.config()), names(25), every, 2*time.Minute)
					everybody(t, w, names(25))
					if got := w.count(); got > 20 {
						t.Errorf("%d posts, want at most 20", got)
					}
					t.Logf("%d posts, %v merged", w.count(), w.metric("merged_total"))
				})
			})
		}
	}
}

func TestAFewAlertsAreAMessageEachAndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "dingtalk")
		<-time.After(time.Minute)
		began := time.Now()
		tell(t, w.notifier(w.config()), names(5), time.Second, time.Minute)
		if got := len(w.messages()); got != 5 {
			t.Errorf("%d messages, want 5", got)
		}
		if last := w.messages()[4].at.Sub(began); last != 4*time.Second {
			t.Errorf("the last came after %v, want 4s: when it was told", last)
		}
	})
}

// An hour of an alert each second stays below every limit and loses nothing.
func TestALongStormBreaksNoLimit(t *testing.T) {
	for _, kind := range []string{"dingtalk", "feishu", "wecom"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, kind)
				tell(t, w.notifier(w.config()), names(1200), 500*time.Millisecond, time.Hour)
				everybody(t, w, names(1200))
			})
		})
	}
}

func TestAThousandAtOnceAreToldByTheirHeadlinesWithinTwoMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "wecom")
		c := w.config()
		c.Mention.Users = []string{"oncall"}
		tell(t, w.notifier(c), names(1000), 0, 2*time.Minute)
		everybody(t, w, names(1000))
		if got := w.metric("shortened_total"); got < 900 {
			t.Errorf("%v were shortened, want nearly all", got)
		}
		short := 0
		for _, m := range w.messages() {
			if strings.Contains(m.text, "\n- [FIRING:1] Alert") && strings.HasSuffix(m.text, "\n\n<@oncall>") {
				short++
			}
		}
		if short == 0 {
			t.Error("no message has headlines and a mention")
		}
		t.Logf("%d posts", w.count())
	})
}

// The process before had a bucket of its own.
func TestRightAfterAStartABotIsCareful(t *testing.T) {
	for _, before := range []time.Duration{0, 20 * time.Second, 40 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, "dingtalk")
			burst := time.Now().Add(-before)
			for range 6 {
				w.posts = append(w.posts, burst)
			}
			for at := burst.Add(5 * time.Second); at.Before(time.Now()); at = at.Add(5 * time.Second) {
				w.posts = append(w.posts, at)
			}
			tell(t, w.notifier(w.config()), names(60), time.Second, 5*time.Minute)
			everybody(t, w, names(60))
		})
	}
}

func TestABotKeepsItsLimitOverAReloadAndForAllThatUseIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "wecom")
		var all sync.WaitGroup
		for i := range 3 { // a new notifier each time, as after a reload
			n := w.notifier(w.config())
			all.Go(func() { tell(t, n, names(30)[10*i:10*i+10], time.Second, 5*time.Minute) })
		}
		all.Wait()
		everybody(t, w, names(30))
	})
}

func TestWhatIsGivenUpIsNotToldLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "wecom")
		n := w.notifier(w.config())
		empty(t, n, 6)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		retry, err := n.Notify(group(ctx, "Late"), firing("Late"))
		if err == nil || !retry {
			t.Errorf("retry %v, error %v, want one to try again", retry, err)
		}
		<-time.After(time.Minute)
		for _, m := range w.messages() {
			if strings.Contains(m.text, "Late") {
				t.Errorf("told after all: %q", m.text)
			}
		}
	})
}

// A reload, or a deadline, while the bot is slow to answer.
func TestWhatIsPostedAfterItsTellerGaveUpIsNotPostedAgain(t *testing.T) {
	for text, want := range map[string]int{"short": 1, strings.Repeat("告警\n", 1500): 3} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, "wecom")
			hang := make(chan struct{})
			w.odd = func(http.ResponseWriter, *http.Request) bool { <-hang; return false }
			c := w.config()
			c.Text = text
			told := firing("A")
			ctx, cancel := context.WithCancel(t.Context())
			first, second := make(chan error, 1), make(chan error, 1)
			go func() {
				_, err := w.notifier(c).Notify(group(ctx, "A"), told)
				first <- err
			}()
			synctest.Wait()
			cancel()
			if err := <-first; err == nil {
				t.Error("told, though no answer came")
			}
			n := w.notifier(c)
			go func() {
				_, err := n.Notify(group(t.Context(), "A"), told)
				second <- err
			}()
			synctest.Wait()
			close(hang)
			if err := <-second; err != nil {
				t.Error(err)
			}
			if got := w.count(); got != want {
				t.Errorf("%d messages, want %d: none twice", got, want)
			}
			// What was handed over is over: the same again is news.
			if _, err := n.Notify(group(t.Context(), "A"), told); err != nil {
				t.Error(err)
			}
			if got := w.count(); got != 2*want {
				t.Errorf("%d messages, want %d: all again", got, 2*want)
			}
		})
	}
}

func TestFormatsThatShareABotHaveEachItsOwnLimit(t *testing.T) {
	for _, formats := range [][]string{{"markdown", "text"}, {"text", "markdown"}} {
		t.Run(formats[0]+" first", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "wecom")
				c := w.config()
				c.Text = `{{ .CommonLabels.alertname }}` + strings.Repeat("x", 300)
				c.Format = formats[0]
				empty(t, w.notifier(c), 6)
				c.Format = formats[1]
				before := w.count()
				tell(t, w.notifier(c), names(12), 0, time.Minute)
				everybody(t, w, names(12))
				// Six of them have room in 2,048 bytes, twelve in 4,096.
				if got, want := w.count()-before, map[string]int{"text": 2, "markdown": 1}[formats[1]]; got != want {
					t.Errorf("%d posts, want %d", got, want)
				}
			})
		})
	}
}

func TestCloseBreaksOffWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "wecom")
		n := w.notifier(w.config())
		empty(t, n, 6)
		ended := make(chan error)
		go func() {
			_, err := n.Notify(group(t.Context(), "Late"), firing("Late"))
			ended <- err
		}()
		synctest.Wait()
		w.hub.Close()
		if err := <-ended; err == nil {
			t.Error("told although the hub was closed")
		}
		if _, err := n.Notify(group(t.Context(), "Later"), firing("Later")); err == nil {
			t.Error("told after the hub was closed")
		}
	})
}

// What waits is bounded; what is beyond comes with a later flush.
func TestTooManyThatWaitArePutOffAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "wecom")
		hang := make(chan struct{})
		w.odd = func(http.ResponseWriter, *http.Request) bool { <-hang; return false }
		n := w.notifier(w.config())
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var off atomic.Int64
		var all sync.WaitGroup
		for _, name := range names(2100) {
			all.Go(func() {
				retry, err := n.Notify(group(ctx, name), firing(name))
				if err == nil {
					t.Errorf("%s was told", name)
				}
				if err != nil && !retry && strings.Contains(err.Error(), "2000 notifications wait for this bot already") {
					off.Add(1)
				}
			})
		}
		all.Wait()
		close(hang)
		if off.Load() != 100 || w.metric("overflow_total") != 100 {
			t.Errorf("%d were put off and %v counted, want 100", off.Load(), w.metric("overflow_total"))
		}
		<-time.After(time.Minute) // what was being posted ends
		if got := w.metric("waiting"); got != 0 {
			t.Errorf("%v wait after all gave up", got)
		}
	})
}
