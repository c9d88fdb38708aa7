// Package actors is the service that the HTTP front end calls: one actor per
// user, the directory of who exists, payments, operator actions and the market.
//
// It owns every live account. Only a user's actor changes that user's account;
// an actor never waits. A change is seen by others, in an answer or in a read,
// only after the journal has made it durable. The package knows no HTTP, and
// nothing of how the journal stores a record.
package actors
