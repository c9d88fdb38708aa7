// Package bitcoin is the exchange's view of the Bitcoin chain: addresses from an
// extended public key, a follower of the best chain that reports what was paid to
// watched addresses, and the rules by which that becomes AITBC.
//
// It holds no private key, credits nobody and writes nothing to disk: the actors
// package watches addresses, makes the reported facts durable and passes the place
// in the chain back after a restart. What decides (Follower, Assess, Keys) does no
// I/O and reads no clock; Node and Watcher talk to the operator's own node, which
// is trusted with the validity of blocks.
package bitcoin
