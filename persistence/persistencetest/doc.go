// Package persistencetest has what the tests of a Log and of the Journal above it share:
// TestLog and TestSnapshotStore, which hold every implementation of the contracts of
// package persistence to them, and helpers to append, replay and wait. Only tests import
// it: those of persistence, of persistence/local, and of every log to come.
package persistencetest
