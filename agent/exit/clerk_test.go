package exit

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
)

// office is a clerk with an engine that says what a test has it say.
type office struct {
	*Watcher
	life uint64

	mu      sync.Mutex
	version uint64
	list    []discover.Container
	exits   []Told
	ooms    []string
}

func (o *office) containers() (uint64, []discover.Container) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.version, o.list
}

func (o *office) takeExits() []Told {
	o.mu.Lock()
	defer o.mu.Unlock()
	told := o.exits
	o.exits = nil
	return told
}

func (o *office) takeOOMs() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	told := o.ooms
	o.ooms = nil
	return told
}

// inOffice runs a test with a clerk at work, in virtual time.
func inOffice(t *testing.T, test func(t *testing.T, o *office)) {
	synctest.Test(t, func(t *testing.T) {
		o := &office{}
		var err error
		o.Watcher, err = New(Options{Containers: o.containers, Told: o.takeExits, OOMs: o.takeOOMs})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			newClerk(o.Watcher).run(ctx)
		}()
		synctest.Wait()
		test(t, o)
		cancel()
		<-done
	})
}

func unnamed(id string) discover.Container {
	return discover.Container{Cgroup: "/docker/" + id, Runtime: "docker", ID: id}
}

func named(id string) discover.Container {
	c := unnamed(id)
	c.Known, c.Name = true, "name of "+id
	return c
}

func (o *office) live(list ...discover.Container) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.version++
	o.list = list
}

func (o *office) tell(exits ...Told) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.exits = exits
}

func (o *office) tellOOMs(ids ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ooms = ids
}

// end has a life end that began so long ago.
func (o *office) end(c discover.Container, ago time.Duration) Record {
	o.life++
	r := Record{Life: o.life, Container: c, Seen: time.Now().Add(-ago), Ended: time.Now(), Complete: true}
	o.ended(r)
	return r
}

// after lets time pass and returns what has been handed out by then.
func (o *office) after(d time.Duration) []Record {
	<-time.After(d)
	synctest.Wait()
	list, _ := o.Records(0)
	return list
}

func TestARecordIsHandedOutWhenItsNameAndCodeAreKnown(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		o.end(unnamed("a"), time.Second)
		o.live(named("a"))
		if got := o.after(50 * time.Millisecond); len(got) != 0 {
			t.Fatalf("handed out without its code: %+v", got)
		}
		o.live() // the engine and the kernel have forgotten it
		o.tell(Told{ID: "a", At: time.Now(), Code: 3})
		got := o.after(50 * time.Millisecond)
		if len(got) != 1 || got[0].Container.Name != "name of a" || got[0].Code != (cgroup.Opt[int]{V: 3, OK: true}) {
			t.Errorf("handed out %+v", got)
		}
	})
}

// It may never have been in the list: the kernel forgets it before the engine
// tells of it.
func TestANameThatIsOnlyToldWithTheEndIsTaken(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		o.end(unnamed("a"), time.Second)
		as := named("a")
		as.Cgroup = ""
		o.tell(Told{ID: "a", At: time.Now(), As: as})
		if got := o.after(50 * time.Millisecond); len(got) != 1 || got[0].Container.Name != "name of a" || got[0].Container.Cgroup != "/docker/a" {
			t.Errorf("handed out %+v", got)
		}
	})
}

func TestANameThatWasKnownBeforeTheEndIsKept(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		o.live(named("a"))
		o.after(2 * time.Second)
		o.live()
		o.end(unnamed("a"), time.Minute)
		o.tell(Told{ID: "a", At: time.Now()})
		if got := o.after(50 * time.Millisecond); len(got) != 1 || got[0].Container.Name != "name of a" {
			t.Errorf("handed out %+v", got)
		}
	})
}

func TestASilentEngineDelaysARecordForFiveSeconds(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		o.end(unnamed("a"), time.Second)
		if got := o.after(4900 * time.Millisecond); len(got) != 0 {
			t.Errorf("handed out after 4.9 s: %+v", got)
		}
		if got := o.after(200 * time.Millisecond); len(got) != 1 || got[0].Code.OK {
			t.Errorf("handed out %+v", got)
		}
		if s := o.Stats(); s.Nameless != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestAContainerThatNoEngineKnowsIsNotHeld(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		o.end(discover.Container{Cgroup: "/kubepods/pod1/c", Runtime: "containerd", ID: "c"}, time.Second)
		if got := o.after(20 * time.Millisecond); len(got) != 1 {
			t.Errorf("handed out %+v", got)
		}
	})
}

func TestCodesGoToTheLivesOfAContainerInTheirOrder(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		o.live(named("a"))
		o.end(unnamed("a"), time.Second)
		o.after(300 * time.Millisecond)
		o.end(unnamed("a"), 100*time.Millisecond)
		o.tell(Told{ID: "a", At: time.Now().Add(-200 * time.Millisecond), Code: 1}, Told{ID: "a", At: time.Now(), Code: 2})
		got := o.after(200 * time.Millisecond)
		if len(got) != 2 || got[0].Life != 1 || got[0].Code.V != 1 || got[1].Life != 2 || got[1].Code.V != 2 {
			t.Errorf("handed out %+v", got)
		}
	})
}

func TestACodeThatCameBeforeTheEndWasNoticedIsThatEnds(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		o.live(named("a"))
		o.tell(Told{ID: "a", At: time.Now(), Code: 1})
		o.after(2 * time.Second)
		o.end(unnamed("a"), time.Minute)
		if got := o.after(20 * time.Millisecond); len(got) != 1 || got[0].Code.V != 1 {
			t.Errorf("handed out %+v", got)
		}
	})
}

func TestACodeOfAnEarlierLifeIsNotThatOfALaterOne(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		o.live(named("a"))
		o.tell(Told{ID: "a", At: time.Now(), Code: 1}) // of a life that was missed
		o.after(2 * time.Second)
		o.end(unnamed("a"), time.Second)
		o.after(100 * time.Millisecond)
		o.tell(Told{ID: "a", At: time.Now(), Code: 2})
		if got := o.after(200 * time.Millisecond); len(got) != 1 || got[0].Code.V != 2 {
			t.Errorf("handed out %+v", got)
		}
	})
}

// It gives it dozens of times for a single kill.
func TestTheEnginesWordOnAKillCountsOnlyWhereTheKernelsIsMissing(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		o.live(named("seen"), named("missed"))
		o.life++
		seen := Record{Life: 1, Container: named("seen"), Seen: time.Now(), Ended: time.Now(), Complete: true, OOMKills: cgroup.Opt[uint64]{V: 2, OK: true}}
		o.ended(seen)
		missed := Record{Life: 2, Container: named("missed"), Seen: time.Now(), Ended: time.Now()}
		o.ended(missed)
		o.tellOOMs("seen", "seen", "missed", "missed", "missed")
		o.after(50 * time.Millisecond)
		o.tell(Told{ID: "seen", At: time.Now(), Code: 137}, Told{ID: "missed", At: time.Now(), Code: 137})
		got := o.after(200 * time.Millisecond)
		if len(got) != 2 || got[0].OOMKills.V != 2 || got[1].OOMKills != (cgroup.Opt[uint64]{V: 1, OK: true}) {
			t.Errorf("handed out %+v", got)
		}
	})
}

func TestRecordsAreBoundedAndSayHowManyWereMissed(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		for range maxRecords + 10 {
			o.publish(Record{Ended: time.Now()}, false)
		}
		list, last := o.Records(3)
		if last != maxRecords+10 || len(list) != maxRecords {
			t.Errorf("%d records, the last is number %d", len(list), last)
		}
		if list, again := o.Records(last); len(list) != 0 || again != last {
			t.Errorf("%d records after the last, which is now %d", len(list), again)
		}
	})
}

func TestAFinalReadingIsForgottenAfterHalfAMinute(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		r := o.end(unnamed("a"), time.Second)
		if got, ok := o.Final("/docker/a"); !ok || got.Life != r.Life {
			t.Errorf("final reading %+v, %v", got, ok)
		}
		o.after(finalFor)
		if _, ok := o.Final("/docker/a"); ok {
			t.Error("it is still there after half a minute")
		}
		o.end(unnamed("b"), time.Second)
		if n := len(o.finals); n != 1 {
			t.Errorf("%d final readings are kept", n)
		}
	})
}

func TestRequestsThatFindNoRoomAreCounted(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		for range maxRequests + 5 {
			o.Appeared(unnamed("a")) // nobody reads
		}
		if s := o.Stats(); s.Dropped != 5 {
			t.Errorf("%d dropped, want 5", s.Dropped)
		}
	})
}

func TestKillsOfALifeThatHasEndedAreItsRecordsAlone(t *testing.T) {
	inOffice(t, func(t *testing.T, o *office) {
		o.kills = []Kills{{Life: 1, Cgroup: "/docker/a", N: 1}, {Life: 2, Cgroup: "/docker/b", N: 2}}
		o.ended(Record{Life: 1, Container: named("a"), Seen: time.Now(), Ended: time.Now()})
		if got := o.Kills(nil); len(got) != 1 || got[0].Life != 2 {
			t.Errorf("kills %+v, want those of life 2", got)
		}
	})
}
