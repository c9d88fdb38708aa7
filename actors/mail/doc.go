// Package mail tells users by e-mail what happened to their account.
//
// It owns the texts and the connection to the SMTP server, and says whether a message
// that was not sent may be sent later. It keeps no message: what is sent, when, and how
// often it is tried, are its caller's. A message may be sent more than once, under the
// same Message-ID each time.
package mail
