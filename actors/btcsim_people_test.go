package actors_test

import (
	"context"
	"fmt"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
)

// btcUser is a wallet with an account.
type btcUser struct {
	wallet string
	token  string
}

// btcPayment is a payment that was answered, so that somebody knows its address.
type btcPayment struct {
	id      account.TransactionID
	address string
	btc     account.Money
	at      account.Time
	lost    bool // made after the backup that was restored
}

// btcSale is a sale that was answered.
type btcSale struct {
	id      account.TransactionID
	address string
	btc     account.Money
	at      account.Time
	lost    bool
}

// session logs a user in if need be; nil if that is not to be.
func (s *btcSim) session(u *btcUser) *actors.Session {
	if session, ok := s.x.Authenticate([]byte(u.token)); ok {
		return &session
	}
	_, token, err := s.x.Login(u.wallet)
	if err != nil {
		s.note("login of %s: %s", u.wallet, said(err))
		return nil
	}
	u.token = token
	session, ok := s.x.Authenticate([]byte(token))
	if !ok {
		return nil
	}
	return &session
}

func (s *btcSim) anyUser() *btcUser { return s.users[s.random.IntN(len(s.users))] }

func (s *btcSim) operator() string { return []string{"olga", "otto"}[s.random.IntN(2)] }

func (s *btcSim) fund() error { return s.fundUser(s.anyUser()) }

func (s *btcSim) fundUser(u *btcUser) error {
	if session := s.session(u); session != nil {
		_, err := s.x.OperatorDeposit(session.UserID(), 3000*account.Unit, s.operator(), nil)
		s.note("%s is funded: %s", u.wallet, said(err))
	}
	return nil
}

func (s *btcSim) buy() error {
	_, err := s.buyFor(s.anyUser(), account.Money(50+s.random.IntN(2_000))*account.Unit)
	return err
}

// buyFor makes a payment. An address that it is given was never given before.
func (s *btcSim) buyFor(u *btcUser, amount account.Money) (*btcPayment, error) {
	session := s.session(u)
	if session == nil {
		return nil, nil
	}
	receipt, err := s.x.CreatePayment(session, amount, 0, "", nil)
	s.note("%s buys %s: %s", u.wallet, amount, said(err))
	if err != nil {
		return nil, nil
	}
	s.count.payments++
	t, _ := receipt.State.History.At(receipt.N)
	p := &btcPayment{id: receipt.ID(), address: t.Detail.To, btc: t.Detail.BTC, at: t.CreatedAt}
	for _, other := range s.payments {
		if other.address == p.address {
			return nil, fmt.Errorf("%s is given address %s, which payment %s was given", u.wallet, p.address, other.id)
		}
		if other.id == p.id {
			return nil, fmt.Errorf("%s is given payment %s, which was another", u.wallet, p.id)
		}
	}
	s.payments = append(s.payments, p)
	s.note("payment %s of %s BTC to %s", p.id, p.btc, p.address)
	return p, nil
}

func (s *btcSim) sell() error {
	u := s.anyUser()
	session := s.session(u)
	if session == nil {
		return nil
	}
	amount := account.Money(50+s.random.IntN(600)) * account.Unit
	s.sellers++
	address := bitcointest.NewMemoryWallet(fmt.Sprintf("seller %d", s.sellers)).Address
	receipt, err := s.x.Sell(session, amount, address, nil)
	s.note("%s sells %s: %s", u.wallet, amount, said(err))
	if err != nil {
		return nil
	}
	s.count.sales++
	t, _ := receipt.State.History.At(receipt.N)
	s.sales = append(s.sales, &btcSale{id: receipt.ID(), address: address, btc: t.Detail.BTC, at: t.CreatedAt})
	s.note("sale %s of %s BTC to %s", receipt.ID(), t.Detail.BTC, address)
	return nil
}

// btcTransaction is one of any user, as it is published.
type btcTransaction struct {
	account.Transaction
	id    account.TransactionID
	state *account.State
}

// transactions returns the published ones of all users, of some types.
func (s *btcSim) transactions(choose func(*btcTransaction) bool) (all []btcTransaction) {
	for _, u := range s.users {
		state, ok := s.x.FindUser(u.wallet)
		if !ok {
			continue
		}
		for n := uint32(1); n <= state.History.Last(); n++ {
			t, _ := state.History.At(n)
			if t.Detail == nil {
				t.Detail = &account.Detail{}
			}
			if b := (btcTransaction{t, account.TransactionID{User: state.ID, N: n}, state}); choose(&b) {
				all = append(all, b)
			}
		}
	}
	return all
}

func isTrade(t *btcTransaction) bool { return t.Type == account.TypeBuy || t.Type == account.TypeSell }

func isOpenTrade(t *btcTransaction) bool { return isTrade(t) && t.Status == account.Pending }

// trade is one that an operator has in mind: most of the time an open one.
func (s *btcSim) trade() (btcTransaction, bool) {
	trades := s.transactions(isOpenTrade)
	if len(trades) == 0 || s.random.IntN(6) == 0 {
		trades = s.transactions(isTrade)
	}
	if len(trades) == 0 {
		return btcTransaction{}, false
	}
	return trades[s.random.IntN(len(trades))], true
}

// act is something that an operator does to a trade.
func (s *btcSim) act(what string, do func(t btcTransaction, by string) error) error {
	t, ok := s.trade()
	if !ok {
		return nil
	}
	if t.Status == account.Pending {
		s.answered[t.id] = outputsOf(&t, func(o *account.Output) bool { return o.Refunded < o.BTC })
	}
	err := do(t, s.operator())
	s.note("%s of %s %s, which is %s: %s", what, t.Type, t.id, t.Status, said(err))
	return nil
}

// outputsOf are some of the outputs of a payment that the log knows of.
func outputsOf(t *btcTransaction, choose func(*account.Output) bool) (outs []account.Outpoint) {
	for i := range t.Detail.Outputs {
		if o := &t.Detail.Outputs[i]; choose(o) {
			outs = append(outs, o.Out)
		}
	}
	return outs
}

func (s *btcSim) complete() error {
	return s.act("complete", func(t btcTransaction, by string) error {
		_, err := s.x.CompleteTransaction(t.id, "", by, "paid otherwise", nil)
		return err
	})
}

func (s *btcSim) fail() error {
	return s.act("fail", func(t btcTransaction, by string) error {
		_, err := s.x.FailTransaction(t.id, by, "called off", nil)
		return err
	})
}

func (s *btcSim) confirm() error {
	return s.act("confirm", func(t btcTransaction, by string) error {
		_, err := s.x.ConfirmPayment(t.id, "", by, nil)
		return err
	})
}

func (s *btcSim) approve() error {
	return s.act("approve", func(t btcTransaction, by string) error {
		_, err := s.x.ApproveWithdrawal(t.id, by, "looked at", nil)
		return err
	})
}

// lift frees what a reorganisation froze.
func (s *btcSim) lift() error {
	frozen := s.transactions(func(t *btcTransaction) bool { return t.Detail.Frozen > 0 })
	if len(frozen) == 0 {
		return nil
	}
	t := frozen[s.random.IntN(len(frozen))]
	s.answered[t.id] = outputsOf(&t, func(o *account.Output) bool { return o.Counted || o.Reversed })
	s.lifted[t.id] = true
	_, err := s.x.LiftFreeze(t.id, s.operator(), "answered for", nil)
	s.note("the freeze of payment %s is lifted: %s", t.id, said(err))
	return nil
}

// settleRefund sends back what is due, by what no transaction of the chain is for.
func (s *btcSim) settleRefund() error {
	due, _, _ := s.x.Refunds(false, actors.RefundID{}, 100)
	if len(due) == 0 {
		return nil
	}
	refund := due[s.random.IntN(len(due))]
	_, err := s.x.SettleRefund(refund.RefundID, "", s.operator(), "sent back", nil)
	s.note("refund %s is settled: %s", refund.RefundID, said(err))
	return nil
}

// adjust is a credit or debit by an operator.
func (s *btcSim) adjust() error {
	u := s.anyUser()
	state, ok := s.x.FindUser(u.wallet)
	if !ok {
		return nil
	}
	amount, by := account.Money(1+s.random.IntN(800))*account.Unit, s.operator()
	var err error
	if s.random.IntN(2) == 0 {
		_, err = s.x.Credit(state.ID, amount, by, "a present", nil)
	} else {
		_, err = s.x.Debit(state.ID, amount, by, "a mistake", nil)
	}
	s.note("%s is credited or debited %s: %s", u.wallet, amount, said(err))
	return nil
}

func (s *btcSim) setStatus() error {
	u := s.anyUser()
	state, ok := s.x.FindUser(u.wallet)
	if !ok {
		return nil
	}
	status := account.Active
	if s.random.IntN(3) == 0 && state.Status == account.Active {
		status = []account.Status{account.Suspended, account.Inactive}[s.random.IntN(2)]
	}
	_, err := s.x.SetStatus(state.ID, status, s.operator(), "looked at")
	s.note("%s becomes %s: %s", u.wallet, status, said(err))
	return nil
}

// reconcile compares the log with the chain while it goes on, which shows what it shows.
func (s *btcSim) reconcile() error {
	tip := s.node.Tip().Height
	s.launch("reconcile", func(ctx context.Context, x *actors.Exchange) string {
		found, err := x.Reconcile(ctx, max(1, tip-20), tip)
		return fmt.Sprintf("%d differences, %s", len(found), said(err))
	})
	return nil
}
