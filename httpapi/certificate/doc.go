// Package certificate serves a TLS certificate from files and takes a new one when
// they change, without a restart.
//
// It owns the TLS configuration and the watch over the two files. A pair that can't be
// used never takes the place of one that can. cmd/exchange makes one Reloader and
// hands its configuration to the listener.
package certificate
