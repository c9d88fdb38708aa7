// Package local is the log of one shard and its snapshots on this machine's disk. Log
// implements persistence.Log and persistence.SnapshotStore; Scan, ScanSnapshot, Cut and
// Backup read, cut and copy the files of a stopped service, Backup also those of one that
// runs.
//
// It owns the data directory: its lock, the segments (tidwall/wal below frames of our own,
// see persistence/format), preallocation, the syncs of files and directories, the repair of
// a torn tail, the refusal of damage anywhere else, and the files of the snapshots. It never
// retries a write or sync that failed, never changes the log before the first Append, never
// removes less than a whole segment from its front, and never looks inside a record.
//
// A persistence.Journal calls Log's methods, under that package's rules; cmd/exchange calls
// the functions.
//
//	dir/lock                 the id of the process that uses the directory; flock is the fence
//	dir/log/0000/            segments of shard 0, each named by its first frame in 20 digits
//	dir/snapshot/0000/       snapshots, each named by its Next in 20 digits; .tmp while written
//	dir/cut-at-N/            saved by Cut
//
// # One append
//
//	Log.Append(seq, frame)           the committer's goroutine
//	  failure()                      an earlier error is the answer for ever
//	  format.DecodeHeader            the claim's shard and epoch, else ErrFenced; its number, else ErrSequence
//	  open()                         once: Replay if nobody has; rewrites the last segment without its torn
//	                                 tail; syncs the directories
//	  write(seq, frame)
//	    preallocatedLog.Write        preallocate(): a MiB of zeros where the file has no room left;
//	                                 wal.Log.Write; switchTo() another segment where one is full
//	    preallocatedLog.Sync         fdatasync, or asyncSync.sync for entries of 1.5 KiB or more on average
//	    syncDir                      where a segment began
//	  fail(err)                      on any error: every later Append gets it
//
// # Which goroutine
//
// Claim, Replay, Append and Close are one goroutine's at a time. TruncateFront, Bytes and
// the SnapshotStore's methods may be called from any beside Append; TruncateFront runs one
// at a time, and so does the writing of snapshots. The fields of Log say what guards them.
//
// # Order of syncs
//
// A file is synced before its name matters, and a name before anything relies on it: a new
// segment's entry, then its directory; a snapshot's bytes, its rename, its directory, and
// only then TruncateFront, oldest segment first with a sync of the directory for each. A
// failed sync of a directory that the log needs ends the log, of the snapshots' directory
// only the snapshots.
package local
