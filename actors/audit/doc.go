// Package audit is the form of the audit log: entries each of which carries the hash
// of the one before, so that none can be changed, taken out or put in unnoticed.
//
// It owns the entry, its encoding and the chain's rule. It does no I/O, reads no clock
// and starts no goroutine. actors appends an entry for each security-relevant act and
// writes it to the journal; exchange verify follows the chain.
//
// What a chain alone can't show is that its end was cut off, or that all of it was
// written anew by someone who can write the whole log. For that its head is told to
// the outside (see Chain.Head): whoever wrote it down can tell.
package audit
