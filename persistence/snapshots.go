package persistence

import "io"

// SnapshotStore is where the snapshots of one shard are kept, beside its Log.
// persistence/local has the implementation on this machine's disk; every implementation
// passes persistencetest.TestSnapshotStore. A snapshot is named by its Next, and is a
// sequence of bytes.
//
// It is used after the Log's Claim. Any goroutine may call its methods, at most
// one snapshot is written at a time.
type SnapshotStore interface {
	// Snapshots returns the names of the snapshots that are there, oldest first.
	Snapshots() ([]uint64, error)
	// CreateSnapshot begins a snapshot, and removes one that was begun and never
	// committed. It is not there before its Commit.
	CreateSnapshot(next uint64) (SnapshotWriter, error)
	// OpenSnapshot opens a snapshot that is there.
	OpenSnapshot(next uint64) (SnapshotReader, error)
	// RemoveSnapshot removes a snapshot. It may come back after a crash.
	RemoveSnapshot(next uint64) error
}

// SnapshotWriter is a snapshot that is being written.
type SnapshotWriter interface {
	// Write writes all of p or fails. It may sync, so that Commit has little left to
	// do and a log on the same disk is not held up by it.
	io.Writer
	// Commit makes the snapshot durable and there, in place of one of the same name.
	// After an error it is not to be relied on.
	Commit() error
	// Abort removes all that was written. After Commit it does nothing.
	Abort() error
}

// SnapshotReader is a snapshot that is read. Any number of goroutines may call
// ReadAt.
type SnapshotReader interface {
	io.ReaderAt
	io.Closer
	Size() int64
	Name() string // for a person: a path
}
