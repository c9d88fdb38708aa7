package actors

import "github.com/aitbc/exchange/actors/account"

// Deposit adds amount to the session's user by the faucet.
func (x *Exchange) Deposit(s *Session, amount account.Money, idem *account.Idempotency) (Receipt, error) {
	c := x.calls.Get().(*call)
	c.deposit = account.Deposit{Amount: amount}
	c.command = &c.deposit
	x.post(c, s.user, idem)
	return x.await(c)
}

// Withdraw holds amount and the fee until the operator has sent it to the AITBC
// address to, or fails it.
func (x *Exchange) Withdraw(s *Session, amount account.Money, to string, idem *account.Idempotency) (Receipt, error) {
	return x.do(s.user, &account.Withdraw{Amount: amount, Fee: x.cfg.Terms.WithdrawalFee, To: to}, idem)
}

// Sell holds amount until the operator has paid the Bitcoin to address, or fails
// it. The quote is that of now.
func (x *Exchange) Sell(s *Session, amount account.Money, address string, idem *account.Idempotency) (Receipt, error) {
	if err := x.checkBitcoinAddress(address); err != nil {
		return x.refuse(s, &account.Error{Code: CodeBadAddress, Field: "btc_address", Message: err.Error()}, idem)
	}
	terms, err := x.termsNow()
	if err != nil {
		return Receipt{}, err
	}
	payout, fee, refused := terms.SaleQuote(amount)
	if refused != nil {
		return x.refuse(s, refused, idem)
	}
	return x.do(s.user, &account.Sell{Amount: amount, BTC: payout, BTCFee: fee, Address: address}, idem)
}

// refuse answers with err, except that a request that was accepted before gets its
// first answer: a new price or rule does not undo what was done.
func (x *Exchange) refuse(s *Session, err *account.Error, idem *account.Idempotency) (Receipt, error) {
	if idem == nil {
		return Receipt{}, err
	}
	return x.do(s.user, &account.Refused{Err: err}, idem)
}
