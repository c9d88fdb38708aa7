// Command bench measures the exchange against what limits it and against what an
// operator would otherwise use, in one run.
//
// # Method
//
// The subjects are servers in processes of their own: the exchange as operators
// run it, an empty fasthttp handler that answers as many bytes and headers, and the
// peers of package peer over PostgreSQL, Redis and SQLite. bench starts them all on
// loopback and in one temporary directory, fills them through their HTTP interface
// with the same users, and measures them in turns: each round measures every
// subject for a moment, beginning with another one, so that what disturbs the
// machine disturbs all alike. A figure is the median of the rounds, with least and
// most beside it; a ratio is the median of the rounds' ratios. What it measures is the
// binary; fill alone, which makes data directories to start on, imports the
// exchange's own packages.
//
// The load generator (load, loop) drives non-blocking connections with epoll, in two
// threads. It shares the cores with the servers, so it has to cost little: `bench
// client` shows its rate beside wrk's on the empty handler. In a closed loop each
// connection waits for its response; in an open loop (-rate) requests are due at
// fixed times, and latency counts from then.
//
// # Fairness
//
// Every subject gets the same client, connections and mix, syncs every change to the
// same disk before it acknowledges it, and is checked: at the end the balances of all
// its users must add up to the deposits that it acknowledged, or the run fails. Each
// peer does a request in one round trip to its database, over a Unix socket, with
// prepared statements or scripts and pooled or pipelined connections; the settings
// are printed. How many connections PostgreSQL gets was chosen by trying: see
// postgresPool.
//
// CPU is of the server's process with its database's processes, from /proc; bytes
// written are what the disk took meanwhile (see disk); allocations are of the HTTP
// server, which counts them itself.
package main
