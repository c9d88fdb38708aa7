package secondfactor

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

// Limits of a passkey's record.
const (
	passkeyVersion    = 1
	maxCredentialID   = 1023 // bytes, by WebAuthn
	maxPublicKey      = 2048 // bytes; RSA of 8192 bits has about 1,100
	maxTransports     = 8
	maxTransportBytes = 32
)

// Passkey is a credential record of WebAuthn (level 3, section 4): what is kept of a
// passkey. It holds no secret.
type Passkey struct {
	ID         []byte
	PublicKey  []byte // COSE
	AAGUID     [16]byte
	SignCount  uint32 // zero for passkeys that are synced between devices
	Flags      uint8  // of the authenticator data when it was made, backup state kept current
	Transports []string
}

// Append appends the record's binary form:
//
//	1  version, 1
//	1  flags
//	4  sign count, little-endian
//	16 AAGUID
//	   id, public key, and each transport after their number: length (uvarint), bytes
func (p *Passkey) Append(dst []byte) []byte {
	dst = append(dst, passkeyVersion, p.Flags)
	dst = binary.LittleEndian.AppendUint32(dst, p.SignCount)
	dst = append(dst, p.AAGUID[:]...)
	for _, b := range [][]byte{p.ID, p.PublicKey} {
		dst = append(binary.AppendUvarint(dst, uint64(len(b))), b...)
	}
	dst = append(dst, byte(len(p.Transports)))
	for _, t := range p.Transports {
		dst = append(append(dst, byte(len(t))), t...)
	}
	return dst
}

var errPasskey = errors.New("not a passkey's record")

// DecodePasskey reads what Append writes. It accepts any bytes.
func DecodePasskey(b []byte) (Passkey, error) {
	var p Passkey
	if len(b) < 22 || b[0] != passkeyVersion {
		return p, fmt.Errorf("%w: %d bytes, or not of version %d", errPasskey, len(b), passkeyVersion)
	}
	p.Flags = b[1]
	p.SignCount = binary.LittleEndian.Uint32(b[2:])
	p.AAGUID = [16]byte(b[6:22])
	b = b[22:]
	next := func(limit int) []byte {
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(limit) || length > uint64(len(b)-n) || n > 1 && b[n-1] == 0 {
			b = nil
			return nil
		}
		item := b[n : n+int(length) : n+int(length)]
		b = b[n+int(length):]
		return item
	}
	p.ID, p.PublicKey = next(maxCredentialID), next(maxPublicKey)
	if len(p.ID) == 0 || len(p.PublicKey) == 0 || len(b) == 0 || b[0] > maxTransports {
		return Passkey{}, fmt.Errorf("%w: cut off or over a limit", errPasskey)
	}
	count := int(b[0])
	b = b[1:]
	for range count {
		t := next(maxTransportBytes)
		if len(t) == 0 {
			return Passkey{}, fmt.Errorf("%w: cut off in its transports", errPasskey)
		}
		p.Transports = append(p.Transports, string(t))
	}
	if len(b) != 0 {
		return Passkey{}, fmt.Errorf("%w: %d bytes after its end", errPasskey, len(b))
	}
	return p, nil
}

// passkeyOf takes over what is kept of a credential.
func passkeyOf(c *webauthn.Credential) (Passkey, error) {
	p := Passkey{ID: c.ID, PublicKey: c.PublicKey, SignCount: c.Authenticator.SignCount, Flags: byte(c.Flags.ProtocolValue())}
	copy(p.AAGUID[:], c.Authenticator.AAGUID)
	for _, t := range c.Transport {
		if len(p.Transports) < maxTransports && len(t) > 0 && len(t) <= maxTransportBytes {
			p.Transports = append(p.Transports, string(t))
		}
	}
	if len(p.ID) == 0 || len(p.ID) > maxCredentialID || len(p.PublicKey) == 0 || len(p.PublicKey) > maxPublicKey {
		return p, fmt.Errorf("%w: passkey: id of %d and key of %d bytes", ErrRefused, len(p.ID), len(p.PublicKey))
	}
	return p, nil
}

func (p *Passkey) credential() webauthn.Credential {
	c := webauthn.Credential{ID: p.ID, PublicKey: p.PublicKey, Flags: webauthn.NewCredentialFlags(protocol.AuthenticatorFlags(p.Flags))}
	c.Authenticator.SignCount = p.SignCount
	c.Authenticator.AAGUID = p.AAGUID[:]
	for _, t := range p.Transports {
		c.Transport = append(c.Transport, protocol.AuthenticatorTransport(t))
	}
	return c
}
