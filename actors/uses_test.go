package actors_test

import (
	"testing"
	"testing/synctest"
	"time"
)

func idleAfter(d time.Duration) func(*setup) {
	return func(s *setup) { s.actors.Terms.SessionIdle = d }
}

// live reports whether the token is good now, and lets what follows from that happen.
func (w *world) live(token string) bool {
	_, ok := w.Authenticate([]byte(token))
	synctest.Wait()
	return ok
}

func TestASessionThatGoesUnusedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &memoryLog{}
		w := start(t, log, idleAfter(time.Hour))
		_, used := w.login("aitbc1wallet_guest")
		_, unused := w.login("aitbc1wallet_guest")
		for minute := range 120 {
			if minute == 60 {
				w.stop()
				w = start(t, log, idleAfter(time.Hour)) // it is not forgotten that the one was used
			}
			if minute <= 4 && !w.live(unused) {
				t.Fatal("the session ended early")
			}
			time.Sleep(time.Minute)
			if !w.live(used) {
				t.Fatalf("a session that is used each minute ended after %d", minute+1)
			}
		}
		if w.live(unused) {
			t.Error("a session that went unused for two hours is live")
		}
		if open := w.Sessions(w.session(used)); len(open) != 1 || !open[0].Current {
			t.Errorf("the open sessions are %+v", open)
		}
		// What was used lives for the idle time, whenever the use was last written down,
		// and for an interval more at most.
		time.Sleep(time.Hour - time.Microsecond)
		if _, ok := w.Authenticate([]byte(used)); !ok {
			t.Error("the session ended within the idle time")
		}
		synctest.Wait()
		time.Sleep(time.Hour + 5*time.Minute)
		if w.live(used) {
			t.Error("the session outlived the idle time and the interval")
		}
	})
}

func TestAUseIsWrittenDownOnceAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, &memoryLog{}, idleAfter(8*time.Hour))
		s, token := w.login("aitbc1wallet_guest")
		before := w.state(s.UserID()).Seq
		for range 60 * 60 {
			time.Sleep(time.Second)
			for range 3 { // at once, as a page asks
				_, _ = w.Authenticate([]byte(token))
			}
		}
		synctest.Wait()
		if n := w.state(s.UserID()).Seq - before; n != 12 {
			t.Errorf("%d records for an hour of use, want 12", n)
		}
		off := start(t, &memoryLog{}, idleAfter(0))
		s, token = off.login("aitbc1wallet_guest")
		time.Sleep(23 * time.Hour)
		if !off.live(token) || off.state(s.UserID()).Seq != 1 {
			t.Error("without an idle time a use is written down, or a session ends")
		}
	})
}

func TestAWatchersSessionEndsWhenItGoesUnused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, &memoryLog{}, idleAfter(time.Hour))
		s, token := w.login("aitbc1wallet_guest")
		watcher, err := w.Watch(s)
		if err != nil {
			t.Fatal(err)
		}
		defer watcher.Close()
		end, _ := watcher.SessionEnd(watcher.State())
		time.Sleep(30 * time.Minute)
		if !w.live(token) {
			t.Fatal("the session ended early")
		}
		later, live := watcher.SessionEnd(watcher.State())
		if moved := time.Duration(later-end) * time.Microsecond; !live || moved != 30*time.Minute {
			t.Errorf("a use moved the end by %s, live is %v", moved, live)
		}
		time.Sleep(65 * time.Minute)
		if _, live := watcher.SessionEnd(watcher.State()); live {
			t.Error("the watcher's session is live")
		}
	})
}
