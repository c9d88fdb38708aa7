// Package delivery decides when what is to be delivered is tried.
//
// It owns the order of attempts and the waits between them, in memory. What an item
// says, how it is sent, and what makes its end durable, are its caller's: the actors
// package keeps notices in accounts, gives those that are open after a start, and
// runs one Queue for each way of telling them. It knows no HTTP, no mail and no log.
package delivery
