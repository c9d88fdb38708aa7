// Package account is the pure core of the exchange: what an account is, which
// commands it accepts, which events they become, and what those events do.
//
// It owns Account, Decide and Apply, Money, the binary encoding of events and
// the state hash. It does no I/O, reads no clock, draws no random number and
// starts no goroutine; times, ids and hashes arrive inside commands. The actors
// package calls Decide and Apply for live commands, and Apply alone to recover.
package account
