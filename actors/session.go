package actors

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/aitbc/exchange/actors/account"
)

// A session's token is base64url of the user's id, which is a routing hint, and
// of 256 random bits. Only their SHA-256 is stored, so that neither the log nor
// a copy of it lets anyone in.
const (
	secretBytes = 32
	tokenBytes  = len(account.UserID{}) + secretBytes

	// TokenLength is the length of a session token in characters.
	TokenLength = tokenBytes / 3 * 4
)

// newToken makes a token for the user, and the hash that is kept of it.
func newToken(id account.UserID, random io.Reader) (token string, hash account.Hash, err error) {
	var raw [tokenBytes]byte
	copy(raw[:], id[:])
	secret := raw[len(id):]
	if _, err := io.ReadFull(random, secret); err != nil {
		return "", hash, fmt.Errorf("random number for a session: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw[:]), sha256.Sum256(secret), nil
}

// Session is a request's proof of who sent it.
type Session struct {
	State *account.State // of the user, when the session was checked
	hash  account.Hash
	user  *user
}

// ID names the session.
func (s *Session) ID() SessionID { return PublicID(&s.hash) }

// UserID names the session's user.
func (s *Session) UserID() account.UserID { return s.user.id }

// decoy stands in for a user who does not exist, so that an unknown user and a
// wrong secret take the same time.
var decoy = &account.State{Sessions: make([]account.Session, 1)}

// Authenticate returns the live session that token stands for. It reads durable
// state only, takes no lock and, but for a use to be written down, does not
// allocate. Whatever is wrong with a token of the right length, the answer takes the
// same time, but for 20 ns for each session of the user it names.
func (x *Exchange) Authenticate(token []byte) (Session, bool) {
	var raw [tokenBytes]byte
	if len(token) != TokenLength {
		return Session{}, false
	}
	if _, err := base64.RawURLEncoding.Decode(raw[:], token); err != nil {
		return Session{}, false
	}
	id := account.UserID(raw[:len(account.UserID{})])
	hash := account.Hash(sha256.Sum256(raw[len(id):]))
	u, state := x.directory.find(id)
	if u == nil {
		decoy.HasSession(&hash, x.now(), x.uses.idle)
		return Session{}, false
	}
	now := x.now()
	used, live := state.HasSession(&hash, now, x.uses.idle)
	if !live || state.Restores != x.restores { // it may have been ended since the backup that was restored
		return Session{}, false
	}
	if x.uses.idle > 0 && now-used >= x.uses.every {
		x.writeUse(u, hash)
	}
	return Session{State: state, hash: hash, user: u}, true
}

// SessionID names a session for its user to see: it is derived from the stored
// hash and gives nobody entry.
type SessionID [8]byte

// PublicID returns the session's name.
func PublicID(hash *account.Hash) SessionID {
	sum := sha256.Sum256(append([]byte("session id\x00"), hash[:]...))
	return SessionID(sum[:8])
}

// OpenSession is one of a user's open sessions.
type OpenSession struct {
	ID        SessionID
	CreatedAt account.Time
	ExpiresAt account.Time // if it is not used again
	Current   bool         // the one that asks
}

// Sessions returns the open sessions of the session's user, oldest first.
func (x *Exchange) Sessions(s *Session) []OpenSession {
	now := x.now()
	open := make([]OpenSession, 0, len(s.State.Sessions))
	for i := range s.State.Sessions {
		if other := &s.State.Sessions[i]; now < other.End(x.uses.idle) {
			open = append(open, OpenSession{
				ID: PublicID(&other.Hash), CreatedAt: other.CreatedAt, ExpiresAt: other.End(x.uses.idle), Current: other.Hash == s.hash,
			})
		}
	}
	return open
}

// EndOtherSessions ends every session of the user but s, and returns how many it
// was of those open when s was checked. Their tokens are dead once it has returned.
func (x *Exchange) EndOtherSessions(s *Session) (int, error) {
	ended := 0
	for _, other := range x.Sessions(s) {
		if !other.Current {
			ended++
		}
	}
	_, err := x.do(s.user, &account.EndOtherSessions{Session: s.hash}, nil)
	return ended, err
}

// EndSession ends one open session of the session's user, which may be s itself.
func (x *Exchange) EndSession(s *Session, id SessionID) error {
	for i := range s.State.Sessions {
		if hash := s.State.Sessions[i].Hash; PublicID(&hash) == id {
			if err := x.audit(userAct(s.user.id, "session.end", hex.EncodeToString(id[:]))); err != nil {
				return err
			}
			_, err := x.do(s.user, &account.Logout{Session: hash}, nil)
			return err
		}
	}
	return &account.Error{Code: account.CodeNotFound, Message: "there is no such session"}
}
