package accesstoken

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aitbc/exchange/actors/keyfile"
)

// fileVersion is the format of a key file.
const fileVersion = 1

// maxKeys bounds a key file. Rotation keeps few.
const maxKeys = 16

// key is one signing key. It signs from SignsFrom on until the next one does.
type key struct {
	ID        string    `json:"kid"`
	Seed      []byte    `json:"seed"` // the private key, 32 bytes
	SignsFrom time.Time `json:"signs_from"`
	private   ed25519.PrivateKey
}

// keyFile is what is on disk, as JSON.
type keyFile struct {
	Version int   `json:"version"`
	Keys    []key `json:"keys"` // oldest first
}

// newKey draws a key. Its id is its thumbprint (RFC 7638, RFC 8037), so that two keys
// never have one id.
func newKey(random io.Reader, signsFrom time.Time) (key, error) {
	k := key{Seed: make([]byte, ed25519.SeedSize), SignsFrom: signsFrom.UTC().Truncate(time.Second)}
	if _, err := io.ReadFull(random, k.Seed); err != nil {
		return k, fmt.Errorf("random number for a signing key: %w", err)
	}
	k.private = ed25519.NewKeyFromSeed(k.Seed)
	k.ID = k.thumbprint()
	return k, nil
}

func (k *key) x() string {
	return base64.RawURLEncoding.EncodeToString(k.private.Public().(ed25519.PublicKey))
}

func (k *key) thumbprint() string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + k.x() + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// readKeys reads a key file. One that does not exist holds no key.
func readKeys(path string) ([]key, error) {
	b, err := keyfile.Read(path)
	if b == nil || err != nil {
		return nil, err
	}
	keys, err := decodeKeys(b)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return keys, nil
}

// decodeKeys accepts any bytes. An error shows none of them.
func decodeKeys(b []byte) ([]key, error) {
	var file keyFile
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, errors.New("not the JSON of a key file")
	}
	if file.Version != fileVersion || len(file.Keys) == 0 || len(file.Keys) > maxKeys {
		return nil, fmt.Errorf("version %d with %d keys, want version %d with 1 to %d", file.Version, len(file.Keys), fileVersion, maxKeys)
	}
	for i := range file.Keys {
		k := &file.Keys[i]
		if len(k.Seed) != ed25519.SeedSize {
			return nil, fmt.Errorf("key %d has %d bytes, want %d", i, len(k.Seed), ed25519.SeedSize)
		}
		k.private = ed25519.NewKeyFromSeed(k.Seed)
		if k.ID != k.thumbprint() {
			return nil, fmt.Errorf("key %d is not the one that its id names", i)
		}
		if i > 0 && !file.Keys[i-1].SignsFrom.Before(k.SignsFrom) {
			return nil, fmt.Errorf("key %d signs from before the one ahead of it", i)
		}
	}
	return file.Keys, nil
}

// writeKeys puts the keys in place of what path holds.
func writeKeys(path string, keys []key) error {
	b, err := json.MarshalIndent(keyFile{fileVersion, keys}, "", "  ")
	if err != nil {
		return err
	}
	return keyfile.Write(path, b)
}
