// Package mail tells users by e-mail what happened to their account.
//
// It owns the texts, the connection to the SMTP server, and the rule by which a
// message is tried again. It keeps no message: the consumer has an Outbox, which
// makes each one durable before it is sent, so that a restart loses none. A message is
// sent at least once, under the same Message-ID each time. actors adds to the outbox
// and runs one Deliverer.
package mail
