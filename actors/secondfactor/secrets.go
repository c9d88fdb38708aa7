package secondfactor

import (
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/aitbc/exchange/actors/keyfile"
)

// ErrSecrets is what every error about the key of secrets, or one that it does not open,
// wraps.
var ErrSecrets = errors.New("secrets")

// sealVersion is the first byte of what Seal returns: XChaCha20-Poly1305 (RFC 8439, and
// draft-irtf-cfrg-xchacha-03), nonce, ciphertext and tag, with the version and the
// user's id as associated data. A nonce of 24 random bytes is never drawn twice.
const sealVersion = 1

// Secrets seals what can't be kept as a hash, so that a copy of the log is of no use
// without the key, which is in a file of its own. Seal and Open may be called from any
// goroutine once Make has returned.
type Secrets struct {
	path   string
	random io.Reader
	aead   cipher.AEAD // nil while there is no key
}

// NewSecrets returns Secrets with a key of 32 bytes that is kept by the caller.
func NewSecrets(key []byte, random io.Reader) (*Secrets, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSecrets, err)
	}
	return &Secrets{random: random, aead: aead}, nil
}

// OpenSecrets reads the key file, 32 bytes in hexadecimal. One that does not exist is an
// error when something has to be opened; Make makes it. One that others may read is
// refused.
func OpenSecrets(path string, random io.Reader) (*Secrets, error) {
	s := &Secrets{path: path, random: random}
	text, err := keyfile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSecrets, err)
	}
	if text == nil {
		return s, nil
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != chacha20poly1305.KeySize {
		return nil, fmt.Errorf("%w: key file %s does not hold %d bytes in hexadecimal", ErrSecrets, path, chacha20poly1305.KeySize)
	}
	s.aead, err = chacha20poly1305.NewX(key)
	return s, err
}

// Make draws the key and writes its file, if there is none. The key is on the disk
// before anything is sealed with it. It must not be called where something was sealed
// before: see Open.
func (s *Secrets) Make() error {
	if s.aead != nil {
		return nil
	}
	key := make([]byte, chacha20poly1305.KeySize)
	if _, err := io.ReadFull(s.random, key); err != nil {
		return fmt.Errorf("%w: random number for a key: %w", ErrSecrets, err)
	}
	if err := keyfile.Write(s.path, append(hex.AppendEncode(nil, key), '\n')); err != nil {
		return fmt.Errorf("%w: key file: %w", ErrSecrets, err)
	}
	var err error
	s.aead, err = chacha20poly1305.NewX(key)
	return err
}

func sealedFor(user [16]byte) []byte { return append([]byte{sealVersion}, user[:]...) }

// Seal returns the secret as it is stored, of use for this user alone.
func (s *Secrets) Seal(user [16]byte, secret TOTPSecret) ([]byte, error) {
	if s.aead == nil {
		return nil, fmt.Errorf("%w: there is no key", ErrSecrets)
	}
	nonce := make([]byte, s.aead.NonceSize())
	if _, err := io.ReadFull(s.random, nonce); err != nil {
		return nil, fmt.Errorf("random number for a nonce: %w", err)
	}
	sealed := append([]byte{sealVersion}, nonce...)
	return s.aead.Seal(sealed, nonce, secret[:], sealedFor(user)), nil
}

// Open returns what Seal was given.
func (s *Secrets) Open(user [16]byte, sealed []byte) (secret TOTPSecret, err error) {
	if s.aead == nil {
		return secret, fmt.Errorf("%w: key file %s is missing, and only its key opens what is stored: put it back", ErrSecrets, s.path)
	}
	end := 1 + s.aead.NonceSize()
	if len(sealed) < end || sealed[0] != sealVersion {
		return secret, fmt.Errorf("%w: %d bytes are not a sealed secret of version %d", ErrSecrets, len(sealed), sealVersion)
	}
	plain, err := s.aead.Open(nil, sealed[1:end], sealed[end:], sealedFor(user))
	if err != nil || len(plain) != len(secret) {
		return secret, fmt.Errorf("%w: the key in %s does not open what is stored: it is another one", ErrSecrets, s.path)
	}
	return TOTPSecret(plain), nil
}
