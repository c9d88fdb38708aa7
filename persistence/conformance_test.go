package persistence

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"
)

// testLog is what every Log must do. newStore makes an empty store and returns
// how to open the log in it, as often as the one before was closed.
func testLog(t *testing.T, newStore func(t *testing.T) (open func() Log)) {
	// begin returns a log in a new store, claimed.
	begin := func(t *testing.T) (func() Log, Log, Claim) {
		open := newStore(t)
		log := open()
		return open, log, claim(t, log)
	}

	t.Run("a new log begins with epoch 1 and frame 1 and has nothing to replay", func(t *testing.T) {
		_, log, c := begin(t)
		if want := (Claim{Shard: 0, Epoch: 1, First: 1, Next: 1}); c != want {
			t.Errorf("claim %+v, want %+v", c, want)
		}
		wantReplayed(t, log, 0)
		wantReplayed(t, log, 1)
	})

	t.Run("what was appended is replayed in order after reopening, as often as asked", func(t *testing.T) {
		open, log, c := begin(t)
		records := numbered(20)
		appendFrames(t, log, c, records...)
		closeLog(t, log)
		log = open()
		if got, want := claim(t, log), (Claim{Epoch: 2, First: 1, Next: 21}); got != want {
			t.Errorf("claim %+v, want %+v", got, want)
		}
		for _, from := range []uint64{0, 1, 2, 20, 21} {
			wantReplayed(t, log, from, records[max(from, 1)-1:]...)
		}
	})

	t.Run("the epoch grows with every claim that wrote", func(t *testing.T) {
		open, log, c := begin(t)
		for epoch := uint64(1); epoch <= 4; epoch++ {
			if c.Epoch != epoch || c.Next != epoch {
				t.Fatalf("claim %+v, want epoch and next %d", c, epoch)
			}
			appendFrames(t, log, c, "x")
			closeLog(t, log)
			log = open()
			c = claim(t, log)
		}
	})

	t.Run("a later claim fences the earlier one out", func(t *testing.T) {
		open, log, earlier := begin(t)
		appendFrames(t, log, earlier, "kept")
		later := claim(t, log)
		if later.Epoch <= earlier.Epoch || later.Next != 2 {
			t.Fatalf("claim %+v after %+v", later, earlier)
		}
		if err := log.Append(2, encode(0, earlier.Epoch, 2, "late")); !errors.Is(err, ErrFenced) {
			t.Errorf("append of the earlier owner: %v, want ErrFenced", err)
		}
		wantReplayed(t, log, 1, "kept")
		appendFrames(t, log, later, "new owner's")
		closeLog(t, log)
		log = open()
		claim(t, log)
		wantReplayed(t, log, 1, "kept", "new owner's")
	})

	t.Run("a frame of another shard is fenced out", func(t *testing.T) {
		_, log, c := begin(t)
		if err := log.Append(1, encode(1, c.Epoch, 1, "x")); !errors.Is(err, ErrFenced) {
			t.Errorf("error %v, want ErrFenced", err)
		}
		appendFrames(t, log, c, "fine")
	})

	t.Run("a frame out of sequence is refused and changes nothing", func(t *testing.T) {
		open, log, c := begin(t)
		appendFrames(t, log, c, "first")
		for _, n := range []struct{ seq, header uint64 }{{1, 1}, {3, 3}, {0, 0}, {2, 3}, {3, 2}} {
			if err := log.Append(n.seq, encode(0, c.Epoch, n.header, "x")); !errors.Is(err, ErrSequence) {
				t.Errorf("frame %d as number %d: %v, want ErrSequence", n.header, n.seq, err)
			}
		}
		if err := log.Append(2, encode(0, c.Epoch, 2, "second")); err != nil {
			t.Fatal(err)
		}
		closeLog(t, log)
		log = open()
		claim(t, log)
		wantReplayed(t, log, 1, "first", "second")
	})

	t.Run("what is no frame is refused and changes nothing", func(t *testing.T) {
		_, log, c := begin(t)
		for _, b := range [][]byte{nil, []byte("no frame"), encode(0, 1, 1, "x")[:headerSize]} {
			if err := log.Append(1, b); !errors.Is(err, ErrFrame) {
				t.Errorf("append of %q: %v, want ErrFrame", b, err)
			}
		}
		appendFrames(t, log, c, "fine")
	})

	t.Run("nothing works before a claim", func(t *testing.T) {
		log := newStore(t)()
		if err := log.Append(1, encode(0, 1, 1, "x")); err == nil {
			t.Error("append without a claim")
		}
		if _, err := replayed(log, 1); err == nil {
			t.Error("replay without a claim")
		}
	})

	t.Run("a replay after an append is refused", func(t *testing.T) {
		_, log, c := begin(t)
		appendFrames(t, log, c, "x")
		if _, err := replayed(log, 1); err == nil {
			t.Error("replayed")
		}
	})

	t.Run("an error of the replay's function ends it and comes back", func(t *testing.T) {
		open, log, c := begin(t)
		appendFrames(t, log, c, numbered(5)...)
		closeLog(t, log)
		log = open()
		claim(t, log)
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
	})

	t.Run("a replay from behind the end is refused: frames are missing", func(t *testing.T) {
		_, log, _ := begin(t)
		var damage *DamageError
		if _, err := replayed(log, 2); !errors.As(err, &damage) {
			t.Errorf("error %v, want a *DamageError", err)
		}
	})

	t.Run("a truncated front keeps every frame from the given one on", func(t *testing.T) {
		open, log, c := begin(t)
		records := numbered(60)
		appendFrames(t, log, c, records[:50]...)
		for _, seq := range []uint64{0, 1, 10, 10, 40, 5} {
			if err := log.TruncateFront(seq); err != nil {
				t.Fatalf("truncate to %d: %v", seq, err)
			}
		}
		c.Next = 51
		appendFrames(t, log, c, records[50:]...)
		closeLog(t, log)
		log = open()
		if c = claim(t, log); c.Next != 61 {
			t.Fatalf("claim %+v, want next 61", c)
		}
		wantReplayed(t, log, 40, records[39:]...)
	})

	t.Run("a front may be truncated beside appends", func(t *testing.T) {
		open, log, c := begin(t)
		records := numbered(300)
		appendFrames(t, log, c, records[0])
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
			if err := log.Append(seq, encode(0, c.Epoch, seq, record)); err != nil {
				t.Fatal(err)
			}
			appended <- seq
		}
		close(appended)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		closeLog(t, log)
		log = open()
		claim(t, log)
		wantReplayed(t, log, 300, records[299])
	})

	t.Run("a closed log takes nothing", func(t *testing.T) {
		_, log, c := begin(t)
		appendFrames(t, log, c, "x")
		closeLog(t, log)
		if err := log.Append(2, encode(0, c.Epoch, 2, "y")); !errors.Is(err, ErrClosed) {
			t.Errorf("append: %v, want ErrClosed", err)
		}
		if err := log.TruncateFront(2); !errors.Is(err, ErrClosed) {
			t.Errorf("truncate: %v, want ErrClosed", err)
		}
		if err := log.Close(); !errors.Is(err, ErrClosed) {
			t.Errorf("second close: %v, want ErrClosed", err)
		}
	})

	t.Run("a frame that was handed to the log may be overwritten", func(t *testing.T) {
		open, log, c := begin(t)
		frame := encode(0, c.Epoch, 1, "mine")
		if err := log.Append(1, frame); err != nil {
			t.Fatal(err)
		}
		copy(frame, slices.Repeat([]byte{0xAA}, len(frame)))
		appendFrames(t, log, Claim{Epoch: c.Epoch, Next: 2}, "next")
		closeLog(t, log)
		log = open()
		claim(t, log)
		wantReplayed(t, log, 1, "mine", "next")
	})
}

func TestLocalIsALog(t *testing.T) {
	for _, segmentBytes := range []int{1, 200, defaultSegmentBytes} {
		t.Run(fmt.Sprintf("segments of %d bytes", segmentBytes), func(t *testing.T) {
			testLog(t, func(t *testing.T) func() Log {
				dir := t.TempDir()
				return func() Log { return openLocal(t, LocalConfig{Dir: dir, SegmentBytes: segmentBytes}) }
			})
		})
	}
}

func TestMemoryLogIsALog(t *testing.T) {
	testLog(t, func(t *testing.T) func() Log {
		store := &memoryStore{}
		return func() Log { return &memoryLog{store: store} }
	})
}

// testSnapshotStore is what every SnapshotStore must do. newStore makes an empty
// store and returns how to open it, as often as the one before was closed.
func testSnapshotStore(t *testing.T, newStore func(t *testing.T) (open func() (SnapshotStore, func()))) {
	write := func(t *testing.T, store SnapshotStore, next uint64, content string) SnapshotWriter {
		t.Helper()
		w, err := store.CreateSnapshot(next)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{content[:len(content)/2], content[len(content)/2:]} {
			if n, err := w.Write([]byte(part)); err != nil || n != len(part) {
				t.Fatalf("wrote %d of %d bytes: %v", n, len(part), err)
			}
		}
		return w
	}
	wantNames := func(t *testing.T, store SnapshotStore, want ...uint64) {
		t.Helper()
		got, err := store.Snapshots()
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("snapshots %v, %v, want %v", got, err, want)
		}
	}

	t.Run("what is committed is there, oldest first, also after reopening", func(t *testing.T) {
		open := newStore(t)
		store, closeStore := open()
		wantNames(t, store)
		for _, next := range []uint64{5, 100, 20} {
			if err := write(t, store, next, fmt.Sprint("snapshot ", next)).Commit(); err != nil {
				t.Fatal(err)
			}
		}
		closeStore()
		store, closeStore = open()
		defer closeStore()
		wantNames(t, store, 5, 20, 100)
		in, err := store.OpenSnapshot(20)
		if err != nil {
			t.Fatal(err)
		}
		content := make([]byte, in.Size())
		if _, err := in.ReadAt(content, 0); err != nil || string(content) != "snapshot 20" || in.Name() == "" {
			t.Errorf("%q, %v, %q", content, err, in.Name())
		}
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	})

	t.Run("what is not committed is not there", func(t *testing.T) {
		open := newStore(t)
		store, closeStore := open()
		aborted := write(t, store, 5, "aborted")
		wantNames(t, store)
		if err := aborted.Abort(); err != nil {
			t.Error(err)
		}
		write(t, store, 6, "left behind")
		closeStore()
		store, closeStore = open()
		defer closeStore()
		wantNames(t, store)
		if err := write(t, store, 6, "whole").Commit(); err != nil {
			t.Error(err)
		}
		wantNames(t, store, 6)
	})

	t.Run("an abort after the commit changes nothing", func(t *testing.T) {
		store, closeStore := newStore(t)()
		defer closeStore()
		w := write(t, store, 5, "x")
		if err := errors.Join(w.Commit(), w.Abort()); err != nil {
			t.Error(err)
		}
		wantNames(t, store, 5)
	})

	t.Run("one of the same name is replaced, another is removed", func(t *testing.T) {
		store, closeStore := newStore(t)()
		defer closeStore()
		for _, content := range []string{"first", "second one"} {
			if err := write(t, store, 5, content).Commit(); err != nil {
				t.Fatal(err)
			}
		}
		if in, err := store.OpenSnapshot(5); err != nil || in.Size() != int64(len("second one")) {
			t.Error(in, err)
		} else if err := in.Close(); err != nil {
			t.Error(err)
		}
		if err := store.RemoveSnapshot(5); err != nil {
			t.Error(err)
		}
		wantNames(t, store)
		if _, err := store.OpenSnapshot(5); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("opened: %v", err)
		}
		if err := store.RemoveSnapshot(5); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("removed again: %v", err)
		}
	})
}

func TestLocalIsASnapshotStore(t *testing.T) {
	testSnapshotStore(t, func(t *testing.T) func() (SnapshotStore, func()) {
		dir := t.TempDir()
		return func() (SnapshotStore, func()) {
			local := openLocal(t, LocalConfig{Dir: dir, syncEvery: 3})
			claim(t, local)
			return local, func() { closeLog(t, local) }
		}
	})
}

func TestMemorySnapshotsAreASnapshotStore(t *testing.T) {
	testSnapshotStore(t, func(t *testing.T) func() (SnapshotStore, func()) {
		store := &memorySnapshots{}
		return func() (SnapshotStore, func()) { return store, func() {} }
	})
}
