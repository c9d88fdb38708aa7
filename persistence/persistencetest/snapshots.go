package persistencetest

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"

	"github.com/aitbc/exchange/persistence"
)

// TestSnapshotStore holds a SnapshotStore to its contract. newStore makes an empty store,
// and returns how to open it and how to close it, as often as it was closed before.
func TestSnapshotStore(t *testing.T, newStore func(t *testing.T) (open func() (store persistence.SnapshotStore, closeStore func()))) {
	for _, c := range []struct {
		rule  string
		check func(t *testing.T, newStore snapshotStore)
	}{
		{"committed snapshots are there, oldest first, also after reopening", committedIsThere},
		{"a snapshot that is not committed is not there", notCommittedIsNotThere},
		{"an abort after the commit changes nothing", abortAfterTheCommit},
		{"one of the same name is replaced, another is removed", replacedAndRemoved},
	} {
		t.Run(c.rule, func(t *testing.T) { c.check(t, newStore) })
	}
}

// snapshotStore makes an empty store, and returns how to open it.
type snapshotStore func(t *testing.T) (open func() (store persistence.SnapshotStore, closeStore func()))

func committedIsThere(t *testing.T, newStore snapshotStore) {
	open := newStore(t)
	store, closeStore := open()
	wantSnapshots(t, store)
	for _, next := range []uint64{5, 100, 20} {
		if err := writeSnapshot(t, store, next, fmt.Sprint("snapshot ", next)).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	closeStore()
	store, closeStore = open()
	defer closeStore()
	wantSnapshots(t, store, 5, 20, 100)
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
}

func notCommittedIsNotThere(t *testing.T, newStore snapshotStore) {
	open := newStore(t)
	store, closeStore := open()
	aborted := writeSnapshot(t, store, 5, "aborted")
	wantSnapshots(t, store)
	if err := aborted.Abort(); err != nil {
		t.Error(err)
	}
	writeSnapshot(t, store, 6, "left behind")
	closeStore()
	store, closeStore = open()
	defer closeStore()
	wantSnapshots(t, store)
	if err := writeSnapshot(t, store, 6, "whole").Commit(); err != nil {
		t.Error(err)
	}
	wantSnapshots(t, store, 6)
}

func abortAfterTheCommit(t *testing.T, newStore snapshotStore) {
	store, closeStore := newStore(t)()
	defer closeStore()
	w := writeSnapshot(t, store, 5, "x")
	if err := errors.Join(w.Commit(), w.Abort()); err != nil {
		t.Error(err)
	}
	wantSnapshots(t, store, 5)
}

func replacedAndRemoved(t *testing.T, newStore snapshotStore) {
	store, closeStore := newStore(t)()
	defer closeStore()
	for _, content := range []string{"first", "second one"} {
		if err := writeSnapshot(t, store, 5, content).Commit(); err != nil {
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
	wantSnapshots(t, store)
	if _, err := store.OpenSnapshot(5); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened: %v", err)
	}
	if err := store.RemoveSnapshot(5); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed again: %v", err)
	}
}

// writeSnapshot begins a snapshot, and writes its content in two parts.
func writeSnapshot(t *testing.T, store persistence.SnapshotStore, next uint64, content string) persistence.SnapshotWriter {
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

func wantSnapshots(t *testing.T, store persistence.SnapshotStore, want ...uint64) {
	t.Helper()
	got, err := store.Snapshots()
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("snapshots %v, %v, want %v", got, err, want)
	}
}
