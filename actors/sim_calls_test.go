package actors_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
)

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

	// Of a change of names:
	names  []string    // claimed for it
	before *simAccount // whose names are given up after it
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

// perform calls the method of the exchange that stands for c.
func perform(x *actors.Exchange, chain *simChain, user account.UserID, c *simCommand, session *actors.Session, idem *account.Idempotency) *simAnswer {
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
	case "enrol":
		rotated, err := enrolApp(x, session, c.app)
		return &simAnswer{err: err, token: rotated.Token}
	case "remove factor":
		rotated, err := x.RemoveTOTP(session)
		return &simAnswer{err: err, token: rotated.Token}
	case "step up":
		rotated, err := x.StepUpByTOTP(session, c.hash)
		return &simAnswer{err: err, token: rotated.Token}
	case "reset factors":
		receipt, err = x.ResetFactors(user, c.by, c.reason)
	case "status":
		receipt, err = x.SetStatus(user, c.status, c.by, c.reason)
	case "deposit":
		if c.by == "" {
			receipt, err = makeDeposit(x, session, c.amount, idem)
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
		receipt, err = x.CreatePayment(session, c.amount, c.asked, c.notes, idem)
	case "fail":
		receipt, err = x.FailTransaction(id, c.by, c.reason, idem)
	case "complete":
		switch {
		case c.by == "chain":
			chain.sees(x, id, c.hash)
			return &simAnswer{}
		case c.of != 0:
			receipt, err = x.ConfirmPayment(id, c.hash, c.by, idem)
		default:
			receipt, err = x.CompleteTransaction(id, c.hash, c.by, c.reason, idem)
		}
	}
	return &simAnswer{err: err, receipt: &receipt, state: receipt.State}
}
