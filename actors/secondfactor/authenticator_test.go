package secondfactor

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

// authenticator is a software authenticator with one P-256 key: what a browser and
// its device do, and what a test wants them to do wrong.
type authenticator struct {
	key    *ecdsa.PrivateKey
	id     []byte
	count  uint32
	origin string
	party  string
	flags  byte // UP 1, UV 4, BE 8, BS 16
}

func newAuthenticator(t *testing.T) *authenticator {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 16)
	rand.Read(id)
	return &authenticator{key: key, id: id, origin: "https://exchange.example", party: "exchange.example", flags: 1 | 4}
}

type options struct {
	PublicKey struct {
		Challenge        string `json:"challenge"`
		UserVerification string `json:"userVerification"`
	} `json:"publicKey"`
}

func (a *authenticator) clientData(t *testing.T, kind string, opts []byte) []byte {
	t.Helper()
	var o options
	if err := json.Unmarshal(opts, &o); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]any{"type": kind, "challenge": o.PublicKey.Challenge, "origin": a.origin, "crossOrigin": false})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// authData is the authenticator data of WebAuthn section 6.1; attested adds the key.
func (a *authenticator) authData(t *testing.T, attested bool) []byte {
	t.Helper()
	hash := sha256.Sum256([]byte(a.party))
	b := append([]byte{}, hash[:]...)
	flags := a.flags
	if attested {
		flags |= 64
	}
	b = binary.BigEndian.AppendUint32(append(b, flags), a.count)
	if attested {
		b = append(b, make([]byte, 16)...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(a.id)))
		b = append(b, a.id...)
		point, err := a.key.PublicKey.Bytes()
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

func (a *authenticator) answer(t *testing.T, response map[string]any) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{"id": b64(a.id), "rawId": b64(a.id), "type": "public-key", "response": response})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (a *authenticator) create(t *testing.T, opts []byte) []byte {
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

func (a *authenticator) get(t *testing.T, opts []byte) []byte {
	t.Helper()
	a.count++
	client, data := a.clientData(t, "webauthn.get", opts), a.authData(t, false)
	clientHash := sha256.Sum256(client)
	hash := sha256.Sum256(append(append([]byte{}, data...), clientHash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, a.key, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	return a.answer(t, map[string]any{"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature)})
}
