// Package accesstoken makes short-lived tokens by which other services know a user
// without asking us: signed JWTs (RFC 7519, RFC 9068), and the public keys to check
// them with.
//
// It owns the signing keys, their file and their rotation. It knows no account and no
// route, and nothing of a token is kept: one can't be taken back, so it lives for
// minutes. httpapi issues one to a live session that asks, and serves the key set.
package accesstoken
