package account

// Decision is what a command comes to.
type Decision struct {
	// Record is to be applied and made durable. It has no events where nothing
	// changes: a replayed request, or a logout of a session that is gone.
	Record Record
	// N is the transaction that the command is about, 0 if none.
	N uint32
	// Replayed: the request has been answered before, with transaction N.
	Replayed bool
}

// Decide says what c does to a at now, and changes nothing. idem is nil for a
// request without an idempotency key. The error, if any, is an *Error. The time
// of the record never goes back: where the clock did, it is that of the last
// record.
func (a *Account) Decide(c Command, idem *Idempotency, now Time) (Decision, error) {
	at := max(now, a.UpdatedAt)
	if !a.Exists() && !opens(c) {
		return Decision{}, refuse(CodeNotFound, "there is no account %s", a.ID)
	}
	if idem != nil {
		if use, ok := a.findKey(idem.Key, at); ok {
			if use.fingerprint != idem.Fingerprint {
				return Decision{}, refuse(CodeKeyReused, "this Idempotency-Key was used for another request; use a new key")
			}
			return Decision{N: use.n, Replayed: true}, nil
		}
		if !a.roomForKey(at) {
			return Decision{}, refuse(CodeTooManyKeys, "an account uses at most %d idempotency keys in %s; try again later", MaxKeys, KeyLifetime)
		}
	}
	events, n, refused := c.decide(a, at)
	if refused != nil {
		return Decision{}, refused
	}
	if idem != nil && n != 0 {
		events = append(events, &KeyUsed{Key: idem.Key, Fingerprint: idem.Fingerprint, N: n})
	}
	return Decision{Record: Record{User: a.ID, Seq: a.Seq + 1, At: at, Events: events}, N: n}, nil
}

// opens reports whether c may be an account's first command.
func opens(c Command) bool {
	switch c.(type) {
	case *Login, *AdvanceChain, *ExportPayout, *AdoptPayout, *SetIdentity, *RestoreLog, *SkipIndexes:
		return true
	}
	return false
}

// MayChange refuses what a user whose account is not active asks for.
func (s *State) MayChange() *Error {
	switch s.Status {
	case Suspended:
		return refuse(CodeSuspended, "this account is suspended; it can be read, but not changed")
	case Inactive:
		return refuse(CodeInactive, "this account is closed; it can be read, but not changed")
	}
	return nil
}

// next is the number of the transaction that a command adds.
func (a *Account) next() (uint32, *Error) {
	if a.History.used() == MaxHistory {
		return 0, refuse(CodeHistoryFull, "this account has reached the limit of %d transactions", uint32(MaxHistory))
	}
	return a.History.used() + 1, nil
}

func (c *Login) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	login := &LoggedIn{Session: c.Session, ExpiresAt: c.ExpiresAt}
	if !a.Exists() {
		created := &Created{Wallet: c.Wallet, Email: c.Email, Username: c.Username}
		if c.Restores > 0 { // before it had sessions and numbers that could be given out again
			return []Event{created, &AccountRestored{Number: c.Restores}, login}, 0, nil
		}
		return []Event{created, login}, 0, nil
	}
	if err := a.MayChange(); err != nil {
		return nil, 0, err
	}
	return []Event{login}, 0, nil
}

func (c *Refused) decide(*Account, Time) ([]Event, uint32, *Error) { return nil, 0, c.Err }

func (c *Logout) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	for i := range a.Sessions {
		if a.Sessions[i].Hash == c.Session {
			return []Event{&LoggedOut{Session: c.Session}}, 0, nil
		}
	}
	return nil, 0, nil
}

func (c *EndOtherSessions) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	for i := range a.Sessions {
		if a.Sessions[i].Hash != c.Session {
			return []Event{&OtherSessionsEnded{Session: c.Session}}, 0, nil
		}
	}
	return nil, 0, nil
}

func (c *UseSession) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	for i := range a.Sessions {
		if s := &a.Sessions[i]; s.Hash == c.Session && at-s.UsedAt >= c.Every {
			return []Event{&SessionUsed{Session: c.Session}}, 0, nil
		}
	}
	return nil, 0, nil
}

func (c *ChangeProfile) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if err := a.MayChange(); err != nil {
		return nil, 0, err
	}
	e := &ProfileChanged{Email: c.Email, Username: c.Username}
	if e.Email == "" {
		e.Email = a.Email
	}
	if e.Username == "" {
		e.Username = a.Username
	}
	if e.Email == a.Email && e.Username == a.Username {
		return nil, 0, nil
	}
	if e.Email != a.Email {
		if err := a.Admits(c.Guard, at); err != nil {
			return nil, 0, err
		}
	}
	return []Event{e}, 0, nil
}

func (c *SetStatus) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	if a.Status == c.Status {
		return nil, 0, refuse(CodeNoChange, "this account is %s already", a.Status)
	}
	return []Event{&StatusChanged{Status: c.Status, By: c.By, Reason: c.Reason}}, 0, nil
}

func (c *Deposit) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	if c.By == "" {
		if err := a.MayChange(); err != nil {
			return nil, 0, err
		}
	}
	n, err := a.incoming(c.Amount)
	d := &struct { // one allocation for the hottest event and the list that holds it
		event Deposited
		list  [1]Event
	}{event: Deposited{Amount: c.Amount, By: c.By}}
	d.list[0] = &d.event
	return d.list[:], n, err
}

func (c *Credit) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	n, err := a.incoming(c.Amount)
	return []Event{&Credited{Amount: c.Amount, By: c.By, Reason: c.Reason}}, n, err
}

func (c *Debit) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	n, err := a.outgoing(c.Amount, 0, a.Available())
	return []Event{&Debited{Amount: c.Amount, By: c.By, Reason: c.Reason}}, n, err
}

func (c *Withdraw) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if err := a.MayChange(); err != nil {
		return nil, 0, err
	}
	if err := a.Admits(c.Guard, at); err != nil {
		return nil, 0, err
	}
	if err := a.admit(&c.Safeguards, c.Amount, at); err != nil {
		return nil, 0, err
	}
	n, err := a.outgoing(c.Amount, c.Fee, a.Spendable())
	return []Event{&WithdrawalRequested{Amount: c.Amount, Fee: c.Fee, To: c.To}}, n, err
}

func (c *Sell) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if err := a.MayChange(); err != nil {
		return nil, 0, err
	}
	if err := a.Admits(c.Guard, at); err != nil {
		return nil, 0, err
	}
	if err := a.admit(&c.Safeguards, c.Amount, at); err != nil {
		return nil, 0, err
	}
	n, err := a.outgoing(c.Amount, 0, a.Spendable())
	return []Event{&SaleRequested{Amount: c.Amount, BTC: c.BTC, BTCFee: c.BTCFee, Address: c.Address}}, n, err
}

func (c *CreatePayment) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if err := a.MayChange(); err != nil {
		return nil, 0, err
	}
	if open := a.Counts.Of(TypeBuy, Pending); open >= MaxOpenPayments {
		return nil, 0, refuse(CodeTooManyPayments, "you have %d open payments, the maximum; pay one or let it expire", open)
	}
	n, err := a.incoming(c.Amount)
	var created Event = &PaymentCreated{
		Amount: c.Amount, BTC: c.BTC, BTCFee: c.BTCFee,
		Address: c.Address, ExpiresAt: at.Add(c.Lifetime), Notes: c.Notes,
	}
	if c.Derived {
		created = &PaymentAddressed{
			Amount: c.Amount, BTC: c.BTC, BTCFee: c.BTCFee,
			Index: c.Index, Address: c.Address, ExpiresAt: at.Add(c.Lifetime), Notes: c.Notes,
		}
	}
	if !c.Terms.Kept() {
		return []Event{created}, n, err
	}
	return []Event{created, &TermsAgreed{N: n, Terms: c.Terms}}, n, err
}

func (c *Complete) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	if c.By == "" { // the payer, in demo mode
		if err := a.MayChange(); err != nil {
			return nil, 0, err
		}
	}
	t, err := a.open(c.N, c.Of)
	if err != nil {
		return nil, 0, err
	}
	if err := a.unclaimed(c.N); err != nil {
		return nil, 0, err
	}
	if err := t.FourEyes(c.FourEyesAbove, c.By); err != nil {
		return nil, 0, err
	}
	if t.Type == TypeBuy {
		if err := a.canGrow(t.Amount); err != nil {
			return nil, 0, err
		}
	}
	events := []Event{&TxCompleted{
		N: c.N, Type: t.Type, Amount: t.Amount, Fee: t.Fee,
		TxHash: c.TxHash, Confirmations: c.Confirmations, By: c.By, Reason: c.Reason,
	}}
	if outs := t.outpoints(func(*Output) bool { return true }); len(outs) > 0 {
		events = append(events, &OutputsAnswered{N: c.N, Amount: t.Amount, Outs: outs})
	}
	return events, c.N, nil
}

func (c *Fail) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	if _, err := a.open(c.N, c.Of); err != nil {
		return nil, 0, err
	}
	if err := a.unclaimed(c.N); err != nil {
		return nil, 0, err
	}
	return []Event{&TxFailed{N: c.N, By: c.By, Reason: c.Reason}}, c.N, nil
}

func (c *ExpirePayment) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	t, err := a.open(c.N, TypeBuy)
	if err != nil {
		return nil, 0, err
	}
	if at < t.detail().ExpiresAt {
		return nil, 0, refuse(CodeNoChange, "this payment does not expire before %s", t.detail().ExpiresAt)
	}
	return []Event{&TxFailed{N: c.N, Expired: true, By: "clock"}}, c.N, nil
}

// open returns transaction n, if it is of the type and still pending.
func (a *Account) open(n uint32, of Type) (Transaction, *Error) {
	t, ok := a.History.At(n)
	if !ok || (of != 0 && t.Type != of) {
		return t, refuse(CodeNotFound, "there is no such %s", nameOr(of, "transaction"))
	}
	if t.Status != Pending {
		return t, refuse(CodeNotPending, "this %s is %s already", t.Type, t.Status)
	}
	return t, nil
}

func nameOr(t Type, otherwise string) string {
	if t == 0 {
		return otherwise
	}
	return t.String()
}

// incoming checks that amount can be added, and returns the transaction's number.
// What is pending on its way in is not counted: it is checked when it arrives.
func (a *Account) incoming(amount Money) (uint32, *Error) {
	if amount <= 0 {
		panic("account: an amount that is not positive: " + amount.String())
	}
	if err := a.canGrow(amount); err != nil {
		return 0, err
	}
	return a.next()
}

// canGrow checks that amount can be added to the balance.
func (a *Account) canGrow(amount Money) *Error {
	if _, ok := a.Balance.Add(amount); !ok {
		err := refuse(CodeBalanceLimit, "the amount may be at most %s: the balance is %s, and its limit %s", MaxMoney-a.Balance, a.Balance, MaxMoney)
		err.Field = "amount"
		return err
	}
	return nil
}

// outgoing checks that amount + fee is no more than what there is for it, and
// returns the transaction's number.
func (a *Account) outgoing(amount, fee, available Money) (uint32, *Error) {
	if amount <= 0 || fee < 0 {
		panic("account: an amount or fee that is not positive: " + amount.String() + ", " + fee.String())
	}
	total, ok := amount.Add(fee)
	if !ok || total > available {
		return 0, refuse(CodeInsufficientFunds, "the amount of %s and the fee of %s exceed the available %s", amount, fee, available)
	}
	return a.next()
}
