package eventloop

import "sync"

// sender sends the responses to messages that were pending, with as many goroutines as
// there is work for, up to its limit.
type sender struct {
	limit int

	mu      sync.Mutex
	first   *Conn // guarded by mu: the oldest of those to send, linked by next
	last    *Conn // guarded by mu
	running int   // guarded by mu: goroutines
}

// sendsAtOnce is how many connections a goroutine takes at once.
const sendsAtOnce = 4

// add has the response of c sent.
func (s *sender) add(c *Conn) {
	s.mu.Lock()
	if s.first == nil {
		s.first = c
	} else {
		s.last.next = c
	}
	s.last = c
	start := s.running < s.limit
	if start {
		s.running++
	}
	s.mu.Unlock()
	if start {
		go s.run()
	}
}

func (s *sender) run() {
	for {
		first := s.take()
		if first == nil {
			return
		}
		for c := first; c != nil; {
			next := c.next
			c.next = nil
			c.respond()
			c = next
		}
	}
}

// take returns some connections, linked, or ends the goroutine.
func (s *sender) take() *Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.first
	if first == nil {
		s.running--
		return nil
	}
	end := first
	for i := 1; i < sendsAtOnce && end.next != nil; i++ {
		end = end.next
	}
	s.first, end.next = end.next, nil
	return first
}
