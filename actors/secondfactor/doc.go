// Package secondfactor checks what a user has beside the wallet: the codes of an
// authenticator app, recovery codes, and passkeys.
//
// It owns the checks, the form in which each factor is stored, and the ceremonies of
// passkeys that are under way. It keeps no account: which step a code was of, which
// recovery codes are used and how often a passkey signed are handed in and out, and
// become events of the account. actors calls it before a step-up counts.
package secondfactor

import "errors"

// ErrRefused is what every factor that does not hold wraps. Its text is for our log;
// the client is told that much and no more.
var ErrRefused = errors.New("second factor refused")
