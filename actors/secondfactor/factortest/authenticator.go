package factortest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"
)

// Authenticator is a software authenticator with one P-256 key: what a browser and
// its device do, and what a test wants them to do wrong. One goroutine owns it.
type Authenticator struct {
	Key    *ecdsa.PrivateKey
	ID     []byte
	Count  uint32
	Origin string
	Party  string
	Flags  byte // UP 1, UV 4, BE 8, BS 16
}

// New returns an authenticator at an origin of the party.
func New(t testing.TB, origin, party string) *Authenticator {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 16)
	rand.Read(id)
	return &Authenticator{Key: key, ID: id, Origin: origin, Party: party, Flags: 1 | 4}
}

type options struct {
	PublicKey struct {
		Challenge        string `json:"challenge"`
		UserVerification string `json:"userVerification"`
	} `json:"publicKey"`
}

func (a *Authenticator) clientData(t testing.TB, kind string, opts []byte) []byte {
	t.Helper()
	var o options
	if err := json.Unmarshal(opts, &o); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]any{"type": kind, "challenge": o.PublicKey.Challenge, "origin": a.Origin, "crossOrigin": false})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// authData is the authenticator data of WebAuthn section 6.1; attested adds the key.
func (a *Authenticator) authData(t testing.TB, attested bool) []byte {
	t.Helper()
	hash := sha256.Sum256([]byte(a.Party))
	b := append([]byte{}, hash[:]...)
	flags := a.Flags
	if attested {
		flags |= 64
	}
	b = binary.BigEndian.AppendUint32(append(b, flags), a.Count)
	if attested {
		b = append(b, make([]byte, 16)...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(a.ID)))
		b = append(b, a.ID...)
		point, err := a.Key.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		// COSE: {1: 2, 3: -7, -1: 1, -2: x, -3: y}
		b = append(b, 0xA5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32)
		b = append(b, point[1:33]...)
		b = append(b, 0x22, 0x58, 32)
		b = append(b, point[33:]...)
	}
	return b
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (a *Authenticator) answer(t testing.TB, response map[string]any) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{"id": b64(a.ID), "rawId": b64(a.ID), "type": "public-key", "response": response})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Create answers the options of navigator.credentials.create, as JSON.
func (a *Authenticator) Create(t testing.TB, opts []byte) []byte {
	t.Helper()
	data := a.authData(t, true)
	// CBOR: {"fmt": "none", "attStmt": {}, "authData": bytes}
	object := append([]byte{0xA3, 0x63}, "fmt"...)
	object = append(append(object, 0x64), "none"...)
	object = append(append(object, 0x67), "attStmt"...)
	object = append(append(object, 0xA0, 0x68), "authData"...)
	object = append(object, 0x59, byte(len(data)>>8), byte(len(data)))
	object = append(object, data...)
	return a.answer(t, map[string]any{"clientDataJSON": b64(a.clientData(t, "webauthn.create", opts)),
		"attestationObject": b64(object), "transports": []string{"internal", "hybrid"}})
}

// Get answers the options of navigator.credentials.get, as JSON.
func (a *Authenticator) Get(t testing.TB, opts []byte) []byte {
	t.Helper()
	a.Count++
	client, data := a.clientData(t, "webauthn.get", opts), a.authData(t, false)
	clientHash := sha256.Sum256(client)
	hash := sha256.Sum256(append(append([]byte{}, data...), clientHash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, a.Key, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	return a.answer(t, map[string]any{"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature)})
}
