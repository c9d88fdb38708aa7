package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// The headers of a delivery.
const (
	HeaderSignature = "Exchange-Signature" // t=<seconds since 1970>,v1=<HMAC-SHA-256, hexadecimal>, and a v1 more for each further secret
	HeaderDelivery  = "Exchange-Delivery"  // the delivery's id: the same in every attempt
	HeaderEvent     = "Exchange-Event"
)

// What is wrong with a signature.
var (
	ErrSignature = errors.New("the signature does not match")
	ErrTooOld    = errors.New("the signature's time is not the present")
)

// Sign returns the signature header of a body: for each secret HMAC-SHA-256 over the
// time in decimal seconds, a full stop, and the body.
func Sign(secrets [][]byte, body string, at time.Time) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	header := "t=" + seconds
	for _, secret := range secrets {
		header += ",v1=" + hex.EncodeToString(mac(secret, seconds, body))
	}
	return header
}

// Verify is what a receiver does with a signature header: nil where one signature in it
// is of this secret and body, and its time within tolerance of now, so that a recorded
// delivery is no use later.
func Verify(secret []byte, body, header string, now time.Time, tolerance time.Duration) error {
	first, sums, found := strings.Cut(header, ",v1=")
	seconds, isTime := strings.CutPrefix(first, "t=")
	if !found || !isTime {
		return fmt.Errorf("%w: want t=<seconds>,v1=<hexadecimal>", ErrSignature)
	}
	matches := false
	for _, sum := range strings.Split(sums, ",v1=") {
		got, err := hex.DecodeString(sum)
		matches = matches || (err == nil && hmac.Equal(got, mac(secret, seconds, body)))
	}
	if !matches {
		return ErrSignature
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || now.Sub(time.Unix(unix, 0)).Abs() > tolerance {
		return ErrTooOld
	}
	return nil
}

func mac(secret []byte, seconds, body string) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(seconds + "." + body))
	return h.Sum(nil)
}

// Limits of a file of secrets.
const (
	minSecret  = 16 // characters
	maxSecret  = 256
	maxSecrets = 4
)

// ReadSecrets reads a file of secrets, one a line: those that sign, the newest first by
// custom. Empty lines and those that begin with # do not count. An error names the line
// and never shows the secret.
func ReadSecrets(file io.Reader) (secrets [][]byte, err error) {
	text, err := io.ReadAll(io.LimitReader(file, 64<<10))
	if err != nil {
		return nil, err
	}
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
			continue
		case len(line) < minSecret || len(line) > maxSecret:
			return nil, fmt.Errorf("line %d: a secret must be %d to %d characters; 'openssl rand -hex 32' makes a good one", i+1, minSecret, maxSecret)
		case len(secrets) == maxSecrets:
			return nil, fmt.Errorf("line %d: more than %d secrets", i+1, maxSecrets)
		}
		secrets = append(secrets, []byte(line))
	}
	if len(secrets) == 0 {
		return nil, errors.New("there is no secret in it")
	}
	return secrets, nil
}
