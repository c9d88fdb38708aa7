package secondfactor

import (
	"encoding/base32"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// The parameters that every authenticator app knows (RFC 6238).
const (
	totpPeriod = 30 // seconds of a step
	totpDigits = 6
	totpSkew   = 1 // steps that the user's clock may be off
	totpSecret = 20
)

// TOTPSecret is the secret that the app and we share. It has to be stored as it is.
type TOTPSecret [totpSecret]byte

var secretEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewTOTPSecret draws a secret.
func NewTOTPSecret(random io.Reader) (s TOTPSecret, err error) {
	if _, err := io.ReadFull(random, s[:]); err != nil {
		return s, fmt.Errorf("random number for a TOTP secret: %w", err)
	}
	return s, nil
}

// String is the secret as a user types it.
func (s TOTPSecret) String() string { return secretEncoding.EncodeToString(s[:]) }

// URL is what the QR code for the app holds. issuer is the exchange's name, account
// the user's.
func (s TOTPSecret) URL(issuer, account string) string {
	// Spaces are %20: some apps take a + for itself.
	query := url.Values{"secret": {s.String()}, "issuer": {issuer}, "algorithm": {"SHA1"},
		"digits": {fmt.Sprint(totpDigits)}, "period": {fmt.Sprint(totpPeriod)}}
	return "otpauth://totp/" + url.PathEscape(issuer) + ":" + url.PathEscape(account) + "?" + strings.ReplaceAll(query.Encode(), "+", "%20")
}

// LastTOTPStep returns the last step whose code may have been shown up to now.
func LastTOTPStep(now time.Time) uint64 { return uint64(now.Unix())/totpPeriod + totpSkew }

// Check returns the step that code is of. last is the step of the last code that was
// accepted, or 0: its code and all before it are dead, so none works twice, and the
// caller has to keep the step that is returned. All steps are tried, whichever fits.
func (s TOTPSecret) Check(code string, last uint64, now time.Time) (step uint64, err error) {
	current := uint64(now.Unix()) / totpPeriod
	found := false
	for candidate := current - totpSkew; candidate <= current+totpSkew; candidate++ {
		ok, err := hotp.ValidateCustom(code, candidate, s.String(), hotp.ValidateOpts{Digits: totpDigits, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0, fmt.Errorf("%w: TOTP: %v", ErrRefused, err)
		}
		if ok && candidate > last && !found {
			step, found = candidate, true
		}
	}
	if !found {
		return 0, fmt.Errorf("%w: TOTP: no step from %d to %d, after %d, has this code", ErrRefused, current-totpSkew, current+totpSkew, last)
	}
	return step, nil
}
