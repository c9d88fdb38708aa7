package eventloop

import (
	"bytes"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// script is what a client does. Its messages come in any pieces, and not more of them
// at once than depth.
type script struct {
	messages []string
	depth    int
	slow     bool // reads little at a time, out of a small buffer
	half     bool // closes its side first
}

func newScript(random *rand.Rand) script {
	s := script{depth: 1 + random.IntN(12), slow: random.IntN(3) == 0, half: random.IntN(2) == 0}
	for id := range 1 + random.IntN(60) {
		size := random.IntN(60)
		switch random.IntN(60) {
		case 0:
			size = 40_000 + random.IntN(60_000)
		case 1, 2:
			size = random.IntN(20_000)
		}
		verdict := [...]string{"now", "now", "soon", "later", "pass"}[random.IntN(5)]
		s.messages = append(s.messages, message(verdict, id, size))
	}
	return s
}

// play sends the messages and returns what the server sent, up to its end if the
// client closed its side first.
func (s script) play(c *client, random *rand.Rand) (got []byte, err error) {
	room := make(chan struct{}, len(s.messages)+s.depth)
	for range s.depth {
		room <- struct{}{}
	}
	failed := make(chan error, 1)
	own := rand.New(rand.NewPCG(random.Uint64(), 0))
	go func() { failed <- s.write(c, room, own) }()
	b := make([]byte, 64<<10)
	for answers := 0; s.half || answers < len(s.messages); {
		part := b
		if s.slow {
			part = b[:1+random.IntN(4<<10)]
			for range random.IntN(5) {
				runtime.Gosched()
			}
		}
		n, err := c.TCPConn.Read(part)
		got = append(got, part[:n]...)
		_ = c.SetReadDeadline(time.Now().Add(waitLimit))
		for range bytes.Count(part[:n], []byte{'\n'}) {
			answers++
			room <- struct{}{}
		}
		if err == io.EOF && s.half {
			break
		}
		if err != nil {
			return got, err
		}
	}
	return got, <-failed
}

func (s script) write(c *client, room chan struct{}, random *rand.Rand) error {
	for rest := s.messages; len(rest) > 0; {
		n := 0
		for <-room; ; <-room {
			if n++; n == len(rest) || len(room) == 0 || random.IntN(3) == 0 {
				break
			}
		}
		all := []byte(strings.Join(rest[:n], "\n") + "\n")
		rest = rest[n:]
		for len(all) > 0 {
			part := len(all)
			if random.IntN(3) == 0 {
				part = 1 + random.IntN(part)
			}
			if _, err := c.Write(all[:part]); err != nil {
				return err
			}
			all = all[part:]
			if random.IntN(2) == 0 {
				runtime.Gosched()
			}
		}
	}
	if s.half {
		return c.CloseWrite()
	}
	return nil
}

func TestEveryResponseArrivesOnceAndInOrderWhateverTheClientsDo(t *testing.T) {
	s := start(t, smallBuffers)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	var group sync.WaitGroup
	for range 8 {
		for range 40 {
			own := rand.New(rand.NewPCG(random.Uint64(), 2))
			script := newScript(own)
			c := s.dial(t)
			group.Go(func() {
				got, err := script.play(c, own)
				var want []byte
				for _, m := range script.messages {
					want = appendAnswer(want, m)
				}
				if !bytes.Equal(got, want) {
					at := 0
					for at < min(len(got), len(want)) && got[at] == want[at] {
						at++
					}
					t.Errorf("%+.300v: of %d bytes came %d, other ones from %d on", script, len(want), len(got), at)
				}
				if err != nil {
					t.Errorf("%+.300v: %v", script, err)
				}
				c.Close()
			})
		}
		group.Wait()
	}
	if s.echo.served.Load() == 0 || s.echo.sent.Load() == 0 {
		t.Errorf("the loops answered %d messages, the connections' goroutines %d", s.echo.sent.Load(), s.echo.served.Load())
	}
}

// TestConnectionsEndWhateverHappensAtOnce lets clients reset, half-close and go away
// while connections are interrupted and closed by others.
func TestConnectionsEndWhateverHappensAtOnce(t *testing.T) {
	opened := make(chan *peer, 1)
	s := start(t, smallBuffers, func(_ *Config, e *echo) { e.opened = opened })
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 3))
	var group sync.WaitGroup
	for range 500 {
		own := rand.New(rand.NewPCG(random.Uint64(), 4))
		c := s.dial(t)
		server := <-opened
		group.Go(func() {
			for id := range own.IntN(20) {
				verdict := [...]string{"now", "soon", "later", "pass", "last"}[own.IntN(5)]
				if _, err := io.WriteString(c, message(verdict, id, own.IntN(100_000))+"\n"); err != nil {
					break
				}
				if own.IntN(2) == 0 {
					_, _ = c.TCPConn.Read(make([]byte, 1+own.IntN(10_000)))
				}
			}
			switch own.IntN(4) {
			case 0:
				_ = c.SetLinger(0)
			case 1:
				_ = c.CloseWrite()
			case 2:
				_, _ = io.WriteString(c, "now 1")
			}
			c.Close()
		})
		other := rand.New(rand.NewPCG(random.Uint64(), 5))
		group.Go(func() {
			for range other.IntN(200) {
				runtime.Gosched()
			}
			switch other.IntN(4) {
			case 0:
				_ = server.Close()
			case 1:
				_ = server.SetReadDeadline(past)
			case 2:
				_ = server.SetWriteDeadline(past)
			}
		})
	}
	group.Wait()
	until(t, "every connection is closed", func() bool { return s.Open() == 0 })
}
