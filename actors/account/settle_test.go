package account

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

// addPending adds one pending transaction of each type that can be.
func addPending(t *testing.T, a *Account) map[Type]uint32 {
	t.Helper()
	return map[Type]uint32{
		TypeBuy:        do(t, a, &CreatePayment{Amount: 7, BTC: 8, BTCFee: 1, Address: "bc1p", Lifetime: time.Hour, Notes: "n"}, start),
		TypeSell:       do(t, a, &Sell{Amount: 20, BTC: 19, BTCFee: 1, Address: "bc1q"}, start),
		TypeWithdrawal: do(t, a, &Withdraw{Amount: 30, Fee: 2, To: "aitbc_00"}, start),
	}
}

func TestCompletingMovesTheValueOnce(t *testing.T) {
	for of, want := range map[Type]struct{ balance, held Money }{
		TypeBuy: {107, 52}, TypeSell: {80, 32}, TypeWithdrawal: {68, 20},
	} {
		t.Run(of.String(), func(t *testing.T) {
			a := opened(t, 100)
			n := addPending(t, a)[of]
			if got := do(t, a, &Complete{N: n, Of: of, TxHash: "ab", Confirmations: 3, By: "ops", Reason: "r"}, start+5); got != n {
				t.Errorf("it is about transaction %d, want %d", got, n)
			}
			if a.Balance != want.balance || a.Held != want.held || a.BalanceAt != start+5 {
				t.Errorf("balance %d, held %d at %s; want %d, %d", a.Balance, a.Held, a.BalanceAt, want.balance, want.held)
			}
			got := transaction(t, a, n)
			if d := got.Detail; got.Status != Completed || got.ConfirmedAt != start+5 || got.CreatedAt != start ||
				d.TxHash != "ab" || d.Confirmations != 3 || d.By != "ops" || d.Reason != "r" {
				t.Errorf("the transaction is %+v, %+v", got, d)
			}
		})
	}
}

func TestFailingReleasesWhatWasHeld(t *testing.T) {
	for of, held := range map[Type]Money{TypeBuy: 52, TypeSell: 32, TypeWithdrawal: 20} {
		t.Run(of.String(), func(t *testing.T) {
			a := opened(t, 100)
			n := addPending(t, a)[of]
			do(t, a, &Fail{N: n, Of: of, By: "ops", Reason: "r"}, start+5)
			if a.Balance != 100 || a.Held != held || (a.BalanceAt == start+5) != (of != TypeBuy) {
				t.Errorf("balance %d, held %d at %s; want 100, %d", a.Balance, a.Held, a.BalanceAt, held)
			}
			got := transaction(t, a, n)
			if d := got.Detail; got.Status != Failed || got.ConfirmedAt != 0 || d.Expired || d.By != "ops" || d.Reason != "r" {
				t.Errorf("the transaction is %+v, %+v", got, d)
			}
		})
	}
}

func TestATransactionEndsOnce(t *testing.T) {
	for _, end := range []func(n uint32) Command{
		func(n uint32) Command { return &Complete{N: n} },
		func(n uint32) Command { return &Fail{N: n} },
		func(n uint32) Command { return &ExpirePayment{N: n} },
	} {
		for of := range map[Type]bool{TypeBuy: true, TypeSell: true, TypeWithdrawal: true} {
			if _, ok := end(0).(*ExpirePayment); ok && of != TypeBuy {
				continue
			}
			t.Run(fmt.Sprintf("%T of a %s", end(0), of), func(t *testing.T) {
				a := opened(t, 100)
				n := addPending(t, a)[of]
				now := start.Add(2 * time.Hour)
				do(t, a, end(n), now)
				refused(t, a, &Complete{N: n}, nil, now, CodeNotPending)
				refused(t, a, &Complete{N: n, Of: of}, nil, now, CodeNotPending)
				refused(t, a, &Fail{N: n}, nil, now, CodeNotPending)
				if of == TypeBuy {
					refused(t, a, &ExpirePayment{N: n}, nil, now, CodeNotPending)
				}
			})
		}
	}
	t.Run("what was complete from the start", func(t *testing.T) {
		a := opened(t, 100)
		do(t, a, &Credit{Amount: 1, By: "ops"}, start)
		do(t, a, &Debit{Amount: 1, By: "ops"}, start)
		for n := uint32(1); n <= 3; n++ {
			refused(t, a, &Complete{N: n}, nil, start, CodeNotPending)
			refused(t, a, &Fail{N: n}, nil, start, CodeNotPending)
		}
	})
}

func TestATransactionOfAnotherTypeIsNotFound(t *testing.T) {
	a := opened(t, 100)
	pending := addPending(t, a)
	late := start.Add(2 * time.Hour)
	for of, n := range pending {
		for other := Type(1); other < numTypes; other++ {
			if other == of {
				continue
			}
			refused(t, a, &Complete{N: n, Of: other}, nil, start, CodeNotFound)
			refused(t, a, &Fail{N: n, Of: other}, nil, start, CodeNotFound)
		}
		if of != TypeBuy {
			refused(t, a, &ExpirePayment{N: n}, nil, late, CodeNotFound)
		}
	}
	for _, n := range []uint32{0, a.History.Last() + 1, 1<<32 - 1} {
		refused(t, a, &Complete{N: n}, nil, start, CodeNotFound)
		refused(t, a, &Fail{N: n}, nil, start, CodeNotFound)
		refused(t, a, &ExpirePayment{N: n}, nil, late, CodeNotFound)
	}
}

func TestAPaymentExpiresAtItsTimeAndNotBefore(t *testing.T) {
	a := opened(t, 0)
	n := do(t, a, &CreatePayment{Amount: 1, Lifetime: time.Hour}, start)
	end := start.Add(time.Hour)
	refused(t, a, &ExpirePayment{N: n}, nil, end-1, CodeNoChange)
	do(t, a, &ExpirePayment{N: n}, end)
	got := transaction(t, a, n)
	if got.Status != Failed || !got.Detail.Expired || got.Detail.By != "clock" {
		t.Errorf("the payment is %+v, %+v", got, got.Detail)
	}
	// Until the clock fails it, a payment that the chain has seen is credited.
	n = do(t, a, &CreatePayment{Amount: 1, Lifetime: time.Hour}, start)
	do(t, a, &Complete{N: n, By: "chain"}, end.Add(100*time.Hour))
	if a.Balance != 1 {
		t.Errorf("balance %d, want 1", a.Balance)
	}
}

func TestOpenPaymentsAreLimited(t *testing.T) {
	a := opened(t, 0)
	payment := &CreatePayment{Amount: 1, Lifetime: time.Hour}
	for range MaxOpenPayments {
		do(t, a, payment, start)
	}
	for _, free := range []Command{&Complete{N: 1}, &Fail{N: 2}, &ExpirePayment{N: 3}} {
		refused(t, a, payment, nil, start.Add(time.Hour), CodeTooManyPayments)
		do(t, a, free, start.Add(time.Hour))
		do(t, a, payment, start.Add(time.Hour))
	}
	refused(t, a, payment, nil, start.Add(time.Hour), CodeTooManyPayments)
	do(t, a, &Deposit{Amount: 1}, start.Add(time.Hour)) // other commands go on
}

func TestATransactionIsRememberedAsItWasAnswered(t *testing.T) {
	settle := []func(n uint32) Command{
		func(n uint32) Command {
			return &Complete{N: n, TxHash: "ab", Confirmations: 3, By: "ops", Reason: "r"}
		},
		func(n uint32) Command { return &Fail{N: n, By: "ops", Reason: "r"} },
		func(n uint32) Command { return &ExpirePayment{N: n} },
	}
	for _, create := range []Command{
		&CreatePayment{Amount: 7, BTC: 8, BTCFee: 1, Address: "bc1p", Lifetime: time.Hour, Notes: "n"},
		&Sell{Amount: 20, BTC: 19, BTCFee: 1, Address: "bc1q"},
		&Withdraw{Amount: 30, Fee: 2, To: "aitbc_00"},
		&Deposit{Amount: 1}, &Deposit{Amount: 1, By: "ops"},
		&Credit{Amount: 1, By: "ops", Reason: "r"}, &Debit{Amount: 1, By: "ops", Reason: "r"},
	} {
		for _, end := range settle {
			t.Run(fmt.Sprintf("%T, %T", create, end(0)), func(t *testing.T) {
				a := opened(t, 100)
				n := do(t, a, create, start)
				first := transaction(t, a, n)
				if got := first.AsCreated(); !reflect.DeepEqual(got, first) {
					t.Errorf("as created it is %+v, %+v; it is %+v, %+v", got, got.Detail, first, first.Detail)
				}
				// Where the command does not fit the type it changes nothing.
				if d, err := a.Decide(end(n), nil, start.Add(time.Hour)); err == nil {
					apply(t, a, &d.Record)
				}
				if got := transaction(t, a, n).AsCreated(); !reflect.DeepEqual(got, first) {
					t.Errorf("as created it is %+v, %+v; it was %+v, %+v", got, got.Detail, first, first.Detail)
				}
			})
		}
	}
}

func TestATransactionSaysInWordsWhatItIs(t *testing.T) {
	a := opened(t, 1000)
	for want, c := range map[string]Command{
		"Bought with 0.00000008 BTC":        &CreatePayment{Amount: 7, BTC: 8, Address: "bc1p"},
		"Sold for 0.00000019 BTC to bc1q":   &Sell{Amount: 20, BTC: 19, Address: "bc1q"},
		"Withdrawal to aitbc_00":            &Withdraw{Amount: 30, To: "aitbc_00"},
		"Deposit":                           &Deposit{Amount: 1},
		"a correction":                      &Credit{Amount: 1, By: "ops", Reason: "a correction"},
		"a correction, the other way about": &Debit{Amount: 1, By: "ops", Reason: "a correction, the other way about"},
	} {
		if got := transaction(t, a, do(t, a, c, start)).Description(); got != want {
			t.Errorf("%T is described as %q, want %q", c, got, want)
		}
	}
}
