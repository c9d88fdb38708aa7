// Package peer holds the servers that the exchange is measured against: an empty
// handler, which is the limit, and what an operator would otherwise build: the same
// HTTP interface over PostgreSQL, Redis or SQLite. Each does the work of the
// exchange and no more: it checks the session, changes the balance and writes the
// history at once and durably, or it reads them. What the exchange does besides
// (idempotency keys, the limit of 32 sessions, uniqueness of names, metrics of each
// route) is left out, in the peers' favour.
//
// Only bench runs them; they serve loopback and trust their caller.
package peer
