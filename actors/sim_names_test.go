package actors_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
)

// claim takes the names of a change of profile, or refuses it.
func (s *sim) claim(call *simCall) {
	c := call.command
	for _, name := range []string{c.email, c.username} {
		owner, taken := s.claims[name]
		switch {
		case name == "" || owner == call.user:
		case taken:
			c.refused = account.CodeTaken
			s.unclaim(call.names)
			call.names = nil
			return
		default:
			s.claims[name] = call.user
			call.names = append(call.names, name)
		}
	}
}

func (s *sim) unclaim(names []string) {
	for _, name := range names {
		delete(s.claims, name)
	}
}

// namesInDoubt reports whether somebody gave up waiting for a change of names: until
// that is settled, the names may be taken or not.
func (s *sim) namesInDoubt() bool {
	return slices.ContainsFunc(s.users, func(u *simUser) bool { return u.renaming != nil && u.renaming.givenUp() })
}

// givenUp reports whether the outcome was said to be unknown.
func (c *simCall) givenUp() bool {
	return c.answer != nil && errors.Is(c.answer.err, actors.ErrOutcomeUnknown)
}

func (s *sim) newNames() simCommand {
	c := simCommand{kind: "profile"}
	if s.random.IntN(2) == 0 {
		c.username = fmt.Sprintf("name_%d", s.random.IntN(4))
	}
	if c.username == "" || s.random.IntN(3) == 0 {
		c.email = fmt.Sprintf("mail%d@aitbc.test", s.random.IntN(4))
	}
	return c
}

// settleNames ends changes of names whose outcome is known, and looks names up.
func (s *sim) settleNames() error {
	for _, u := range s.users {
		c := u.renaming
		if c == nil {
			continue
		}
		given := c.givenUp()
		known := c.answer != nil && !given
		if given && !s.poisoned && s.acked >= c.needs && !s.waiting && !s.stuck {
			known = true // the answer that nobody waited for
		}
		switch {
		case known && (c.overloaded || c.expect.code != ""):
			s.unclaim(c.names)
		case known && c.expect.next != nil:
			if c.before.email != c.expect.next.email {
				delete(s.claims, c.before.email)
			}
			if c.before.username != c.expect.next.username {
				delete(s.claims, c.before.username)
			}
		case known, given && s.poisoned:
		default:
			continue
		}
		u.renaming = nil
	}
	return s.checkNames()
}

func (s *sim) checkNames() error {
	if s.stuck {
		return nil
	}
	name := fmt.Sprintf("name_%d", s.random.IntN(4))
	state, found := s.x.FindUser(strings.ToUpper(name))
	for _, u := range s.users {
		if u.states[u.published].username == name {
			if !found || state.Wallet != u.wallet {
				return fmt.Errorf("%s is not found by the name %s", u.wallet, name)
			}
			return nil
		}
	}
	if found {
		return fmt.Errorf("%s is found by the name %s, which nobody has", state.Wallet, name)
	}
	return nil
}
