package actors_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
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

// simUser is what the model knows of one wallet.
type simUser struct {
	wallet string
	id     account.UserID // known once the account was shown

	states    []*simAccount  // by record; the last runs ahead of what is durable
	published int            // records that are durable
	shown     int            // records that a read has shown
	last      *account.State // that read

	tokens   []simToken // of every login that was answered
	requests []simRequest
	renaming *simCall // the one change of names that may be under way
}

type simToken struct {
	token   string
	session *simSession
}

type simRequest struct {
	command simCommand
	idem    account.Idempotency
}

func (u *simUser) ahead() *simAccount        { return u.states[len(u.states)-1] }
func (u *simUser) shownAccount() *simAccount { return u.states[u.shown] }

func (u *simUser) live(session *simSession, seq int, now account.Time) bool {
	return now < session.expires && slices.Contains(u.states[seq].sessions, session)
}

// learn notes the token that an answered login got. A stored hash must be of it.
func (u *simUser) learn(session *simSession, token string) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		panic(err)
	}
	session.hash, session.known = sha256.Sum256(raw[len(u.id):]), true
	u.tokens = append(u.tokens, simToken{token, session})
}

// simCall is a command that was sent, and what must come of it.
type simCall struct {
	what       string
	user       *simUser
	command    *simCommand
	expect     simOutcome
	seq        int // of the record, if the outcome has one
	needs      int // records of this life that must be durable before the answer
	overloaded bool
	ended      int // sessions
	sent       time.Duration
	answered   <-chan *simAnswer
	answer     *simAnswer // nil until settle has received it

	names       []string // claimed for a change of names
	wasE, wasUN string   // the names before
}

// background reports whether nobody gets the answer: what the chain sees is tried
// until it is done.
func (c *simCall) background() bool { return c.command.by == "chain" }

type simAnswer struct {
	err     error
	receipt *actors.Receipt
	state   *account.State
	token   string
	ended   int
}

func (a *simAnswer) String() string {
	switch {
	case errors.Is(a.err, actors.ErrOutcomeUnknown):
		return "outcome unknown"
	case a.err != nil:
		return a.err.Error()
	case a.receipt != nil:
		return fmt.Sprintf("transaction %d, replayed: %t", a.receipt.N, a.receipt.Replayed)
	}
	return fmt.Sprintf("done %s %d", a.token, a.ended)
}

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
	case roll < 21:
		status := account.Active
		if r.IntN(2) == 0 {
			status = []account.Status{account.Suspended, account.Inactive}[r.IntN(2)]
		}
		return s.send(u, simCommand{kind: "status", status: status, by: "olga", reason: "test"}, nil)
	case roll < 41:
		c.kind = "deposit"
		if r.IntN(4) == 0 {
			c.by = "olga"
		}
	case roll < 53:
		c.kind, c.fee, c.to = "withdraw", simFee, "aitbc_elsewhere"
	case roll < 60:
		c.kind, c.to = "sell", "somewhere"
		c.btc, c.btcFee = simSaleQuote(amount)
		if c.btc < 546 {
			c.refused = actors.CodeBadAmount
		}
		if r.IntN(8) == 0 {
			c.to, c.refused = badAddress, actors.CodeBadAddress
		}
	case roll < 70:
		c.kind, c.lifetime, c.notes = "buy", time.Hour, "notes"
		c.amount += 10 * account.Unit
		c.btc, c.btcFee = simBuyQuote(c.amount)
		if r.IntN(8) == 0 {
			c.btc, c.refused = c.btc+1, actors.CodeBadAmount
		}
	case roll < 74:
		c.kind, c.by, c.reason = "credit", "olga", "test"
	case roll < 78:
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
// exchange. What the exchange would refuse for want of a session is not sent.
func (s *sim) send(u *simUser, c simCommand, idem *account.Idempotency) error {
	call := &simCall{user: u, command: &c, sent: s.elapsed(), what: fmt.Sprintf("%s %s", u.wallet, c.kind)}
	var session actors.Session
	switch {
	case c.kind == "login":
		c.wallet, c.email, c.username = u.wallet, u.wallet+"@aitbc.local", "user_"+u.wallet[len(u.wallet)-8:]
		c.session = &simSession{expires: s.now() + simDay}
	case c.kind == "logout", c.kind == "end other sessions", c.kind == "profile", c.kind == "withdraw", c.kind == "sell", c.kind == "buy",
		c.kind == "deposit" && c.by == "":
		token := s.liveToken(u)
		if token == nil {
			return nil
		}
		var ok bool
		if session, ok = s.x.Authenticate([]byte(token.token)); !ok {
			return fmt.Errorf("%s: a live token is refused", u.wallet)
		}
		c.session = token.session
	case u.shown == 0, call.background() && (s.poisoned || s.appended-s.acked >= simQueue):
		return nil
	}
	if c.kind == "end other sessions" {
		for _, other := range u.shownAccount().sessions {
			if other != c.session && s.now() < other.expires {
				call.ended++
			}
		}
	}
	asked := account.Money(0)
	if c.kind == "buy" {
		if !s.mayBuy(u) {
			return nil
		}
		s.clock.Add(int64(time.Second / time.Microsecond))
		if c.refused == "" {
			c.to = simAddress(s.chain.given() + 1)
		} else {
			asked = c.btc
		}
	}
	if c.kind == "profile" {
		if u.renaming != nil {
			return nil
		}
		call.wasE, call.wasUN = u.shownAccount().email, u.shownAccount().username
		u.renaming = call
		s.claim(call)
	}
	s.predict(call, idem)
	s.note("> %s %s %d %s, key %t: %q %d", call.what, c.amount, c.n, c.by, idem != nil, call.expect.code, call.expect.n)
	s.calls = append(s.calls, call)
	s.count.commands++
	answered := make(chan *simAnswer, 1)
	call.answered = answered
	x, chain, id := s.x, s.chain, u.id
	go func() { answered <- perform(x, chain, id, &c, asked, &session, idem) }()
	return nil
}

// predict says what must come of a call, and runs the model ahead.
func (s *sim) predict(call *simCall, idem *account.Idempotency) {
	u, c := call.user, call.command
	if c.kind == "profile" && c.refused != "" || (c.refused != "" && idem == nil) {
		call.expect.code = c.refused // without asking the account
		return
	}
	call.expect = u.ahead().decide(c, idem, s.now())
	switch {
	case call.expect.next == nil:
		call.needs = s.appended
	case s.poisoned:
		call.needs = s.appended + 1 // which will never be
	case s.appended-s.acked >= simQueue:
		call.overloaded = true
	default:
		s.record(u, call.expect.next)
		call.seq, call.needs = len(u.states)-1, s.appended
	}
}

// record notes that the journal was given one more record of u.
func (s *sim) record(u *simUser, next *simAccount) {
	u.states = append(u.states, next)
	s.pending = append(s.pending, u)
	s.appended++
}

func (s *sim) liveToken(u *simUser) *simToken {
	for _, i := range s.random.Perm(len(u.tokens)) {
		if t := &u.tokens[i]; u.live(t.session, u.shown, s.now()) {
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

// perform calls the method of the exchange that stands for c.
func perform(x *actors.Exchange, chain *simChain, user account.UserID, c *simCommand, asked account.Money, session *actors.Session, idem *account.Idempotency) *simAnswer {
	id := account.TransactionID{User: user, N: c.n}
	var receipt actors.Receipt
	var err error
	switch c.kind {
	case "login":
		state, token, err := x.Login(c.wallet)
		return &simAnswer{err: err, state: state, token: token}
	case "logout":
		return &simAnswer{err: x.Logout(session)}
	case "end other sessions":
		ended, err := x.EndOtherSessions(session)
		return &simAnswer{err: err, ended: ended}
	case "profile":
		state, err := x.ChangeProfile(session, c.email, c.username)
		return &simAnswer{err: err, state: state}
	case "status":
		receipt, err = x.SetStatus(user, c.status, c.by, c.reason)
	case "deposit":
		if c.by == "" {
			receipt, err = x.Deposit(session, c.amount, idem)
		} else {
			receipt, err = x.OperatorDeposit(user, c.amount, c.by, idem)
		}
	case "credit":
		receipt, err = x.Credit(user, c.amount, c.by, c.reason, idem)
	case "debit":
		receipt, err = x.Debit(user, c.amount, c.by, c.reason, idem)
	case "withdraw":
		receipt, err = x.Withdraw(session, c.amount, c.to, idem)
	case "sell":
		receipt, err = x.Sell(session, c.amount, c.to, idem)
	case "buy":
		receipt, err = x.CreatePayment(session, c.amount, asked, c.notes, idem)
	case "fail":
		receipt, err = x.FailTransaction(id, c.by, c.reason, idem)
	case "complete":
		switch {
		case c.by == "chain":
			chain.sees(actors.Sighting{ID: id, TxHash: c.hash, Confirmations: c.confirmations})
			return &simAnswer{}
		case c.of != 0:
			receipt, err = x.ConfirmPayment(id, c.hash, c.by, idem)
		default:
			receipt, err = x.CompleteTransaction(id, c.hash, c.by, c.reason, idem)
		}
	}
	return &simAnswer{err: err, receipt: &receipt, state: receipt.State}
}
