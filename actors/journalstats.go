package actors

import "github.com/aitbc/exchange/persistence"

// JournalStats are the journal's counters and gauges, for the metrics.
type JournalStats = persistence.Stats

// JournalStats returns the journal's figures of this moment. Any goroutine may call it,
// also during recovery.
func (x *Exchange) JournalStats() JournalStats { return x.cfg.Journal.Stats() }

// ErrSnapshotRunning says that a snapshot is being taken: one at a time is.
var ErrSnapshotRunning = persistence.ErrSnapshotRunning
