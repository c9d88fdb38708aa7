package actors_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
)

const (
	simFee     = account.Unit / 10 // of a withdrawal
	simQueue   = 8                 // records
	simTimeout = 10 * time.Second
	badAddress = "nowhere"
)

var errBadAddress = errors.New("a bad address")

// command sends one random command of one random user.
func (s *sim) command() error {
	r := s.random
	u := s.users[r.IntN(len(s.users))]
	if len(u.requests) > 0 && r.IntN(8) == 0 {
		again := u.requests[r.IntN(len(u.requests))]
		if r.IntN(4) == 0 {
			again.idem.Fingerprint[0]++ // another body
		}
		return s.send(u, again.command, &again.idem)
	}
	if u.shownAccount().factors.app != nil && r.IntN(8) == 0 {
		return s.send(u, s.factorCommand(u.shownAccount()), nil)
	}
	a := u.ahead()
	amount := account.Money(1+r.IntN(2000)) * account.Unit / 100
	c := simCommand{amount: amount}
	switch roll := r.IntN(100); {
	case u.shown == 0 || roll < 8:
		return s.send(u, simCommand{kind: "login"}, nil)
	case roll < 11:
		return s.send(u, simCommand{kind: "logout"}, nil)
	case roll < 13:
		return s.send(u, simCommand{kind: "end other sessions"}, nil)
	case roll < 18:
		return s.send(u, s.newNames(), nil)
	case roll < 25:
		return s.send(u, s.factorCommand(u.shownAccount()), nil)
	case roll < 28:
		status := account.Active
		if r.IntN(2) == 0 {
			status = []account.Status{account.Suspended, account.Inactive}[r.IntN(2)]
		}
		return s.send(u, simCommand{kind: "status", status: status, by: "olga", reason: "test"}, nil)
	case roll < 45:
		c.kind = "deposit"
		if r.IntN(4) == 0 {
			c.by = "olga"
		}
	case roll < 57:
		c.kind, c.fee, c.to = "withdraw", simFee, "aitbc_elsewhere"
	case roll < 64:
		c.kind, c.to = "sell", "somewhere"
		c.btc, c.btcFee = simSaleQuote(amount)
		if c.btc < 546 {
			c.refused = actors.CodeBadAmount
		}
		if r.IntN(8) == 0 {
			c.to, c.refused = badAddress, actors.CodeBadAddress
		}
	case roll < 73:
		c.kind, c.lifetime, c.notes = "buy", time.Hour, "notes"
		c.amount += 10 * account.Unit
		c.btc, c.btcFee = simBuyQuote(c.amount)
		switch r.IntN(8) {
		case 0:
			c.asked = c.btc
		case 1:
			c.asked, c.refused = c.btc+1, actors.CodeBadAmount
		}
	case roll < 76:
		c.kind, c.by, c.reason = "credit", "olga", "test"
	case roll < 79:
		c.kind, c.by, c.reason = "debit", "olga", "test"
	default:
		c = simCommand{kind: "complete", by: "olga", n: uint32(r.IntN(len(a.transactions) + 2))}
		if roll < 86 {
			c.kind, c.reason = "fail", "test"
		} else if roll < 93 {
			c.of, c.confirmations, c.hash = account.TypeBuy, 1, "aa"
			c.by = []string{"", "olga", "chain"}[r.IntN(3)]
		}
		kind := []account.Type{account.TypeBuy, account.TypeSell, account.TypeWithdrawal}[r.IntN(3)]
		if c.of != 0 {
			kind = c.of
		}
		if pending := a.pendingOf(kind); len(pending) > 0 {
			c.n = pending[r.IntN(len(pending))]
		}
	}
	if c.by == "chain" && (c.n == 0 || int(c.n) > len(a.transactions)) {
		return nil // the chain sees no payment before there is one
	}
	if c.by == "chain" || r.IntN(3) == 0 {
		return s.send(u, c, nil)
	}
	request := simRequest{c, account.Idempotency{Key: s.newKey(), Fingerprint: account.Fingerprint{byte(len(u.requests))}}}
	u.requests = append(u.requests, request)
	return s.send(u, c, &request.idem)
}

func (s *sim) newKey() (key account.Key) {
	s.keys++
	binary.BigEndian.PutUint64(key[:], s.keys)
	return key
}

// send gives a command to the model, which says what must come of it, and to the
// exchange. What can't be sent now is left out.
func (s *sim) send(u *simUser, c simCommand, idem *account.Idempotency) error {
	call := &simCall{user: u, command: &c, sent: s.elapsed(), what: fmt.Sprintf("%s %s", u.wallet, c.kind)}
	var session actors.Session
	switch {
	case c.kind == "login":
		c.wallet, c.email, c.username = u.wallet, u.wallet+"@aitbc.local", "user_"+u.wallet[len(u.wallet)-8:]
		c.session = &simSession{expires: s.now() + simDay}
	case c.needsSession():
		token := s.liveToken(u)
		if token == nil {
			return nil
		}
		var ok bool
		if session, ok = s.authenticate(u, token); !ok {
			return fmt.Errorf("%s: a live token is refused", u.wallet)
		}
		if err := s.learn(); err != nil {
			return err
		}
		c.session = token.session
	case u.shown == 0, call.background() && (s.poisoned || s.queueFull()):
		return nil
	}
	if !s.prepare(call) {
		return nil
	}
	s.predict(call, idem)
	s.note("> %s %s %d %s, key %t: %q %d", call.what, c.amount, c.n, c.by, idem != nil, call.expect.code, call.expect.n)
	answered := make(chan *simAnswer, 1)
	call.answered = answered
	s.calls = append(s.calls, call)
	s.count.commands++
	x, chain, id := s.x, s.chain, u.id
	go func() { answered <- perform(x, chain, id, &c, &session, idem) }()
	return nil
}

func (c *simCommand) needsSession() bool {
	switch c.kind {
	case "logout", "end other sessions", "profile", "withdraw", "sell", "buy", "enrol", "remove factor", "step up":
		return true
	}
	return c.kind == "deposit" && c.by == ""
}

// prepare fills in what a command is answered by besides the account. It reports
// false where two answers would be right.
func (s *sim) prepare(call *simCall) bool {
	u, c := call.user, call.command
	switch c.kind {
	case "end other sessions":
		for _, other := range u.shownAccount().sessions {
			if other != c.session && s.live(u, other) {
				call.ended++
			}
		}
	case "buy":
		if !s.mayBuy(u) {
			return false
		}
		s.clock.Add(int64(time.Second / time.Microsecond))
		if c.refused == "" {
			c.to = simAddress(s.chain.given() + 1)
		}
	case "enrol", "remove factor", "step up":
		s.prepareFactor(u.shownAccount(), c)
	case "profile":
		if u.renaming != nil || s.namesInDoubt() {
			return false
		}
		call.before = u.shownAccount()
		u.renaming = call
		s.claim(call)
	}
	return true
}

// predict says what must come of a call, and runs the model ahead.
func (s *sim) predict(call *simCall, idem *account.Idempotency) {
	u, c := call.user, call.command
	if c.refused != "" && (idem == nil || c.kind == "profile") {
		call.expect.code = c.refused // without asking the account
		return
	}
	call.expect = u.ahead().decide(c, idem, s.now())
	switch {
	case call.expect.next == nil:
		call.needs = s.appended
	case s.poisoned:
		call.needs = s.appended + 1 // which will never be
	case s.queueFull():
		call.overloaded = true
	default:
		s.record(u, call.expect.next)
		call.seq, call.needs = len(u.states)-1, s.appended
	}
}

func (s *sim) queueFull() bool { return s.appended-s.acked >= simQueue }

// record notes that the journal was given one more record of u.
func (s *sim) record(u *simUser, next *simAccount) {
	u.states = append(u.states, next)
	s.pending = append(s.pending, u)
	s.appended++
}

func (s *sim) liveToken(u *simUser) *simToken {
	for _, i := range s.random.Perm(len(u.tokens)) {
		if t := &u.tokens[i]; s.live(u, t.session) {
			return t
		}
	}
	return nil
}

// mayBuy keeps the times at which payments expire apart, and in the future: then
// it is known which the exchange expires when.
func (s *sim) mayBuy(u *simUser) bool {
	now := s.now().Add(time.Second)
	at := max(now, u.ahead().updated).Add(time.Hour)
	for _, p := range s.openPayments() {
		if p.expires == at || p.expires <= now {
			return false
		}
	}
	return true
}
