// Package persistence is the journal: records go in, and each is reported once it
// will survive a power cut.
//
// It owns the data directory: its lock, the write-ahead log (tidwall/wal below
// frames of our own), the repair of a torn tail and the refusal of damage
// anywhere else. Records are opaque bytes; it knows no user, and nothing of what
// a record means. The actors package appends and replays; cmd/exchange opens,
// closes and verifies.
package persistence
