package account

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestMoreThanTheFourEyesAmountTakesTwoOperators(t *testing.T) {
	complete := func(n uint32, by string) *Complete { return &Complete{N: n, FourEyesAbove: 50, By: by} }
	for _, c := range []func(amount Money) Command{
		func(amount Money) Command { return &Withdraw{Amount: amount, Fee: 5, To: "aitbc_00"} },
		func(amount Money) Command { return &Sell{Amount: amount, BTC: 1, Address: "bc1q"} },
	} {
		t.Run(fmt.Sprintf("%T", c(1)), func(t *testing.T) {
			a := opened(t, 200)
			small, large := do(t, a, c(50), start), do(t, a, c(51), start)
			do(t, a, complete(small, "anna"), start)
			refused(t, a, complete(large, "anna"), nil, start, CodeApprovalRequired)
			do(t, a, &ApproveWithdrawal{N: large, By: "anna", Reason: "called back"}, start)
			refused(t, a, complete(large, "anna"), nil, start, CodeSameOperator)
			refused(t, a, &ApproveWithdrawal{N: large, By: "bob"}, nil, start, CodeNoChange)
			refused(t, a, complete(large, "anna"), nil, start, CodeSameOperator)
			do(t, a, complete(large, "bob"), start)
			got := transaction(t, a, large)
			if d := got.Detail; got.Status != Completed || d.ApprovedBy != "anna" || d.Approval != "called back" || d.By != "bob" {
				t.Errorf("the transaction is %+v, %+v", got, d)
			}
			if first := got.AsCreated().Detail; first.ApprovedBy != "" || first.Approval != "" {
				t.Errorf("as created it is approved: %+v", first)
			}
		})
	}
}

func TestALargeSaleIsPaidOutByAnotherOperatorThanApprovedIt(t *testing.T) {
	claim := func(n uint32, by string) *ClaimSale {
		return &ClaimSale{N: n, Payout: 1, FourEyesAbove: 50, By: by}
	}
	a := opened(t, 200)
	small, large := do(t, a, &Sell{Amount: 50, BTC: 1, Address: "bc1q"}, start), do(t, a, &Sell{Amount: 51, BTC: 1, Address: "bc1q"}, start)
	do(t, a, claim(small, "anna"), start)
	refused(t, a, claim(large, "anna"), nil, start, CodeApprovalRequired)
	do(t, a, &ApproveWithdrawal{N: large, By: "anna"}, start)
	refused(t, a, claim(large, "anna"), nil, start, CodeSameOperator)
	do(t, a, claim(large, "bob"), start)
}

func TestWhatIsApprovedCanFailByAnyOneOperator(t *testing.T) {
	a := opened(t, 100)
	n := do(t, a, &Withdraw{Amount: 60, To: "aitbc_00"}, start)
	do(t, a, &ApproveWithdrawal{N: n, By: "anna"}, start)
	do(t, a, &Fail{N: n, By: "anna"}, start)
	if a.Held != 0 || transaction(t, a, n).Detail.ApprovedBy != "anna" {
		t.Errorf("held %s, %+v", a.Held, transaction(t, a, n).Detail)
	}
}

func TestOnlyWhatIsPendingAndGoesOutIsApproved(t *testing.T) {
	a := opened(t, 100)
	buy := do(t, a, &CreatePayment{Amount: 60, Lifetime: time.Hour}, start)
	done := do(t, a, &Withdraw{Amount: 60, To: "aitbc_00"}, start)
	do(t, a, &Complete{N: done, By: "anna"}, start)
	refused(t, a, &ApproveWithdrawal{N: buy, By: "anna"}, nil, start, CodeNotFound)
	refused(t, a, &ApproveWithdrawal{N: done, By: "anna"}, nil, start, CodeNotPending)
	refused(t, a, &ApproveWithdrawal{N: 99, By: "anna"}, nil, start, CodeNotFound)
	do(t, a, &Complete{N: buy, FourEyesAbove: 1, By: "chain"}, start) // a payment takes nobody
}

func TestNoMoreThanTheLimitLeavesInAnyDay(t *testing.T) {
	out := func(amount Money) Command {
		return &Withdraw{Safeguards: Safeguards{DailyLimit: 100}, Amount: amount, Fee: 7, To: "aitbc_00"}
	}
	sell := func(amount Money) Command {
		return &Sell{Safeguards: Safeguards{DailyLimit: 100}, Amount: amount, BTC: 1, Address: "bc1q"}
	}
	hour := func(n int) Time { return start.Add(time.Duration(n) * time.Hour) }
	a := opened(t, 100_000)
	do(t, a, &Deposit{Amount: 1}, hour(0))
	first := do(t, a, out(30), hour(0))
	do(t, a, sell(50), hour(6))
	refused(t, a, out(21), nil, hour(6), CodeDailyLimit)
	do(t, a, out(20), hour(7))

	says := func(c Command, now Time, left string, free, enough Time) {
		t.Helper()
		err := refusal(t, a, c, now, CodeDailyLimit)
		if err.RetryAt != enough || !strings.Contains(err.Message, left) || !strings.Contains(err.Message, "from "+free.String()+" on") {
			t.Errorf("%q, again at %s; want %q, more at %s and enough at %s", err.Message, err.RetryAt, left, free, enough)
		}
	}
	says(out(1), hour(8), "0 of the 0.000001 AITBC", hour(24), hour(24))
	says(out(30), hour(8), "0 of the 0.000001 AITBC", hour(24), hour(24))
	says(out(31), hour(8), "0 of the 0.000001 AITBC", hour(24), hour(30))
	says(out(100), hour(8), "0 of the 0.000001 AITBC", hour(24), hour(31))
	says(out(101), hour(8), "of which 0 are left", hour(24), 0)
	says(out(1), hour(24)-1, "0 of the", hour(24), hour(24))
	says(out(31), hour(24), "0.0000003 of the", hour(30), hour(30))

	// What fails gives back; what is completed does not.
	do(t, a, &Complete{N: first + 1, By: "ops"}, hour(8))
	says(out(1), hour(8), "0 of the", hour(24), hour(24))
	do(t, a, &Fail{N: first, By: "ops"}, hour(8))
	says(out(31), hour(8), "0.0000003 of the", hour(30), hour(30))
	do(t, a, out(30), hour(9))
	says(out(1), hour(9), "0 of the", hour(30), hour(30))
	do(t, a, out(50), hour(30))

	idle := opened(t, 1000)
	if err := refusal(t, idle, out(101), start, CodeDailyLimit); !strings.Contains(err.Message, "all of which are left") || err.RetryAt != 0 {
		t.Errorf("%+v", err)
	}
}

// A clock that was set back must not free what had become free, nor forget it.
func TestALimitHoldsWhereTheClockGoesBack(t *testing.T) {
	out := &Withdraw{Safeguards: Safeguards{DailyLimit: 100}, Amount: 60, To: "aitbc_00"}
	a := opened(t, 1000)
	do(t, a, out, start)
	late := start.Add(24 * time.Hour)
	if _, err := a.Decide(out, nil, late); err != nil { // decided, and not applied
		t.Fatal(err)
	}
	refused(t, a, out, nil, late-1, CodeDailyLimit)
	do(t, a, out, late)
	refused(t, a, out, nil, start, CodeDailyLimit) // which counts as late
}

func TestALimitHoldsWhereMoreHasLeftThanAnAmountCanSay(t *testing.T) {
	a := opened(t, MaxMoney)
	for range 3 {
		n := do(t, a, &Withdraw{Amount: MaxMoney, To: "aitbc_00"}, start)
		do(t, a, &Complete{N: n, By: "ops"}, start)
		do(t, a, &Deposit{Amount: MaxMoney, By: "ops"}, start)
	}
	out := &Withdraw{Safeguards: Safeguards{DailyLimit: MaxMoney}, Amount: 1, To: "aitbc_00"}
	if err := refusal(t, a, out, start, CodeDailyLimit); err.RetryAt != start.Add(24*time.Hour) {
		t.Errorf("%+v", err)
	}
	n := do(t, a, &Withdraw{Amount: MaxMoney, To: "aitbc_00"}, start+1)
	do(t, a, &Fail{N: n, By: "ops"}, start+1)
	refused(t, a, out, nil, start+1, CodeDailyLimit)
	do(t, a, out, start.Add(24*time.Hour))
}

// longDay is an account with n transactions in a day, half of them withdrawals.
func longDay(t testing.TB, n int) *Account {
	t.Helper()
	a := opened(t, MaxMoney/2)
	for i := range n {
		now := start + Time(i)*100_000
		var event Event = &Deposited{Amount: 1}
		if i%2 == 0 {
			event = &WithdrawalRequested{Amount: 1, Fee: 1, To: "aitbc_00112233445566778899aabbccddeeff"}
		}
		apply(t, a, &Record{User: a.ID, Seq: a.Seq + 1, At: now, Events: []Event{event}})
	}
	return a
}

// A limit in an account with 100,000 transactions of one day: the first look at them
// after the account was idle, and each later one, allowed or not.
func BenchmarkDailyLimitOfALongDay(b *testing.B) {
	a := longDay(b, 100_000)
	fits := &Withdraw{Safeguards: Safeguards{DailyLimit: 60_000}, Amount: 1, To: "aitbc_00"}
	over := &Withdraw{Safeguards: Safeguards{DailyLimit: 60_000}, Amount: 20_000, To: "aitbc_00"}
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a.spending = nil
			if _, err := a.Decide(fits, nil, a.UpdatedAt); err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, c := range map[string]*Withdraw{"accepted": fits, "refused": over} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Decide(c, nil, a.UpdatedAt); (err == nil) != (c == fits) {
					b.Fatal(err)
				}
			}
		})
	}
}
