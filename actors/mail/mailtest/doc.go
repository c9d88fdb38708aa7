// Package mailtest runs a real SMTP server on loopback, for the tests of whatever sends
// mail. It keeps what it is sent and passes nothing on.
package mailtest
