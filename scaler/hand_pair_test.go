package scaler

import (
	"context"
	"io"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plimsoll-io/plimsoll/scaler/journal"
)

// line is a tube between two collectors, of which one end is a.
type line struct {
	in, out chan []byte
	ended   chan struct{}
}

func newLine() (a, b line, end func()) {
	one, other, ended := make(chan []byte, 100), make(chan []byte, 100), make(chan struct{})
	return line{one, other, ended}, line{other, one, ended}, sync.OnceFunc(func() { close(ended) })
}

func (l line) Send(payload []byte) error {
	select {
	case l.out <- payload:
		return nil
	case <-l.ended:
		return io.EOF
	}
}

func (l line) Recv() ([]byte, error) {
	select {
	case payload := <-l.in:
		return payload, nil
	case <-l.ended:
		return nil, io.EOF
	}
}

// connect lets two scalers talk until the function that it returns is called.
func connect(t *testing.T, a, b *Scaler) (end func()) {
	t.Helper()
	one, other, cut := newLine()
	var talks sync.WaitGroup
	talks.Go(func() { _ = a.Talk(context.WithoutCancel(t.Context()), "b", one) })
	talks.Go(func() { _ = b.Talk(context.WithoutCancel(t.Context()), "a", other) })
	return func() { cut(); talks.Wait() }
}

func TestWhatIsToldToOneOfAPairCountsOnBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := governed(t, open(t, journal.Options{Dir: t.TempDir()})), governed(t, open(t, journal.Options{Dir: t.TempDir()}))
		end := connect(t, a, b)
		decodeAnswer(t, post(a, PausePath, `{"policy":"web","for":"1h","reason":"sale","by":"bob"}`, nil))
		synctest.Wait()
		said := b.hands.of("web").Pause
		if said == nil || said.Peer != "a" || said.By != "bob" {
			t.Fatalf("the other knows %+v", said)
		}
		if acts, err := b.Acts(journal.ActQuery{}); err != nil || len(acts) != 1 || acts[0].Peer != "a" {
			t.Errorf("audit of the other: %+v %v", acts, err)
		}
		if again := loadHands(&hands{path: b.hands.path, log: b.log, metrics: newHandMetrics(nil), wall: time.Now, clock: func() time.Duration { return 0 }}); again.of("web").Pause == nil {
			t.Error("a restart of the other would forget it")
		}

		<-time.After(time.Minute)
		decodeAnswer(t, post(b, ResumePath, `{"policy":"web","reason":"over"}`, nil))
		synctest.Wait()
		if said := a.hands.of("web").Pause; said != nil {
			t.Errorf("the end that was told to the other does not count: %+v", said)
		}

		// What each is told while they do not hear each other, both know afterwards; of
		// one thing the later word counts.
		end()
		decodeAnswer(t, post(a, OverridePath, `{"policy":"web","floor":5,"reason":"one"}`, nil))
		<-time.After(time.Second)
		decodeAnswer(t, post(b, OverridePath, `{"policy":"web","floor":6,"reason":"two"}`, nil))
		decodeAnswer(t, post(b, PausePath, `{"policy":"checkout","reason":"three"}`, nil))
		defer connect(t, a, b)()
		synctest.Wait()
		for name, s := range map[string]*Scaler{"a": a, "b": b} {
			web, checkout := s.hands.of("web").Override, s.hands.of("checkout").Pause
			if web == nil || web.Floor != 6 || checkout == nil {
				t.Errorf("%s: %+v %+v", name, web, checkout)
			}
		}
		if acts, err := a.Acts(journal.ActQuery{}); err != nil || len(acts) != 5 {
			t.Errorf("%d acts in the audit log, %v; want each once: %+v", len(acts), err, acts)
		}
	})
}

func TestWhatMakesNoSenseIsNotTakenFromTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := governed(t, nil)
		one, other, cut := newLine()
		ended := make(chan error, 1)
		go func() { ended <- s.Talk(context.WithoutCancel(t.Context()), "b", one) }()
		for _, payload := range []string{
			`{"acts":[{"act":"explode","policy":"web","at":"2000-01-01T00:00:00Z","until":"2000-01-01T01:00:00Z","by":"x","reason":"x"}]}`,
			`{"acts":[{"act":"pause","direction":"all","policy":"","at":"2000-01-01T00:00:00Z","until":"2000-01-01T01:00:00Z","by":"x","reason":"x"}]}`,
			`{"acts":[{"act":"pause","direction":"all","policy":"web","at":"2000-01-01T00:00:00Z","until":"2001-01-01T01:00:00Z","by":"x","reason":"x"}]}`,
			`{"acts":[{"act":"pause","direction":"up","policy":"web","at":"2000-01-01T00:00:00Z","until":"2000-01-01T01:00:00Z","by":"x","reason":"x"}]}`,
			`{"acts":[{"act":"resume","policy":"web","at":"2000-01-01T00:00:00Z","order":9000000000000000,"by":"x","reason":"x"}]}`,
			`{"acts":[{"act":"pause","direction":"all","policy":"web","at":"9999-12-30T00:00:00Z","until":"9999-12-31T23:59:59Z","by":"x","reason":"x"}]}`,
			`{"acts":null,"more":1}`,
		} {
			if err := other.Send([]byte(payload)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if acts := s.hands.all(); len(acts) > 0 {
			t.Errorf("taken: %+v", acts)
		}
		if err := other.Send([]byte(`{"acts":`)); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil {
			t.Error("half a payload does not end it")
		}
		cut()
	})
}

// FuzzTalk: whatever the other says, what is taken can be written down and ends.
func FuzzTalk(f *testing.F) {
	f.Add(`{"acts":[{"id":"1","act":"pause","direction":"all","policy":"web","at":"2026-11-21T12:00:00Z","until":"2026-11-21T13:00:00Z","order":5,"by":"x","reason":"x"}]}`)
	f.Add(`{"acts":[{"act":"override","floor":-1,"policy":"*","at":"2026-11-21T12:00:00Z","order":-5}]}`)
	f.Fuzz(func(t *testing.T, payload string) {
		c := &clocks{wall: noon}
		h, _ := c.listening(filepath.Join(t.TempDir(), "hand.json"))
		s := &Scaler{hands: h, log: h.log, pulse: newPulse(), metrics: newMetrics(nil)}
		one, other, cut := newLine()
		if err := other.Send([]byte(payload)); err != nil {
			t.Fatal(err)
		}
		if err := other.Send([]byte("the end")); err != nil {
			t.Fatal(err)
		}
		if err := s.listenTo("b", one); err == nil {
			t.Error("what makes no sense does not end it")
		}
		cut()
		if err := h.sweep(); err != nil {
			t.Fatal(err)
		}
		again, _ := c.listening(h.path)
		if len(again.all()) != len(h.all()) {
			t.Errorf("%d acts are known, and %d after a restart", len(h.all()), len(again.all()))
		}
		c.pass(2 * handMost)
		if err := h.sweep(); err != nil || len(h.all()) > 0 {
			t.Errorf("for ever: %+v %v", h.all(), err)
		}
	})
}
