// Package factortest is what users hold, made of software for tests: an authenticator of
// passkeys, and an authenticator app.
//
// It owns the two, keeps nothing, and is imported by tests alone.
package factortest
