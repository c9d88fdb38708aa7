package secondfactor

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

// Limits of ceremonies.
const (
	ceremonyLifetime = 5 * time.Minute
	maxCeremonies    = 100_000 // sessions with one under way, about 60 MB
)

// User is who a passkey is of.
type User struct {
	ID       [16]byte
	Session  [32]byte // that asks; a ceremony is this session's alone
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

// Ceremonies makes the challenges of passkeys and checks the answers. A user's session
// has one ceremony under way; a second one takes the first one's place, so that nobody
// can push out another's. Its methods may be called from any goroutine.
type Ceremonies struct {
	party    *webauthn.WebAuthn
	origins  []string
	underWay *pending[ceremony]
}

type ceremony struct {
	session webauthn.SessionData
	create  bool
}

func (u *User) asker() asker { return asker{u.ID, u.Session} }

// ErrNoHost means that none of the origins has a domain name or is localhost. Passkeys
// are bound to one, and a browser takes no address for it, not even 127.0.0.1.
var ErrNoHost = errors.New("no origin has a domain name, which passkeys are bound to")

func isDomain(host string) bool {
	_, err := netip.ParseAddr(host)
	return err != nil && (strings.Contains(host, ".") || host == "localhost")
}

// NewCeremonies returns the ceremonies of the service that is reached at origins.
// Passkeys are bound to the host name of the first that has a domain, and work at all
// origins of that name, which Origins tells.
func NewCeremonies(name string, origins []string, now func() time.Time) (*Ceremonies, error) {
	host, of := "", []string(nil)
	for _, origin := range origins {
		u, err := url.Parse(origin)
		if err != nil {
			return nil, fmt.Errorf("passkeys: %w", err)
		}
		if !isDomain(u.Hostname()) {
			continue
		}
		if host == "" {
			host = u.Hostname()
		}
		if u.Hostname() == host {
			of = append(of, origin)
		}
	}
	if host == "" {
		return nil, ErrNoHost
	}
	party, err := webauthn.New(&webauthn.Config{
		RPID: host, RPDisplayName: name, RPOrigins: of,
		AttestationPreference: protocol.PreferNoAttestation, // any authenticator will do
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey:      protocol.ResidentKeyRequirementPreferred,
			UserVerification: protocol.VerificationRequired, // a finger, a face or a PIN
		},
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoHost, err)
	}
	return &Ceremonies{party: party, origins: of, underWay: newPending[ceremony](maxCeremonies, ceremonyLifetime, now)}, nil
}

// Origins are where passkeys work.
func (c *Ceremonies) Origins() []string { return c.origins }

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
	return c.underWay.put(u.asker(), ceremony{session: *session, create: create})
}

// finish ends the session's ceremony, whatever comes of it: one challenge, one answer.
func (c *Ceremonies) finish(u *User, create bool) (webauthn.SessionData, error) {
	under, ok := c.underWay.take(u.asker())
	if !ok || under.create != create {
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
