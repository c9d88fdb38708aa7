package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The headers of a delivery.
const (
	HeaderSignature = "Exchange-Signature" // t=<seconds since 1970>,v1=<HMAC-SHA-256, hexadecimal>
	HeaderDelivery  = "Exchange-Delivery"  // the delivery's id: the same in every attempt
	HeaderEvent     = "Exchange-Event"
)

// What is wrong with a signature.
var (
	ErrSignature = errors.New("the signature does not match")
	ErrTooOld    = errors.New("the signature's time is not the present")
)

// Sign returns the signature header of a body: HMAC-SHA-256 with the secret over the
// time in decimal seconds, a full stop, and the body.
func Sign(secret, body []byte, at time.Time) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(mac(secret, seconds, body))
}

// Verify is what a receiver does with a signature header: nil where it is of this
// secret and body, and its time within tolerance of now, so that a recorded delivery
// is no use later.
func Verify(secret, body []byte, header string, now time.Time, tolerance time.Duration) error {
	seconds, sum, found := strings.Cut(header, ",v1=")
	seconds, isTime := strings.CutPrefix(seconds, "t=")
	got, err := hex.DecodeString(sum)
	if !found || !isTime || err != nil {
		return fmt.Errorf("%w: want t=<seconds>,v1=<hexadecimal>", ErrSignature)
	}
	if !hmac.Equal(got, mac(secret, seconds, body)) {
		return ErrSignature
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || now.Sub(time.Unix(unix, 0)).Abs() > tolerance {
		return ErrTooOld
	}
	return nil
}

func mac(secret []byte, seconds string, body []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(seconds))
	h.Write([]byte{'.'})
	h.Write(body)
	return h.Sum(nil)
}
