// Package persistence is the journal: records go in, and each is reported once it
// will survive a power cut.
//
// It owns the data directory: its lock, the write-ahead log (tidwall/wal below
// frames of our own), the repair of a torn tail and the refusal of damage
// anywhere else. It never looks inside a record, knows no user, and never retries
// a write that failed. The actors package replays and appends; cmd/exchange
// opens, closes and verifies.
package persistence
