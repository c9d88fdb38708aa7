// Package webhook tells the operator's systems what happened, over HTTP.
//
// It owns the signature, the attempts and their backoff. What is to be delivered,
// and how far it got, is in a durable outbox that its caller keeps: the actors
// package adds to it with the event itself, and gives what is open after a restart.
// A delivery may arrive more than once, and out of order; it has an id and a time.
package webhook
