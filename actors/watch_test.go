package actors

import (
	"testing"

	"github.com/aitbc/exchange/actors/account"
)

func TestTellingWatchersNeverBlocksNorAllocates(t *testing.T) {
	x := New(Config{})
	t.Cleanup(x.system.Shutdown)
	id := account.UserID{1}
	u := &user{id: id}
	if n := testing.AllocsPerRun(100, u.tellWatchers); n != 0 {
		t.Errorf("with nobody watching it allocates %v times", n)
	}
	var watchers []*Watcher
	for range MaxWatchers {
		w, err := x.Watch(&Session{user: u})
		if err != nil {
			t.Fatal(err)
		}
		watchers = append(watchers, w)
	}
	if _, err := x.Watch(&Session{user: u}); err != ErrTooManyWatchers {
		t.Errorf("one more is answered %v", err)
	}
	if n := testing.AllocsPerRun(100, u.tellWatchers); n != 0 { // nobody receives: a blocking send would hang here
		t.Errorf("with %d watching it allocates %v times", MaxWatchers, n)
	}
	for i, w := range watchers {
		select {
		case <-w.Changed():
		default:
			t.Errorf("watcher %d was not told", i)
		}
		select {
		case <-w.Changed():
			t.Errorf("watcher %d was told more than once", i)
		default:
		}
		w.Close()
	}
	if u.watchers.Load() != nil || x.Stats().Watchers != 0 {
		t.Errorf("%d watchers are left", x.Stats().Watchers)
	}
}

func BenchmarkTellWatchersNobody(b *testing.B) {
	u := &user{}
	b.ReportAllocs()
	for range b.N {
		u.tellWatchers()
	}
}
