package actors

import "testing"

// A change of profile that nobody waits for any more is collected all the same, and its
// call used again: by the chain, say, which waits for as long as it takes.
func TestACallThatSomebodyGaveUpOnServesWhoNeverDoes(t *testing.T) {
	var o overdue
	c := &call{done: make(chan bool, 1), user: &user{}}
	o.add(c)
	send := func() {
		o.wait(c)
		c.user.underWay.Add(1)
	}
	late := make(chan struct{})
	c.whenLate = func() { close(late) }
	send()
	o.letGo(patience)
	if <-c.done {
		t.Fatal("nobody gave up")
	}
	c.answer()
	<-late

	c.whenLate, c.patient = nil, true // as it is collected, and drawn from the pool
	send()
	o.letGo(2 * patience)
	c.answer()
	select {
	case outcome := <-c.done:
		if !outcome {
			t.Error("a patient requester was let go")
		}
	default:
		t.Error("a patient requester waits for ever")
	}
}
