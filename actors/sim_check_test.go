package actors_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing/synctest"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
)

// settle waits until nothing goes on any more, learns from the disk what has become
// durable, and holds every answer and every read to the model. A read may be the use of
// a session, which is one more record.
func (s *sim) settle() error {
	for {
		if err := s.learn(); err != nil {
			return err
		}
		if err := s.checkAnswers(); err != nil {
			return err
		}
		if err := s.settleNames(); err != nil {
			return err
		}
		if err := s.checkReads(false); err != nil || !s.usedNow {
			return err
		}
	}
}

// learn waits until nothing goes on any more, and learns from the disk what has become
// durable.
func (s *sim) learn() error {
	synctest.Wait()
	acked, failed, waiting, held := s.log.seen()
	s.poisoned, s.waiting, s.held, s.stuck = failed, waiting, held, s.chain.stuck()
	for s.acked < acked {
		if len(s.pending) == 0 {
			return errors.New("a record is durable that nobody asked for")
		}
		s.pending[0].published++
		s.pending = s.pending[1:]
		s.acked++
	}
	if stats := s.journal.Stats(); !failed && int(stats.Records)+int(stats.QueuedRecords) != s.appended {
		return fmt.Errorf("%d records are durable and %d queued, where %d were asked for", stats.Records, stats.QueuedRecords, s.appended)
	}
	return nil
}

// checkAnswers looks at every call that is under way or was until now: none is
// answered before what its answer rests on is durable, and each is once it is.
func (s *sim) checkAnswers() error {
	var open []*simCall
	for _, c := range s.calls {
		late := s.elapsed()-c.sent >= simTimeout
		done := s.acked >= c.needs
		select {
		case c.answer = <-c.answered:
			s.count.answers++
			s.note("%s: %s", c.what, c.answer)
			if err := s.checkAnswer(c, done, late); err != nil {
				return fmt.Errorf("%s: %w", c.what, err)
			}
			continue
		default:
		}
		if c.background() {
			open = append(open, c)
			continue
		}
		// A barrier waits for the batch that it is in, which may have later records.
		nothing := done && (!s.waiting || c.expect.next != nil)
		if late || (!s.stuck && (s.poisoned || nothing)) {
			return fmt.Errorf("%s: no answer, although there is nothing to wait for", c.what)
		}
		open = append(open, c)
	}
	s.calls = open
	return nil
}

// checkAnswer compares an answer with the outcome that the model has.
func (s *sim) checkAnswer(c *simCall, done, late bool) error {
	a := c.answer
	if errors.Is(a.err, actors.ErrOutcomeUnknown) {
		s.count.unknown++
		// A barrier may share its batch with a later record that failed.
		if late || (s.poisoned && (!done || c.expect.next == nil)) {
			return nil
		}
		return errors.New("its outcome is said to be unknown")
	}
	if !done {
		return fmt.Errorf("it is answered before it is durable: %s", a)
	}
	if c.background() {
		return nil
	}
	if c.overloaded != errors.Is(a.err, actors.ErrOverloaded) {
		return fmt.Errorf("%s, want overload: %t", a, c.overloaded)
	}
	if c.overloaded {
		s.count.overloads++
		return nil
	}
	switch {
	case c.expect.code == account.CodeFactorRequired:
		s.count.guarded++
	case c.command.kind == "step up" && a.err == nil:
		s.count.elevated++
	}
	if code := codeOf(a.err); code != c.expect.code || (a.err != nil) != (code != "") {
		return fmt.Errorf("%s, want %q", a, c.expect.code)
	}
	if a.err != nil {
		return nil
	}
	if a.receipt != nil && (a.receipt.N != c.expect.n || a.receipt.Replayed != c.expect.replayed) {
		return fmt.Errorf("transaction %d, replayed: %t; want transaction %d, replayed: %t", a.receipt.N, a.receipt.Replayed, c.expect.n, c.expect.replayed)
	}
	if c.expect.replayed {
		s.count.replays++
	}
	if a.ended != c.ended {
		return fmt.Errorf("%d sessions ended, want %d", a.ended, c.ended)
	}
	switch {
	case a.token != "" && c.command.next != nil:
		c.user.learn(c.command.next, a.token)
	case a.token != "":
		c.user.learn(c.command.session, a.token)
		c.user.id = a.state.ID
	}
	if c.expect.next != nil && a.state != nil {
		return c.user.matches(a.state, c.seq)
	}
	return nil
}

// checkReads compares what is read of every user, and of all, with what is durable.
// While the committer is held in the middle of its completions a user may be shown
// as before. What did not change is compared again only if all is.
func (s *sim) checkReads(all bool) error {
	s.usedNow = false
	for _, u := range s.users {
		state, found := s.x.FindUser(u.wallet)
		if !found {
			if u.published > 0 && !(s.stuck && u.shown == 0) {
				return fmt.Errorf("%s is not there", u.wallet)
			}
			continue
		}
		seq := int(state.Seq)
		if seq > u.published || seq < u.shown || (seq < u.published && !s.stuck) {
			return fmt.Errorf("%s is shown with %d records; %d are durable, %d were shown", u.wallet, seq, u.published, u.shown)
		}
		if all || state != u.last {
			u.id = state.ID
			if err := u.matches(state, seq); err != nil {
				return err
			}
		}
		u.shown, u.last = seq, state
		if (s.random.IntN(4) == 0 || all) && !s.usedNow {
			if err := s.checkTokens(u, all); err != nil {
				return err
			}
		}
	}
	if s.stuck || s.usedNow { // then all is read again
		return nil
	}
	return s.checkSums()
}

// checkTokens says of tokens, live, dead, expired and unused, what becomes of them. It
// ends with the first whose use is written down, which changes what there is to read.
func (s *sim) checkTokens(u *simUser, all bool) error {
	for _, i := range s.random.Perm(len(u.tokens)) {
		t := &u.tokens[i]
		want := s.live(u, t.session)
		if _, live := s.authenticate(u, t); live != want {
			return fmt.Errorf("a token of %s from %s to %s is let in: %t, want %t", u.wallet, t.session.created, t.session.expires, live, want)
		}
		if !want && u.shownAccount().letsIn(t.session, s.now(), 0) {
			s.count.idled++
		}
		if s.usedNow {
			return s.learn()
		}
		if !all {
			break
		}
	}
	return nil
}

// checkSums compares what is known across users.
func (s *sim) checkSums() error {
	pending := map[account.Type]int{}
	accounts, payments := 0, 0
	for _, u := range s.users {
		a := u.shownAccount()
		if a.exists {
			accounts++
		}
		for i := range a.transactions {
			t := &a.transactions[i]
			if t.Status == account.Pending {
				pending[t.Type]++
			}
			if t.Type == account.TypeBuy {
				payments++
			}
		}
	}
	for _, t := range []account.Type{account.TypeBuy, account.TypeSell, account.TypeWithdrawal} {
		if _, total, _ := s.x.OpenTransactions(t, account.TransactionID{}, 1); total != pending[t] {
			return fmt.Errorf("%d open of type %s, want %d", total, t, pending[t])
		}
	}
	if n := s.x.Stats().Accounts; n != accounts {
		return fmt.Errorf("%d accounts, want %d", n, accounts)
	}
	if m := s.x.Market(); int(m.TotalPayments) != payments {
		return fmt.Errorf("%d payments in the market's statistics, want %d", m.TotalPayments, payments)
	}
	return nil
}

// matches compares a state with the model's account after record seq, and its
// balance with its own history: value is conserved.
func (u *simUser) matches(state *account.State, seq int) error {
	a := u.states[seq]
	got := fmt.Sprint(state.Seq, state.Wallet, state.Email, state.Username, state.Status, state.CreatedAt, state.LastLogin,
		state.UpdatedAt, state.BalanceAt, state.Balance, state.Held, len(state.Sessions), state.History.Last())
	want := fmt.Sprint(seq, u.wallet, a.email, a.username, a.status, a.created, a.login,
		a.updated, a.moved, a.balance, a.held, len(a.sessions), len(a.transactions))
	if got != want {
		return fmt.Errorf("%s after record %d is\n%s, want\n%s", u.wallet, seq, got, want)
	}
	for i, session := range a.sessions {
		g := state.Sessions[i]
		if g.CreatedAt != session.created || g.ExpiresAt != session.expires || g.UsedAt != a.used[session] || (session.known && g.Hash != session.hash) {
			return fmt.Errorf("%s after record %d: session %d is %v, want %v used at %s", u.wallet, seq, i, g, *session, a.used[session])
		}
	}
	if err := a.matchFactors(state); err != nil {
		return fmt.Errorf("%s after record %d: %w", u.wallet, seq, err)
	}
	var balance, held account.Money
	for i := range a.transactions {
		g, _ := state.History.At(uint32(i + 1))
		w := a.transactions[i]
		gd, wd := detailOf(g), detailOf(w)
		g.Detail, w.Detail = nil, nil
		if g != w || !reflect.DeepEqual(gd, wd) {
			return fmt.Errorf("%s after record %d: transaction %d is\n%+v %+v, want\n%+v %+v", u.wallet, seq, i+1, g, gd, w, wd)
		}
		out := slices.Contains([]account.Type{account.TypeSell, account.TypeWithdrawal, account.TypeDebit}, g.Type)
		switch {
		case g.Status == account.Completed && out:
			balance -= g.Amount + g.Fee
		case g.Status == account.Completed:
			balance += g.Amount
		case g.Status == account.Pending && out:
			held += g.Amount + g.Fee
		}
	}
	if balance != state.Balance || held != state.Held {
		return fmt.Errorf("%s has %s, %s held; its history sums up to %s, %s held", u.wallet, state.Balance, state.Held, balance, held)
	}
	return nil
}

func detailOf(t account.Transaction) account.Detail {
	if t.Detail == nil {
		return account.Detail{}
	}
	return *t.Detail
}
