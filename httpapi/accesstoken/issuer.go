package accesstoken

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// ErrInvalid is what every token that does not hold wraps.
var ErrInvalid = errors.New("access token is not valid")

// tokenType is the JOSE type of an access token (RFC 9068), so that no other JWT that
// our keys might sign one day is taken for one.
const tokenType = "at+jwt"

// maxToken is the longest token that is looked at, in bytes.
const maxToken = 2048

// Config is what an Issuer needs. Fields without a default are required.
type Config struct {
	File     string        // of the keys; made if it does not exist
	Issuer   string        // who we are, such as https://exchange.example
	Lifetime time.Duration // of a token; default 5 min
	// Rotation is how long a key signs; default 30 days. The next one is published
	// Overlap (default 1 day) before it signs, so that services that keep our key set
	// have it, and the last one stays published as long after.
	Rotation time.Duration
	Overlap  time.Duration
	Random   io.Reader
	Now      func() time.Time
}

// Issuer makes and checks tokens. Its methods may be called from any goroutine.
type Issuer struct {
	cfg Config

	mu     sync.RWMutex
	keys   []key  // guarded by mu; oldest first
	keySet []byte // guarded by mu; as JSON
}

// Open reads the keys, or makes the first one.
func Open(cfg Config) (*Issuer, error) {
	if cfg.Lifetime == 0 {
		cfg.Lifetime = 5 * time.Minute
	}
	if cfg.Rotation == 0 {
		cfg.Rotation = 30 * 24 * time.Hour
	}
	if cfg.Overlap == 0 {
		cfg.Overlap = 24 * time.Hour
	}
	if cfg.Lifetime > cfg.Overlap || 2*cfg.Overlap > cfg.Rotation {
		return nil, fmt.Errorf("access tokens: a lifetime of %s, an overlap of %s and a rotation of %s do not fit into each other", cfg.Lifetime, cfg.Overlap, cfg.Rotation)
	}
	i := &Issuer{cfg: cfg}
	keys, err := readKeys(cfg.File)
	if err != nil {
		return nil, err
	}
	i.publish(keys)
	return i, i.Rotate()
}

// Rotate makes and drops keys as the time asks for. Call it about once an hour; a
// failure leaves the keys that are there.
func (i *Issuer) Rotate() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.cfg.Now()
	keys := i.keys
	// The one that signs is the last whose time has come; those before it go once no
	// token of theirs can be alive.
	for len(keys) > 1 && !now.Before(keys[1].SignsFrom.Add(i.cfg.Overlap)) {
		keys = keys[1:]
	}
	next := now
	if len(keys) > 0 {
		last := keys[len(keys)-1].SignsFrom
		next = last.Add(i.cfg.Rotation)
		if late := now.Add(i.cfg.Overlap); now.After(next.Add(-i.cfg.Overlap)) {
			next = late // published for an overlap before it signs, however late we are
		}
	}
	if len(keys) == 0 || !next.After(now.Add(i.cfg.Overlap)) {
		k, err := newKey(i.cfg.Random, next)
		if err != nil {
			return err
		}
		keys = append(keys[:len(keys):len(keys)], k)
	} else if len(keys) == len(i.keys) {
		return nil
	}
	if err := writeKeys(i.cfg.File, keys); err != nil {
		return fmt.Errorf("access tokens: write %s: %w", i.cfg.File, err)
	}
	i.publishLocked(keys)
	return nil
}

func (i *Issuer) publish(keys []key) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.publishLocked(keys)
}

func (i *Issuer) publishLocked(keys []key) {
	type jwk struct {
		KeyType string `json:"kty"`
		Curve   string `json:"crv"`
		X       string `json:"x"`
		ID      string `json:"kid"`
		Use     string `json:"use"`
		Alg     string `json:"alg"`
	}
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: []jwk{}}
	for n := range keys {
		set.Keys = append(set.Keys, jwk{"OKP", "Ed25519", keys[n].x(), keys[n].ID, "sig", "EdDSA"})
	}
	b, err := json.Marshal(set)
	if err != nil {
		panic(err) // strings only
	}
	i.keys, i.keySet = keys, b
}

// KeySet is the JWK Set (RFC 7517, RFC 8037) for /.well-known/jwks.json. It is not to
// be written to.
func (i *Issuer) KeySet() []byte {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.keySet
}

// Token is what a token says.
type Token struct {
	Subject   string // the user's id
	Audience  string // the one service that it is for
	ID        string
	ExpiresAt time.Time
}

// Issue makes a token that says that its bearer is subject, for audience alone.
func (i *Issuer) Issue(subject, audience string) (string, Token, error) {
	var id [16]byte
	if _, err := io.ReadFull(i.cfg.Random, id[:]); err != nil {
		return "", Token{}, fmt.Errorf("random number for a token: %w", err)
	}
	now := i.cfg.Now().UTC().Truncate(time.Second)
	t := Token{Subject: subject, Audience: audience, ID: hex.EncodeToString(id[:]), ExpiresAt: now.Add(i.cfg.Lifetime)}
	signer := i.signer(now)
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.RegisteredClaims{
		Issuer: i.cfg.Issuer, Subject: subject, Audience: jwt.ClaimStrings{audience}, ID: t.ID,
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(t.ExpiresAt),
	})
	token.Header["kid"], token.Header["typ"] = signer.ID, tokenType
	signed, err := token.SignedString(signer.private)
	return signed, t, err
}

// signer is the last key whose time has come.
func (i *Issuer) signer(now time.Time) *key {
	i.mu.RLock()
	defer i.mu.RUnlock()
	for n := len(i.keys) - 1; n > 0; n-- {
		if !now.Before(i.keys[n].SignsFrom) {
			return &i.keys[n]
		}
	}
	return &i.keys[0] // a clock before the first key's time, which signs all the same
}

// Verify checks a token as the service named audience has to: the algorithm, type and
// key, then issuer, audience and times, to the second.
func (i *Issuer) Verify(token, audience string) (Token, error) {
	if len(token) > maxToken {
		return Token{}, fmt.Errorf("%w: %d bytes", ErrInvalid, len(token))
	}
	var claims jwt.RegisteredClaims
	parsed, err := jwt.ParseWithClaims(token, &claims, i.find,
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), // and neither none nor HMAC with our public key
		jwt.WithIssuer(i.cfg.Issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithNotBeforeRequired(), jwt.WithIssuedAt(),
		jwt.WithStrictDecoding(), jwt.WithTimeFunc(i.cfg.Now))
	if err != nil {
		return Token{}, fmt.Errorf("%w: %v", ErrInvalid, err)
	}
	if parsed.Header["typ"] != tokenType || claims.Subject == "" || len(claims.Audience) != 1 {
		return Token{}, fmt.Errorf("%w: not an access token", ErrInvalid)
	}
	return Token{Subject: claims.Subject, Audience: audience, ID: claims.ID, ExpiresAt: claims.ExpiresAt.Time}, nil
}

// find returns the public key that a token names. Keys that a token brings along
// (jwk, jku, x5u) are never looked at.
func (i *Issuer) find(t *jwt.Token) (any, error) {
	id, ok := t.Header["kid"].(string)
	if !ok {
		return nil, errors.New("it names no key")
	}
	i.mu.RLock()
	defer i.mu.RUnlock()
	for n := range i.keys {
		if i.keys[n].ID == id {
			return i.keys[n].private.Public(), nil
		}
	}
	return nil, fmt.Errorf("there is no key %q", base64.RawURLEncoding.EncodeToString([]byte(id)))
}
