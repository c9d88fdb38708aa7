package secondfactor

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

// ErrBusy means that as many ceremonies are under way as may be.
var ErrBusy = errors.New("too many passkey ceremonies at once")

// Limits of ceremonies.
const (
	ceremonyLifetime = 5 * time.Minute
	maxCeremonies    = 100_000 // users with one under way, about 60 MB
)

// User is who a passkey is of.
type User struct {
	ID       [16]byte
	Name     string
	Passkeys []Passkey
}

// WebAuthnID implements webauthn.User.
func (u *User) WebAuthnID() []byte { return u.ID[:] }

// WebAuthnName implements webauthn.User.
func (u *User) WebAuthnName() string { return u.Name }

// WebAuthnDisplayName implements webauthn.User.
func (u *User) WebAuthnDisplayName() string { return u.Name }

// WebAuthnCredentials implements webauthn.User.
func (u *User) WebAuthnCredentials() []webauthn.Credential {
	all := make([]webauthn.Credential, len(u.Passkeys))
	for i := range u.Passkeys {
		all[i] = u.Passkeys[i].credential()
	}
	return all
}

// Ceremonies makes the challenges of passkeys and checks the answers. A user has one
// ceremony under way; a second one takes the first one's place, so that nobody can
// push out another's. Its methods may be called from any goroutine.
type Ceremonies struct {
	party *webauthn.WebAuthn
	now   func() time.Time

	mu       sync.Mutex
	underWay map[[16]byte]ceremony // guarded by mu
	swept    time.Time             // guarded by mu
}

type ceremony struct {
	session webauthn.SessionData
	create  bool
	expires time.Time
}

// NewCeremonies returns the ceremonies of the service that is reached at origins, all
// of one host: passkeys are bound to it.
func NewCeremonies(name string, origins []string, now func() time.Time) (*Ceremonies, error) {
	if len(origins) == 0 {
		return nil, errors.New("passkeys: no origin")
	}
	first, err := url.Parse(origins[0])
	if err != nil || first.Hostname() == "" {
		return nil, fmt.Errorf("passkeys: origin %q has no host", origins[0])
	}
	party, err := webauthn.New(&webauthn.Config{
		RPID: first.Hostname(), RPDisplayName: name, RPOrigins: origins,
		AttestationPreference: protocol.PreferNoAttestation, // any authenticator will do
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey:      protocol.ResidentKeyRequirementPreferred,
			UserVerification: protocol.VerificationRequired, // a finger, a face or a PIN
		},
	})
	if err != nil {
		return nil, fmt.Errorf("passkeys: %w", err)
	}
	return &Ceremonies{party: party, now: now, underWay: map[[16]byte]ceremony{}}, nil
}

// BeginCreate begins to make a passkey, and returns the options for
// navigator.credentials.create as JSON.
func (c *Ceremonies) BeginCreate(u *User) ([]byte, error) {
	creation, session, err := c.party.BeginRegistration(u, webauthn.WithExclusions(webauthn.Credentials(u.WebAuthnCredentials()).CredentialDescriptors()))
	if err != nil {
		return nil, fmt.Errorf("passkeys: %w", err)
	}
	if err := c.begin(u, session, true); err != nil {
		return nil, err
	}
	return json.Marshal(creation)
}

// FinishCreate checks the browser's answer, as JSON, and returns the new passkey.
func (c *Ceremonies) FinishCreate(u *User, answer []byte) (Passkey, error) {
	session, err := c.finish(u, true)
	if err != nil {
		return Passkey{}, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return Passkey{}, refused(err)
	}
	credential, err := c.party.CreateCredential(u, session, parsed)
	if err != nil {
		return Passkey{}, refused(err)
	}
	for i := range u.Passkeys {
		if string(u.Passkeys[i].ID) == string(credential.ID) {
			return Passkey{}, fmt.Errorf("%w: passkey: the user has it already", ErrRefused)
		}
	}
	return passkeyOf(credential)
}

// BeginAssert begins to ask for a passkey, and returns the options for
// navigator.credentials.get as JSON.
func (c *Ceremonies) BeginAssert(u *User) ([]byte, error) {
	if len(u.Passkeys) == 0 {
		return nil, fmt.Errorf("%w: passkey: the user has none", ErrRefused)
	}
	assertion, session, err := c.party.BeginLogin(u, webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, fmt.Errorf("passkeys: %w", err)
	}
	if err := c.begin(u, session, false); err != nil {
		return nil, err
	}
	return json.Marshal(assertion)
}

// FinishAssert checks the browser's answer, as JSON, and returns which passkey
// signed, as it has to be kept from now on. A sign count that does not grow means
// that there are two of the authenticator: it is refused.
func (c *Ceremonies) FinishAssert(u *User, answer []byte) (which int, p Passkey, err error) {
	session, err := c.finish(u, false)
	if err != nil {
		return 0, p, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return 0, p, refused(err)
	}
	credential, err := c.party.ValidateLogin(u, session, parsed)
	if err != nil {
		return 0, p, refused(err)
	}
	if credential.Authenticator.CloneWarning {
		return 0, p, fmt.Errorf("%w: passkey: its sign count did not grow, so there may be a copy of it", ErrRefused)
	}
	for i := range u.Passkeys {
		if string(u.Passkeys[i].ID) == string(credential.ID) {
			p, err = passkeyOf(credential)
			return i, p, err
		}
	}
	return 0, p, fmt.Errorf("%w: passkey: not one of the user's", ErrRefused)
}

func (c *Ceremonies) begin(u *User, session *webauthn.SessionData, create bool) error {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, again := c.underWay[u.ID]; !again && len(c.underWay) >= maxCeremonies {
		if now.Sub(c.swept) < time.Second { // a full house is swept once a second
			return ErrBusy
		}
		c.swept = now
		for id, other := range c.underWay {
			if !now.Before(other.expires) {
				delete(c.underWay, id)
			}
		}
		if len(c.underWay) >= maxCeremonies {
			return ErrBusy
		}
	}
	c.underWay[u.ID] = ceremony{session: *session, create: create, expires: now.Add(ceremonyLifetime)}
	return nil
}

// finish ends the user's ceremony, whatever comes of it: one challenge, one answer.
func (c *Ceremonies) finish(u *User, create bool) (webauthn.SessionData, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	under, ok := c.underWay[u.ID]
	delete(c.underWay, u.ID)
	if !ok || under.create != create || !c.now().Before(under.expires) {
		return webauthn.SessionData{}, fmt.Errorf("%w: passkey: no such ceremony is under way", ErrRefused)
	}
	return under.session, nil
}

// refused says why the library refused; its own text leaves that to DevInfo.
func refused(err error) error {
	var e *protocol.Error
	if errors.As(err, &e) {
		return fmt.Errorf("%w: passkey: %s: %s", ErrRefused, e.Details, e.DevInfo)
	}
	return fmt.Errorf("%w: passkey: %v", ErrRefused, err)
}
