package eventloop

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMoreConnectionsThanAllowedAreRefused(t *testing.T) {
	s := start(t, func(cfg *Config, _ *echo) { cfg.MaxConnections = 2 })
	first, second := s.dial(t), s.dial(t)
	first.ask("now a 5")
	second.ask("pass a 5")
	s.dial(t).ends("full\n")
	first.ask("now b 5")
	second.Close()
	until(t, "there is room", func() bool { return s.Open() == 1 })
	s.dial(t).ask("now a 5")
}

func TestCloseEndsIdleConnectionsAndAnswersPendingMessages(t *testing.T) {
	s := start(t)
	silent, idle, pending, pipelined, blocked := s.dial(t), s.dial(t), s.dial(t), s.dial(t), s.dial(t)
	idle.ask("now a 5")
	pending.send("held b 5")
	first := <-s.echo.held
	pipelined.send("held c 5", "pass d 5", "now e 5") // nobody is there for d by then
	second := <-s.echo.held
	big := message("held", 1, huge)
	blocked.send(big)
	third := <-s.echo.held
	third.Answer()
	until(t, "the response waits", third.owes)
	until(t, "five are there", func() bool { return s.Open() == 5 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	silent.ends("")
	idle.ends("")
	<-s.accepted
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Wait(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait returned %v while answers were pending", err)
	}
	first.Answer()
	pending.gets("held b 5")
	pending.ends("")
	second.Answer()
	pipelined.gets("held c 5")
	pipelined.ends("")
	blocked.gets(big)
	blocked.ends("")
	if err := s.Wait(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it was closed again: %v", err)
	}
	if _, err := s.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept returned %v", err)
	}
}

// Close comes between the accepting of a connection and its adoption by a loop, when Close
// can't see it.
func TestCloseEndsAConnectionThatIsBeingAdopted(t *testing.T) {
	s := start(t, func(_ *Config, e *echo) { e.opened = make(chan *peer) })
	client := s.dial(t)
	until(t, "it is accepted", func() bool { return s.Open() == 1 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	<-s.echo.opened
	client.ends("")
	if err := s.Wait(soon(t)); err != nil {
		t.Fatal(err)
	}
}

func TestCloseDoesNotTouchConnectionsThatAcceptReturned(t *testing.T) {
	s := start(t)
	c := s.dial(t)
	c.ask("pass a 5")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c.ask("now b 5", "pass c 5", "later d 5")
	c.Close()
	if err := s.Wait(soon(t)); err != nil {
		t.Fatal(err)
	}
}

func TestClosingTheInnerListenerClosesTheListener(t *testing.T) {
	s := start(t)
	c := s.dial(t)
	c.ask("now a 5")
	if err := s.cfg.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	<-s.accepted
	c.ends("")
}

func TestOnlyATemporaryErrorOfAcceptIsRetried(t *testing.T) {
	for err, want := range map[error]bool{
		unix.EMFILE: true, unix.ENFILE: true, unix.ENOBUFS: true, unix.ENOMEM: true, unix.ECONNABORTED: true,
		unix.EINVAL: false, net.ErrClosed: false, io.EOF: false,
	} {
		if got := isTemporary(&net.OpError{Op: "accept", Err: err}); got != want {
			t.Errorf("%v: tried again: %v", err, got)
		}
	}
}

// TestAcceptingGoesOnOnceThereAreFilesAgain takes all descriptors that the process may
// have, and gives them back.
func TestAcceptingGoesOnOnceThereAreFilesAgain(t *testing.T) {
	s := start(t)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	kept := s.dial(t)
	kept.ask("now a 5")
	restore := func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(restore)
	// The client's own socket takes the last descriptor below the limit.
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: lowestFree(t) + 1, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	c := s.dial(t)
	kept.ask("now b 5")
	restore()
	c.ask("now c 5") // in the backlog until then
}

// lowestFree is the descriptor that is given next.
func lowestFree(t *testing.T) uint64 {
	t.Helper()
	fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	return uint64(fd)
}
