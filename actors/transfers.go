package actors

import "github.com/aitbc/exchange/actors/account"

// Change is one change of a balance that a session's user asks for, made by the
// functions below. Whether it is accepted is decided when it is made.
type Change struct {
	user    *user
	command account.Command
	idem    *account.Idempotency
	err     error // why there is nothing to ask the account for
}

// DepositOf is a deposit by the faucet.
func (x *Exchange) DepositOf(s *Session, amount account.Money, idem *account.Idempotency) Change {
	return Change{s.user, &account.Deposit{Amount: amount}, idem, nil}
}

// WithdrawalOf holds amount and the fee until the operator has sent it to the AITBC
// address to, or fails it.
func (x *Exchange) WithdrawalOf(s *Session, amount account.Money, to string, idem *account.Idempotency) Change {
	return Change{s.user, &account.Withdraw{Guard: x.guardOf(s), Safeguards: x.safeguards(to), Amount: amount, Fee: x.cfg.Terms.WithdrawalFee, To: to}, idem, nil}
}

// SaleOf holds amount until the operator has paid the Bitcoin to address, or fails it.
// The quote is that of now.
func (x *Exchange) SaleOf(s *Session, amount account.Money, address string, idem *account.Idempotency) Change {
	if err := x.checkBitcoinAddress(address); err != nil {
		return refusal(s, &account.Error{Code: CodeBadAddress, Field: "btc_address", Message: err.Error()}, idem)
	}
	terms, err := x.termsNow()
	if err != nil {
		return Change{err: err}
	}
	payout, fee, refused := terms.SaleQuote(amount)
	if refused != nil {
		return refusal(s, refused, idem)
	}
	return Change{s.user, &account.Sell{Guard: x.guardOf(s), Safeguards: x.safeguards(address), Amount: amount, BTC: payout, BTCFee: fee, Address: address}, idem, nil}
}

// refusal is a change that is not to be, except that one that was accepted before has
// its first answer: a new price or rule does not undo what was done.
func refusal(s *Session, err *account.Error, idem *account.Idempotency) Change {
	if idem == nil {
		return Change{err: err}
	}
	return Change{s.user, &account.Refused{Err: err}, idem, nil}
}

// Make makes a change.
func (x *Exchange) Make(c Change) (Receipt, error) {
	if c.err != nil {
		return Receipt{}, c.err
	}
	return x.do(c.user, c.command, c.idem)
}

// Outcome is what came of one of several changes.
type Outcome struct {
	Receipt Receipt
	Err     error
}

// MakeAll makes changes, those of one user in their order, and returns when the
// outcome of each is durable. Each is accepted or refused by itself. Together they
// wait for the disk about once.
func (x *Exchange) MakeAll(changes []Change) []Outcome {
	calls := make([]*call, len(changes))
	for i := range changes {
		if c := &changes[i]; c.err == nil {
			calls[i] = x.send(c.user, c.command, c.idem)
		}
	}
	outcomes := make([]Outcome, len(changes))
	for i, c := range calls {
		if c == nil {
			outcomes[i].Err = changes[i].err
			continue
		}
		outcomes[i].Receipt, outcomes[i].Err = x.await(c)
	}
	return outcomes
}

// BeginDeposit adds amount to the session's user by the faucet, and tells requester the
// outcome. It is a Change of its own because it is the hottest: it allocates nothing to
// be carried.
func (x *Exchange) BeginDeposit(s *Session, amount account.Money, idem *account.Idempotency, requester Requester) {
	c := x.calls.Get().(*call)
	c.deposit = account.Deposit{Amount: amount}
	c.command = &c.deposit
	c.requester = requester
	x.post(c, s.user, idem)
}

// Withdraw makes a WithdrawalOf.
func (x *Exchange) Withdraw(s *Session, amount account.Money, to string, idem *account.Idempotency) (Receipt, error) {
	return x.Make(x.WithdrawalOf(s, amount, to, idem))
}

// Sell makes a SaleOf.
func (x *Exchange) Sell(s *Session, amount account.Money, address string, idem *account.Idempotency) (Receipt, error) {
	return x.Make(x.SaleOf(s, amount, address, idem))
}
