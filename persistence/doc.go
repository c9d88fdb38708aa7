// Package persistence is the journal: records go in, and each is reported once it will
// survive a power cut. It owns the batching, the queue and its limits, the order of
// completions, and the snapshots, over two contracts: Log, the durable sequence of frames
// of one shard, and SnapshotStore, the snapshots beside it. It never looks inside a record,
// knows no user, opens no file, and never retries a write that failed.
//
// The parts:
//
//	persistence                  Journal, the contracts Log and SnapshotStore, snapshots over a store
//	persistence/format           the bytes of frame, entry, snapshot block and position, each drawn
//	persistence/local            the Log and SnapshotStore on this machine's disk
//	persistence/persistencetest  the conformance tests of both contracts
//	persistence/faultfs          a disk that fails on command, for tests
//
// Package actors replays and appends; cmd/exchange opens and closes, and scans, cuts and
// copies the log of a stopped service by way of local.
//
// # Invariants
//
//  1. Committed(nil) is called only after Log.Append has returned nil for the record's
//     frame: the record is durable. After an error the record may be durable or not, and
//     nobody may assume either.
//  2. Frames are numbered from 1 without a gap, and one is in flight at a time. Completions
//     run in the order of the appends, those of a frame before those of the next.
//  3. After the committer's first error of Log.Append the journal is poisoned: Log.Append is
//     never called again, and every completion, waiting or later, until Close gets that
//     error, wrapped in ErrPoisoned. Failed is closed before the first of them is called.
//  4. A reservation holds: after a Reserve that returned nil, Append has room for a record
//     of that length. Queued records and bytes never exceed their limits.
//  5. A frame of another owner is refused with ErrFenced: epochs grow with every claim, and
//     a frame carries the epoch of the claim it was written under.
//  6. A snapshot named Next holds every record of the frames before Next, and none of the
//     frames from End on; for the frames in between, an entry may hold them or not. So a
//     start loads it, replays from Next, and each entry ignores records that it has. No log
//     may end before End.
//  7. Old frames and snapshots are removed only once the newest two valid snapshots have
//     been read again from the store to their last byte. Those two stay, and the log from
//     the older one's Next on.
//
// Replay and LoadSnapshot trust no store: every frame and every block is checked again,
// number, shard and checksum, whichever store it comes from. Bytes that differ from the
// written ones are a *DamageError or an error wrapping format.ErrSnapshot, never skipped.
//
// # The life of a record
//
//	Journal.Reserve(len(record))      any goroutine; mu held
//	  poisoned, closed, too large, full: an error, and nothing has changed
//	  else queuedRecords, queuedBytes grow                        // invariant 4
//
//	Journal.Append(record, c)         any goroutine; mu held; never waits for the disk
//	  b = filling(size)               the last queued batch, or a new one at MaxBatchBytes
//	  format.AppendRecord(b.frame)    the one copy of the record
//	  b.completions += c
//	  wake()                          the committer, if it sleeps
//
//	Journal.commit()                  the committer, one goroutine
//	  for b = next(b):                all that came during the last sync; waits if nothing did
//	    if poisoned: err = the cause, and nothing is written      // invariant 3
//	    else write(b):                mu not held: Append goes on meanwhile
//	      format.SealFrame            number, shard, epoch, count, checksum
//	      Log.Append(seq, frame)      returns once the frame is durable
//	      claim.Next++
//	    if it failed: poison(err)     closes Failed
//	    release                       gives the room back
//	    for c in b.completions: c.Committed(err)                  // invariants 1, 2
//	  next also moves completed to claim.Next: where a snapshot's Next would be now
//
// In local, Log.Append checks the frame's header, writes one entry to the segment, syncs
// the file, and syncs the directory where the entry began or ended a segment.
//
// # Duties of the caller
//
//  1. Open, then LoadSnapshot, then Replay from the snapshot's Next (0 without one), then
//     Start. Records are taken after Start, whose empty frame counts the epoch, proves that
//     the disk can be written, and makes the replayed records durable.
//  2. Before every Append, Reserve exactly the record's length. An Append without a
//     reservation panics, since it could be refused only after its caller has acted on it.
//  3. A completion must not block and must not call Close or Snapshot: the committer and
//     all later records wait for it. It may call Reserve, Append and Barrier.
//  4. Show nothing of a record to anybody before its Committed(nil).
//  5. Watch Failed, and end the process once it is closed. The next start finds out what
//     the disk holds.
//  6. Give Snapshot a fill that reads published, durable state only.
//
// Which goroutine may call what:
//
//	Open, LoadSnapshot, Replay, Start      one goroutine, in that order
//	Reserve, Append, Barrier               any, completions included
//	Failed, Err, Stats, SnapshotBytes      any
//	Snapshot                               any but a completion; one at a time, else ErrSnapshotRunning
//	Close                                  any but a completion; it waits for the committer and for a snapshot
//	Log: Claim, Replay, Append             the journal only: first Open's goroutine, then the committer
//	Log: TruncateFront                     the goroutine of Snapshot, beside Append
//	SnapshotStore                          the goroutine of Snapshot; of LoadSnapshot before it
//
// # Rejected
//
//   - A retry after a failed write or sync. The kernel reports a failed write-back once and
//     then takes the page for clean, so a second sync succeeds over lost bytes. A failure is
//     therefore final for the process, and the start after it writes its last segment anew.
//   - tidwall/wal's WriteBatch, many entries in one call. It is not atomic across segments:
//     a crash can keep the first part of a batch. One batch is one frame is one entry, which
//     also keeps tidwall/wal's index small.
//   - tidwall/wal's own checks, repair and truncation. It has no checksums, refuses a log with a
//     torn tail, and its TruncateFront copies a part of a segment while appends wait (190 ms
//     for half of a log of 1 GB). Frames have a checksum, and local repairs the tail before
//     opening the log and removes whole segments.
//   - A delay before a commit, to gather more records. The last sync is the delay: under
//     load the batch is all that came during it, and without load a record goes at once.
//   - Several frames in flight. With one, the order of frames is the order of the calls of
//     Log.Append, and a log of several machines is right without pipelining.
//   - Skipping a damaged frame, or a guess at what it held. Only a torn tail is cut off: a
//     last entry that is not whole and has no whole frame after it, which was never
//     acknowledged. Anything else refuses the start, and a person decides (local.Cut).
package persistence
