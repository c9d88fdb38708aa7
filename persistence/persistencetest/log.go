package persistencetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
)

// TestLog holds a Log to its contract. newStore makes an empty store, and returns how to
// open the log in it, as often as the log before was closed.
func TestLog(t *testing.T, newStore func(t *testing.T) (open func() persistence.Log)) {
	for _, c := range []struct {
		rule  string
		check func(t *testing.T, newStore logStore)
	}{
		{"a new log begins with epoch 1 and frame 1 and has nothing to replay", newLogIsEmpty},
		{"appended frames are replayed in order after reopening, as often as asked", appendedIsReplayed},
		{"the epoch grows with every claim that wrote", epochGrows},
		{"a later claim fences the earlier one out", laterClaimFences},
		{"a frame of another shard is fenced out", otherShardIsFenced},
		{"a frame out of sequence is refused and changes nothing", outOfSequenceIsRefused},
		{"bytes that are no frame are refused and change nothing", noFrameIsRefused},
		{"nothing works before a claim", nothingBeforeAClaim},
		{"a replay after an append is refused", noReplayAfterAnAppend},
		{"an error of the replay's function ends it and comes back", replayErrorComesBack},
		{"a replay from behind the end is refused: frames are missing", replayBehindTheEndIsRefused},
		{"a truncated front keeps every frame from the given one on", truncationKeepsTheRest},
		{"a front may be truncated beside appends", truncationBesideAppends},
		{"a closed log takes nothing", closedLogTakesNothing},
		{"a frame that was handed to the log may be overwritten", frameMayBeOverwritten},
	} {
		t.Run(c.rule, func(t *testing.T) { c.check(t, newStore) })
	}
}

// logStore makes an empty store, and returns how to open the log in it.
type logStore func(t *testing.T) (open func() persistence.Log)

// begin returns a log in a new store, claimed.
func (newStore logStore) begin(t *testing.T) (func() persistence.Log, persistence.Log, persistence.Claim) {
	open := newStore(t)
	log := open()
	return open, log, Claim(t, log)
}

func newLogIsEmpty(t *testing.T, newStore logStore) {
	_, log, c := newStore.begin(t)
	if want := (persistence.Claim{Shard: 0, Epoch: 1, First: 1, Next: 1}); c != want {
		t.Errorf("claim %+v, want %+v", c, want)
	}
	WantReplayed(t, log, 0)
	WantReplayed(t, log, 1)
}

func appendedIsReplayed(t *testing.T, newStore logStore) {
	open, log, c := newStore.begin(t)
	records := Numbered(20)
	Append(t, log, c, records...)
	Close(t, log)
	log = open()
	if got, want := Claim(t, log), (persistence.Claim{Epoch: 2, First: 1, Next: 21}); got != want {
		t.Errorf("claim %+v, want %+v", got, want)
	}
	for _, from := range []uint64{0, 1, 2, 20, 21} {
		WantReplayed(t, log, from, records[max(from, 1)-1:]...)
	}
}

func epochGrows(t *testing.T, newStore logStore) {
	open, log, c := newStore.begin(t)
	for epoch := uint64(1); epoch <= 4; epoch++ {
		if c.Epoch != epoch || c.Next != epoch {
			t.Fatalf("claim %+v, want epoch and next %d", c, epoch)
		}
		Append(t, log, c, "x")
		Close(t, log)
		log = open()
		c = Claim(t, log)
	}
}

func laterClaimFences(t *testing.T, newStore logStore) {
	open, log, earlier := newStore.begin(t)
	Append(t, log, earlier, "kept")
	later := Claim(t, log)
	if later.Epoch <= earlier.Epoch || later.Next != 2 {
		t.Fatalf("claim %+v after %+v", later, earlier)
	}
	if err := log.Append(2, Frame(0, earlier.Epoch, 2, "late")); !errors.Is(err, persistence.ErrFenced) {
		t.Errorf("append of the earlier owner: %v, want ErrFenced", err)
	}
	WantReplayed(t, log, 1, "kept")
	Append(t, log, later, "new owner's")
	Close(t, log)
	log = open()
	Claim(t, log)
	WantReplayed(t, log, 1, "kept", "new owner's")
}

func otherShardIsFenced(t *testing.T, newStore logStore) {
	_, log, c := newStore.begin(t)
	if err := log.Append(1, Frame(1, c.Epoch, 1, "x")); !errors.Is(err, persistence.ErrFenced) {
		t.Errorf("error %v, want ErrFenced", err)
	}
	Append(t, log, c, "fine")
}

func outOfSequenceIsRefused(t *testing.T, newStore logStore) {
	open, log, c := newStore.begin(t)
	Append(t, log, c, "first")
	for _, n := range []struct{ seq, header uint64 }{{1, 1}, {3, 3}, {0, 0}, {2, 3}, {3, 2}} {
		if err := log.Append(n.seq, Frame(0, c.Epoch, n.header, "x")); !errors.Is(err, persistence.ErrSequence) {
			t.Errorf("frame %d as number %d: %v, want ErrSequence", n.header, n.seq, err)
		}
	}
	if err := log.Append(2, Frame(0, c.Epoch, 2, "second")); err != nil {
		t.Fatal(err)
	}
	Close(t, log)
	log = open()
	Claim(t, log)
	WantReplayed(t, log, 1, "first", "second")
}

func noFrameIsRefused(t *testing.T, newStore logStore) {
	_, log, c := newStore.begin(t)
	for _, b := range [][]byte{nil, []byte("no frame"), Frame(0, 1, 1, "x")[:format.FrameHeaderSize]} {
		if err := log.Append(1, b); !errors.Is(err, format.ErrFrame) {
			t.Errorf("append of %q: %v, want format.ErrFrame", b, err)
		}
	}
	Append(t, log, c, "fine")
}

func nothingBeforeAClaim(t *testing.T, newStore logStore) {
	log := newStore(t)()
	if err := log.Append(1, Frame(0, 1, 1, "x")); err == nil {
		t.Error("append without a claim")
	}
	if _, err := Replayed(log, 1); err == nil {
		t.Error("replay without a claim")
	}
}

func noReplayAfterAnAppend(t *testing.T, newStore logStore) {
	_, log, c := newStore.begin(t)
	Append(t, log, c, "x")
	if _, err := Replayed(log, 1); err == nil {
		t.Error("replayed")
	}
}

func replayErrorComesBack(t *testing.T, newStore logStore) {
	open, log, c := newStore.begin(t)
	Append(t, log, c, Numbered(5)...)
	Close(t, log)
	log = open()
	Claim(t, log)
	stop, calls := errors.New("stop"), 0
	err := log.Replay(1, func(seq uint64, _ []byte) error {
		if calls++; seq == 3 {
			return stop
		}
		return nil
	})
	if err != stop || calls != 3 {
		t.Errorf("error %v after %d calls, want %v after 3", err, calls, stop)
	}
}

func replayBehindTheEndIsRefused(t *testing.T, newStore logStore) {
	_, log, _ := newStore.begin(t)
	var damage *persistence.DamageError
	if _, err := Replayed(log, 2); !errors.As(err, &damage) {
		t.Errorf("error %v, want a *DamageError", err)
	}
}

func truncationKeepsTheRest(t *testing.T, newStore logStore) {
	open, log, c := newStore.begin(t)
	records := Numbered(60)
	Append(t, log, c, records[:50]...)
	for _, seq := range []uint64{0, 1, 10, 10, 40, 5} {
		if err := log.TruncateFront(seq); err != nil {
			t.Fatalf("truncate to %d: %v", seq, err)
		}
	}
	c.Next = 51
	Append(t, log, c, records[50:]...)
	Close(t, log)
	log = open()
	if c = Claim(t, log); c.Next != 61 {
		t.Fatalf("claim %+v, want next 61", c)
	}
	WantReplayed(t, log, 40, records[39:]...)
}

func truncationBesideAppends(t *testing.T, newStore logStore) {
	open, log, c := newStore.begin(t)
	records := Numbered(300)
	Append(t, log, c, records[0])
	appended := make(chan uint64, len(records))
	done := make(chan error, 1)
	go func() {
		for seq := range appended {
			if err := log.TruncateFront(seq); err != nil {
				done <- fmt.Errorf("truncate to %d: %w", seq, err)
				return
			}
		}
		done <- nil
	}()
	for i, record := range records[1:] {
		seq := uint64(i + 2)
		if err := log.Append(seq, Frame(0, c.Epoch, seq, record)); err != nil {
			t.Fatal(err)
		}
		appended <- seq
	}
	close(appended)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	Close(t, log)
	log = open()
	Claim(t, log)
	WantReplayed(t, log, 300, records[299])
}

func closedLogTakesNothing(t *testing.T, newStore logStore) {
	_, log, c := newStore.begin(t)
	Append(t, log, c, "x")
	Close(t, log)
	if err := log.Append(2, Frame(0, c.Epoch, 2, "y")); !errors.Is(err, persistence.ErrClosed) {
		t.Errorf("append: %v, want ErrClosed", err)
	}
	if err := log.TruncateFront(2); !errors.Is(err, persistence.ErrClosed) {
		t.Errorf("truncate: %v, want ErrClosed", err)
	}
	if err := log.Close(); !errors.Is(err, persistence.ErrClosed) {
		t.Errorf("second close: %v, want ErrClosed", err)
	}
}

func frameMayBeOverwritten(t *testing.T, newStore logStore) {
	open, log, c := newStore.begin(t)
	frame := Frame(0, c.Epoch, 1, "mine")
	if err := log.Append(1, frame); err != nil {
		t.Fatal(err)
	}
	copy(frame, slices.Repeat([]byte{0xAA}, len(frame)))
	Append(t, log, persistence.Claim{Epoch: c.Epoch, Next: 2}, "next")
	Close(t, log)
	log = open()
	Claim(t, log)
	WantReplayed(t, log, 1, "mine", "next")
}
