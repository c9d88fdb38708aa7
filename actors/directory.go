package actors

import (
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/puzpuzpuz/xsync/v4"

	"github.com/aitbc/exchange/actors/account"
)

// names are what a new account is called until its owner changes it.
type names struct {
	wallet, email, username string
}

// directory knows who exists, and keeps wallets, usernames and e-mail addresses
// unique: a name belongs to whoever claimed it first, and a claim comes before
// the command that uses it. Lookups take no lock.
type directory struct {
	users     *xsync.Map[account.UserID, *user]
	wallets   *xsync.Map[string, *user] // by canonical wallet
	usernames *xsync.Map[string, *user] // by folded username
	emails    *xsync.Map[string, *user] // by folded e-mail address
}

func (d *directory) init() {
	d.users = xsync.NewMap[account.UserID, *user]()
	d.initNames(0)
}

// initNames makes the names of so many users to come: nobody has one yet.
func (d *directory) initNames(users int) {
	d.wallets = xsync.NewMap[string, *user](xsync.WithPresize(users))
	d.usernames = xsync.NewMap[string, *user](xsync.WithPresize(users))
	d.emails = xsync.NewMap[string, *user](xsync.WithPresize(users))
}

// nameClaims says whose a folded name is.
type nameClaims = *xsync.Map[string, *user]

// fold makes names compare without regard to case.
func fold(name string) string { return strings.ToLower(name) }

// find returns the user of a durable account.
func (d *directory) find(id account.UserID) (*user, *account.State) {
	u, ok := d.users.Load(id)
	if !ok {
		return nil, nil
	}
	state := u.durable.Load()
	if state == nil {
		return nil, nil
	}
	return u, state
}

// byWallet returns the wallet's user, and reserves a new one with names of its
// own if there is none. However many ask at once, one user is made.
func (d *directory) byWallet(wallet string, random io.Reader) (*user, error) {
	if u, ok := d.wallets.Load(wallet); ok {
		return u, nil
	}
	id, err := uuid.NewRandomFromReader(random)
	if err != nil {
		return nil, fmt.Errorf("random number for a user id: %w", err)
	}
	u, _ := d.wallets.LoadOrCompute(wallet, func() (*user, bool) {
		u := &user{id: account.UserID(id)}
		email, username := d.reserve(u, wallet)
		u.reserved.Store(&names{wallet: wallet, email: email, username: username})
		d.users.Store(u.id, u)
		return u, false
	})
	return u, nil
}

// reserve claims an e-mail address and a username for a new user of wallet.
func (d *directory) reserve(u *user, wallet string) (email, username string) {
	suffix := wallet[max(0, len(wallet)-8):]
	email = firstFree(u, d.emails, func(n string) string { return wallet + n + account.LocalDomain })
	username = firstFree(u, d.usernames, func(n string) string { return "user_" + suffix + n })
	return email, username
}

// firstFree claims name(""), name("_2"), ... and, where many clash, a name that
// ends in a part of the user's random id, so that nobody can make it slow.
func firstFree(u *user, claims *xsync.Map[string, *user], name func(suffix string) string) string {
	suffix := ""
	for i := 2; ; i++ {
		candidate := name(suffix)
		if _, taken := claims.LoadOrStore(fold(candidate), u); !taken {
			return candidate
		}
		switch {
		case i < 10:
			suffix = "_" + strconv.Itoa(i)
		case i == 10:
			suffix = "_" + hex.EncodeToString(u.id[:4])
		default:
			suffix = "_" + hex.EncodeToString(u.id[:])
		}
	}
}

// claim takes name for u, and reports whether u has it now. fresh: it had not before.
func claim(claims *xsync.Map[string, *user], name string, u *user) (fresh, ok bool) {
	owner, loaded := claims.LoadOrStore(fold(name), u)
	return !loaded, owner == u
}

// createdUsers lists the users whose accounts exist, in the order of their creation.
type createdUsers struct {
	mu   sync.RWMutex
	list []*user // guarded by mu; append only
}

func (c *createdUsers) add(u *user) {
	c.mu.Lock()
	c.list = append(c.list, u)
	c.mu.Unlock()
}

func (c *createdUsers) len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.list)
}

// from returns the users created after the first n, which is a shared slice.
func (c *createdUsers) from(n int) []*user {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.list[min(n, len(c.list)):]
}
