package account

import (
	"fmt"
	"slices"
)

// Apply folds r into a. It is deterministic, and total: any record gives either
// the one state that follows or an error wrapping ErrApply, after which a must
// not be used. A record that Decide made for this account always fits.
func (a *Account) Apply(r *Record) error {
	switch {
	case r.User != a.ID:
		return fmt.Errorf("%w: record of user %s, account of user %s", ErrApply, r.User, a.ID)
	case r.Seq != a.Seq+1:
		return fmt.Errorf("%w: user %s: record %d after record %d", ErrApply, a.ID, r.Seq, a.Seq)
	case r.At < a.UpdatedAt:
		return fmt.Errorf("%w: user %s: record %d at %s is older than the one before, at %s", ErrApply, a.ID, r.Seq, r.At, a.UpdatedAt)
	case len(r.Events) == 0:
		return fmt.Errorf("%w: user %s: record %d is empty", ErrApply, a.ID, r.Seq)
	}
	for i, e := range r.Events {
		_, creates := e.(*Created)
		if creates != (r.Seq == 1 && i == 0) {
			return fmt.Errorf("%w: user %s: record %d: an account is created once, by its first event", ErrApply, a.ID, r.Seq)
		}
		if err := e.apply(a, r.At); err != nil {
			return fmt.Errorf("%w: user %s: record %d, event %d, %s: %w", ErrApply, a.ID, r.Seq, i+1, EventName(e), err)
		}
	}
	a.Seq, a.UpdatedAt = r.Seq, r.At
	return nil
}

func (e *Created) apply(a *Account, at Time) error {
	a.Wallet, a.Email, a.Username = e.Wallet, e.Email, e.Username
	a.Status, a.CreatedAt, a.BalanceAt = Active, at, at
	return nil
}

func (e *LoggedIn) apply(a *Account, at Time) error {
	sessions := make([]Session, 0, len(a.Sessions)+1)
	for _, s := range a.Sessions {
		if at < s.ExpiresAt {
			sessions = append(sessions, s)
		}
	}
	if len(sessions) >= MaxSessions {
		sessions = sessions[len(sessions)-MaxSessions+1:]
	}
	a.Sessions = append(sessions, Session{Hash: e.Session, CreatedAt: at, ExpiresAt: e.ExpiresAt, UsedAt: at})
	a.LastLogin = at
	return nil
}

func (e *LoggedOut) apply(a *Account, _ Time) error {
	sessions := make([]Session, 0, len(a.Sessions))
	for _, s := range a.Sessions {
		if s.Hash != e.Session {
			sessions = append(sessions, s)
		}
	}
	a.Sessions = sessions
	return nil
}

func (e *OtherSessionsEnded) apply(a *Account, _ Time) error {
	kept := make([]Session, 0, 1)
	for _, s := range a.Sessions {
		if s.Hash == e.Session {
			kept = append(kept, s)
		}
	}
	a.Sessions = kept
	return nil
}

func (e *SessionUsed) apply(a *Account, at Time) error {
	sessions := slices.Clone(a.Sessions)
	for i := range sessions {
		if sessions[i].Hash == e.Session {
			sessions[i].UsedAt = at
		}
	}
	a.Sessions = sessions
	return nil
}

func (e *ProfileChanged) apply(a *Account, _ Time) error {
	if e.Email != a.Email {
		a.emailChanged()
	}
	a.Email, a.Username = e.Email, e.Username
	return nil
}

func (e *StatusChanged) apply(a *Account, _ Time) error {
	a.Status = e.Status
	return nil
}

func (e *Deposited) apply(a *Account, at Time) error {
	t := Transaction{Type: TypeDeposit, Status: Completed, Amount: e.Amount}
	if e.By != "" {
		t.Detail = &Detail{By: e.By}
	}
	return a.addIncoming(t, at)
}

func (e *Credited) apply(a *Account, at Time) error {
	return a.addIncoming(Transaction{
		Type: TypeCredit, Status: Completed, Amount: e.Amount,
		Detail: &Detail{By: e.By, Reason: e.Reason},
	}, at)
}

func (e *Debited) apply(a *Account, at Time) error {
	if e.Amount <= 0 || e.Amount > a.Available() {
		return fmt.Errorf("debit of %s with %s available", e.Amount, a.Available())
	}
	a.Balance -= e.Amount
	return a.add(Transaction{
		Type: TypeDebit, Status: Completed, Amount: e.Amount,
		Detail: &Detail{By: e.By, Reason: e.Reason},
	}, at)
}

func (e *WithdrawalRequested) apply(a *Account, at Time) error {
	return a.addHeld(Transaction{
		Type: TypeWithdrawal, Status: Pending, Amount: e.Amount, Fee: e.Fee,
		Detail: &Detail{To: e.To},
	}, at)
}

func (e *SaleRequested) apply(a *Account, at Time) error {
	return a.addHeld(Transaction{
		Type: TypeSell, Status: Pending, Amount: e.Amount,
		Detail: &Detail{To: e.Address, BTC: e.BTC, BTCFee: e.BTCFee},
	}, at)
}

func (e *PaymentCreated) apply(a *Account, at Time) error {
	if e.Amount <= 0 {
		return fmt.Errorf("payment for %s", e.Amount)
	}
	return a.add(Transaction{
		Type: TypeBuy, Status: Pending, Amount: e.Amount,
		Detail: &Detail{To: e.Address, BTC: e.BTC, BTCFee: e.BTCFee, ExpiresAt: e.ExpiresAt, Notes: e.Notes},
	}, at)
}

func (e *PaymentAddressed) apply(a *Account, at Time) error {
	if e.Amount <= 0 {
		return fmt.Errorf("payment for %s", e.Amount)
	}
	return a.add(Transaction{
		Type: TypeBuy, Status: Pending, Amount: e.Amount,
		Detail: &Detail{
			To: e.Address, BTC: e.BTC, BTCFee: e.BTCFee, ExpiresAt: e.ExpiresAt, Notes: e.Notes,
			Derived: true, Index: e.Index,
		},
	}, at)
}

func (e *TxCompleted) apply(a *Account, at Time) error {
	t, err := a.pending(e.N)
	if err != nil {
		return err
	}
	if t.Type != e.Type || t.Amount != e.Amount || t.Fee != e.Fee {
		return fmt.Errorf("transaction %d is a %s of %s and fee %s, the event has %s, %s, %s",
			e.N, t.Type, t.Amount, t.Fee, e.Type, e.Amount, e.Fee)
	}
	d := t.detail()
	d.TxHash, d.Confirmations, d.By, d.Reason = e.TxHash, e.Confirmations, e.By, e.Reason
	if t.Type == TypeBuy {
		sum, ok := a.Balance.Add(t.Amount)
		if !ok {
			return fmt.Errorf("balance %s and %s leave the range", a.Balance, t.Amount)
		}
		a.Balance = sum
	}
	a.Balance -= t.debit()
	a.Held -= t.debit()
	t.Status, t.ConfirmedAt, t.Detail = Completed, at, &d
	a.settle(e.N, t, at)
	return nil
}

func (e *TxFailed) apply(a *Account, at Time) error {
	t, err := a.pending(e.N)
	if err != nil {
		return err
	}
	d := t.detail()
	d.Expired, d.By, d.Reason = e.Expired, e.By, e.Reason
	a.Held -= t.debit()
	t.Status, t.Detail = Failed, &d
	a.settle(e.N, t, at)
	a.spending.remove(e.N, t.Amount)
	return nil
}

func (e *KeyUsed) apply(a *Account, at Time) error {
	if _, ok := a.History.At(e.N); !ok {
		return fmt.Errorf("no transaction %d", e.N)
	}
	if !a.roomForKey(at) {
		return fmt.Errorf("%d idempotency keys are the most there can be", MaxKeys)
	}
	a.addKey(keyUse{key: e.Key, fingerprint: e.Fingerprint, at: at, n: e.N})
	return nil
}

// add appends t to the history.
func (a *Account) add(t Transaction, at Time) error {
	if a.History.used() == MaxHistory {
		return fmt.Errorf("%d is the highest number of a transaction", uint32(MaxHistory))
	}
	t.CreatedAt = at
	if t.Status == Completed {
		t.ConfirmedAt = at
	}
	if t.Type != TypeBuy {
		a.BalanceAt = at
	}
	a.History.append(t)
	a.Counts[t.Type][t.Status]++
	return nil
}

func (a *Account) addIncoming(t Transaction, at Time) error {
	sum, ok := a.Balance.Add(t.Amount)
	if !ok || t.Amount <= 0 {
		return fmt.Errorf("balance %s and a %s of %s", a.Balance, t.Type, t.Amount)
	}
	a.Balance = sum
	return a.add(t, at)
}

func (a *Account) addHeld(t Transaction, at Time) error {
	if total, ok := t.Amount.Add(t.Fee); !ok || t.Amount <= 0 || t.Fee < 0 || total > a.Spendable() {
		return fmt.Errorf("%s of %s and fee %s with %s available", t.Type, t.Amount, t.Fee, a.Spendable())
	}
	a.Held += t.debit()
	if err := a.add(t, at); err != nil {
		return err
	}
	a.spending.add(a.History.Last(), at, t.Amount)
	return nil
}

// pending returns transaction n, which must be waiting for its end.
func (a *Account) pending(n uint32) (Transaction, error) {
	t, ok := a.History.At(n)
	if !ok {
		return t, fmt.Errorf("no transaction %d", n)
	}
	if t.Status != Pending {
		return t, fmt.Errorf("transaction %d is %s", n, t.Status)
	}
	return t, nil
}

// settle puts t, which has reached its final status, in place of transaction n.
func (a *Account) settle(n uint32, t Transaction, at Time) {
	a.Counts[t.Type][Pending]--
	a.Counts[t.Type][t.Status]++
	a.History.replace(n, t)
	if t.Type != TypeBuy || t.Status == Completed {
		a.BalanceAt = at
	}
}
