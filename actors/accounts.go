package actors

import (
	"errors"

	"github.com/aitbc/exchange/actors/account"
)

// Login opens a session for the wallet's user, who is made if there is none.
// wallet is canonical (see CanonicalWallet). The token is returned once and not
// kept.
func (x *Exchange) Login(wallet string) (state *account.State, token string, err error) {
	return x.LoginFrom(wallet, "")
}

// LoginFrom is Login, and says the address that it came from, as far as it is known.
func (x *Exchange) LoginFrom(wallet, client string) (state *account.State, token string, err error) {
	u, err := x.directory.byWallet(wallet, x.cfg.Random)
	if err != nil {
		return nil, "", err
	}
	token, hash, err := newToken(u.id, x.cfg.Random)
	if err != nil {
		return nil, "", err
	}
	login := &account.Login{Session: hash, ExpiresAt: x.now().Add(x.cfg.Terms.SessionLifetime), Client: client, Restores: x.restores}
	if n := u.reserved.Load(); n != nil {
		login.Wallet, login.Email, login.Username = n.wallet, n.email, n.username
	}
	receipt, err := x.do(u, login, nil)
	if err != nil {
		return nil, "", err
	}
	return receipt.State, token, nil
}

// Logout ends the session: its token is dead once this has returned.
func (x *Exchange) Logout(s *Session) error {
	_, err := x.do(s.user, &account.Logout{Session: s.hash}, nil)
	return err
}

// ChangeProfile sets the e-mail address and username that are not empty. A name
// that belongs to somebody else is an *account.Error with CodeTaken.
func (x *Exchange) ChangeProfile(s *Session, email, username string) (*account.State, error) {
	u := s.user
	if err := x.audit(actOfCommand(u.id, &account.ChangeProfile{Email: email})); err != nil {
		return nil, err
	}
	u.renaming.Lock()
	before := u.durable.Load()

	var claimed []func()
	undo := func() {
		for _, release := range claimed {
			release()
		}
		u.renaming.Unlock()
	}
	for _, n := range []struct {
		field, name string
		claims      nameClaims
	}{{"email", email, x.directory.emails}, {"username", username, x.directory.usernames}} {
		if n.name == "" {
			continue
		}
		fresh, ok := claim(n.claims, n.name, u)
		if !ok {
			undo()
			return nil, &account.Error{Code: account.CodeTaken, Field: n.field, Message: "this " + n.field + " belongs to another user"}
		}
		if fresh {
			claimed = append(claimed, func() { n.claims.Delete(fold(n.name)) })
		}
	}

	settle := func(receipt Receipt, err error) {
		if err != nil {
			if errors.Is(err, ErrOutcomeUnknown) { // the journal is gone: nobody will use the names
				u.renaming.Unlock()
				return
			}
			undo()
			return
		}
		release(x.directory.emails, before.Email, receipt.State.Email)
		release(x.directory.usernames, before.Username, receipt.State.Username)
		u.renaming.Unlock()
	}
	c := x.newCall(&account.ChangeProfile{Guard: x.guardOf(s), Email: email, Username: username})
	c.whenLate = settle // the names stay claimed until the outcome is known
	x.post(c, u, nil)
	if !<-c.done {
		return nil, ErrOutcomeUnknown // and settling is not ours any more
	}
	receipt, err := x.collect(c)
	settle(receipt, err)
	return receipt.State, err
}

// release gives up a name that its user no longer has.
func release(claims nameClaims, before, after string) {
	if fold(before) != fold(after) {
		claims.Delete(fold(before))
	}
}

// State returns the durable state of a user who exists.
func (x *Exchange) State(id account.UserID) (*account.State, bool) {
	u, state := x.directory.find(id)
	return state, u != nil
}
