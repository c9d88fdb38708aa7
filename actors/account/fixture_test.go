package account

import (
	"errors"
	"fmt"
	"time"

	"pgregory.net/rapid"
)

const start Time = 1_700_000_000_000_000 // 2023-11-14

var testUser = UserID{0x0e, 0x51, 0x9a, 0x01, 0x7c, 0x3e, 0x4d, 0x2b, 0x9f, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66}

// session is a session's hash that is easy to tell from others.
func session(n int) Hash { return Hash{0: byte(n), 1: byte(n >> 8), 31: 0xff} }

func login(n int, now Time) *Login {
	return &Login{
		Wallet: "aitbc1wallet_test", Email: "aitbc1wallet_test@aitbc.local", Username: "user_let_test",
		Session: session(n), ExpiresAt: now.Add(24 * time.Hour),
	}
}

// opened returns an account with session 0 and a completed deposit of balance.
func opened(t rapid.TB, balance Money) *Account {
	t.Helper()
	a := New(testUser)
	do(t, a, login(0, start), start)
	if balance > 0 {
		do(t, a, &Deposit{Amount: balance}, start)
	}
	return a
}

// do decides and applies a command that must be accepted, through its encoding,
// and returns the transaction it is about.
func do(t rapid.TB, a *Account, c Command, now Time) uint32 {
	t.Helper()
	return keyed(t, a, c, nil, now).N
}

// keyed is do with an idempotency key.
func keyed(t rapid.TB, a *Account, c Command, idem *Idempotency, now Time) Decision {
	t.Helper()
	d, err := a.Decide(c, idem, now)
	if err != nil {
		t.Fatalf("%T is refused: %v", c, err)
	}
	if len(d.Record.Events) > 0 {
		apply(t, a, reread(t, &d.Record))
	}
	return d
}

func apply(t rapid.TB, a *Account, r *Record) {
	t.Helper()
	if err := a.Apply(r); err != nil {
		t.Fatalf("Apply: %v", err)
	}
}

// reread returns what decoding r's encoding gives.
func reread(t rapid.TB, r *Record) *Record {
	t.Helper()
	var decoded Record
	if err := decoded.Decode(r.Append(nil)); err != nil {
		t.Fatalf("Decode: %v", err)
	}
	return &decoded
}

// refused checks that a command is refused with a code and changes nothing.
func refused(t rapid.TB, a *Account, c Command, idem *Idempotency, now Time, want Code) {
	t.Helper()
	before := a.StateHash()
	d, err := a.Decide(c, idem, now)
	var e *Error
	if !errors.As(err, &e) || e.Code != want {
		t.Fatalf("%T gives error %v, want %s", c, err, want)
	}
	if e.Message == "" {
		t.Fatalf("%T is refused with %s and no message", c, want)
	}
	if len(d.Record.Events) != 0 || d.N != 0 || d.Replayed {
		t.Fatalf("%T is refused, but also decided: %+v", c, d)
	}
	if a.StateHash() != before {
		t.Fatalf("%T is refused, but changed the account", c)
	}
}

// panics checks that f panics: what it does is a mistake in the program.
func panics(t rapid.TB, what string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if recover() == nil {
			t.Errorf("%s does not panic", what)
		}
	}()
	f()
}

// transaction returns transaction n of a, which must exist.
func transaction(t rapid.TB, a *Account, n uint32) Transaction {
	t.Helper()
	got, ok := a.History.At(n)
	if !ok {
		t.Fatalf("there is no transaction %d", n)
	}
	return got
}

// checkInvariants says what of a contradicts itself. It adds up the history in
// its own way, not with the code under test.
func checkInvariants(a *Account) error {
	var balance, held, frozen Money
	var counts Counts
	for n := uint32(1); n <= a.History.Last(); n++ {
		t, ok := a.History.At(n)
		if !ok {
			continue // skipped by a restored backup
		}
		counts[t.Type][t.Status]++
		switch {
		case t.Type == TypeDeposit && t.Status == Completed,
			t.Type == TypeCredit && t.Status == Completed:
			balance += t.Amount
		case t.Type == TypeBuy && t.Status == Completed:
			credited := t.Amount
			if t.Detail.Credited != 0 {
				credited = t.Detail.Credited
			}
			balance += credited
			frozen += t.Detail.Frozen
			if t.Detail.Frozen < 0 || t.Detail.Frozen > credited {
				return fmt.Errorf("payment %d: %s credited and %s of it frozen", n, credited, t.Detail.Frozen)
			}
		case t.Type == TypeDebit && t.Status == Completed:
			balance -= t.Amount
		case t.Type == TypeSell, t.Type == TypeWithdrawal:
			switch t.Status {
			case Pending:
				held += t.Amount + t.Fee
			case Completed:
				balance -= t.Amount + t.Fee
			}
		case t.Type == TypeBuy:
		default:
			return fmt.Errorf("transaction %d is a %s %s", n, t.Status, t.Type)
		}
		if t.Detail != nil {
			for _, o := range t.Detail.Outputs {
				if o.Refunded < 0 || o.Refunded > o.BTC || (o.Counted && o.Reversed) || (o.Gone && (o.Counted || o.Height != 0)) {
					return fmt.Errorf("payment %d has the output %+v", n, o)
				}
			}
			if len(t.Detail.Outputs) > MaxOutputs || (t.Detail.Credited != 0 && t.Status != Completed) {
				return fmt.Errorf("payment %d has %d outputs, is %s and brought %s", n, len(t.Detail.Outputs), t.Status, t.Detail.Credited)
			}
		}
		if t.Amount <= 0 || t.Fee < 0 {
			return fmt.Errorf("transaction %d is of %s and fee %s", n, t.Amount, t.Fee)
		}
		if confirmed := t.Status == Completed; (confirmed && t.ConfirmedAt < t.CreatedAt) || (!confirmed && t.ConfirmedAt != 0) {
			return fmt.Errorf("transaction %d is %s, made at %s and confirmed at %s", n, t.Status, t.CreatedAt, t.ConfirmedAt)
		}
	}
	if err := checkOutbox(a.Outbox); err != nil {
		return err
	}
	if a.Outgoing != nil {
		for _, c := range a.Outgoing.Claims {
			if t, ok := a.History.At(c.N); !ok || t.Type != TypeSell || c.Payout == 0 {
				return fmt.Errorf("payout %d has transaction %d, %+v", c.Payout, c.N, t)
			}
		}
		for _, r := range a.Outgoing.Refunds {
			t, _ := a.History.At(r.N)
			if i := outputOf(t.detail().Outputs, r.Out); i < 0 || a.RefundDue(r.N, &t.Detail.Outputs[i]) < 0 {
				return fmt.Errorf("more was sent back of %s than was due: %+v", r.Out, r)
			}
		}
	}
	switch {
	case a.Held < 0 || a.Held > a.Balance || a.Available() != a.Balance-a.Held:
		return fmt.Errorf("balance %s, held %s, available %s", a.Balance, a.Held, a.Available())
	case balance != a.Balance:
		return fmt.Errorf("balance %s, the history comes to %s", a.Balance, balance)
	case frozen != a.Frozen:
		return fmt.Errorf("frozen %s, payments come to %s", a.Frozen, frozen)
	case held != a.Held:
		return fmt.Errorf("held %s, pending transactions come to %s", a.Held, held)
	case counts != a.Counts:
		return fmt.Errorf("counts %v, the history has %v", a.Counts, counts)
	case a.Counts.Of(0, 0) != a.History.Size():
		return fmt.Errorf("%d transactions are counted of %d", a.Counts.Of(0, 0), a.History.Size())
	case !soundBook(a.AddressBook):
		return fmt.Errorf("the address book is %+v", a.AddressBook)
	case len(a.Sessions) > MaxSessions:
		return fmt.Errorf("%d sessions are open", len(a.Sessions))
	case !soundFactors(a.Factors):
		return fmt.Errorf("the factors are %+v", a.Factors)
	case a.BalanceAt > a.UpdatedAt || a.LastLogin > a.UpdatedAt || a.CreatedAt > a.UpdatedAt:
		return fmt.Errorf("last record at %s, but balance of %s, login of %s, creation at %s", a.UpdatedAt, a.BalanceAt, a.LastLogin, a.CreatedAt)
	}
	return nil
}

// soundBook reports whether a book has its addresses once each and in order.
func soundBook(b *AddressBook) bool {
	if b == nil {
		return true
	}
	seen, before := map[string]bool{}, uint32(0)
	for _, known := range b.Addresses {
		if seen[known.Address] || known.N <= before || known.N > b.Last || known.UsableAt < known.CreatedAt {
			return false
		}
		seen[known.Address], before = true, known.N
	}
	return len(b.Addresses) <= MaxAddresses
}
