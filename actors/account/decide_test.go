package account

import (
	"fmt"
	"testing"
	"time"
)

func TestWhatGoesOutIsAtMostWhatIsAvailable(t *testing.T) {
	withdraw := func(amount, fee Money) Command { return &Withdraw{Amount: amount, Fee: fee, To: "aitbc_00"} }
	sell := func(amount, _ Money) Command { return &Sell{Amount: amount, BTC: 1, Address: "bc1q"} }
	debit := func(amount, _ Money) Command { return &Debit{Amount: amount, By: "ops", Reason: "r"} }
	tests := []struct {
		command               func(amount, fee Money) Command
		balance, held         Money
		amount, fee           Money
		insufficient          bool
		thenBalance, thenHeld Money
	}{
		{withdraw, 100, 0, 99, 1, false, 100, 100},
		{withdraw, 100, 0, 99, 2, true, 0, 0},
		{withdraw, 100, 0, 100, 0, false, 100, 100},
		{withdraw, 100, 0, 100, 1, true, 0, 0},
		{withdraw, 100, 0, 101, 0, true, 0, 0},
		{withdraw, 100, 0, 1, 99, false, 100, 100},
		{withdraw, 100, 40, 50, 10, false, 100, 100},
		{withdraw, 100, 40, 51, 10, true, 0, 0},
		{withdraw, 0, 0, 1, 0, true, 0, 0},
		{withdraw, MaxMoney, 0, MaxMoney, 0, false, MaxMoney, MaxMoney},
		{withdraw, MaxMoney, 0, MaxMoney, 1, true, 0, 0}, // the sum wraps
		{withdraw, MaxMoney, 0, MaxMoney, MaxMoney, true, 0, 0},
		{sell, 100, 0, 100, 0, false, 100, 100},
		{sell, 100, 0, 101, 0, true, 0, 0},
		{sell, 100, 40, 60, 0, false, 100, 100},
		{sell, 100, 40, 61, 0, true, 0, 0},
		{debit, 100, 0, 100, 0, false, 0, 0},
		{debit, 100, 0, 101, 0, true, 0, 0},
		{debit, 100, 40, 60, 0, false, 40, 40},
		{debit, 100, 40, 61, 0, true, 0, 0}, // never what is held
		{debit, 0, 0, 1, 0, true, 0, 0},
	}
	for _, tt := range tests {
		command := tt.command(tt.amount, tt.fee)
		t.Run(fmt.Sprintf("%T of %d and fee %d from %d with %d held", command, tt.amount, tt.fee, tt.balance, tt.held), func(t *testing.T) {
			a := opened(t, tt.balance)
			if tt.held > 0 {
				do(t, a, withdraw(tt.held, 0), start)
			}
			if tt.insufficient {
				refused(t, a, command, nil, start, CodeInsufficientFunds)
				return
			}
			if n := do(t, a, command, start); n != a.History.Last() {
				t.Errorf("it is about transaction %d, want the last, %d", n, a.History.Last())
			}
			if a.Balance != tt.thenBalance || a.Held != tt.thenHeld {
				t.Errorf("balance %d, held %d; want %d, %d", a.Balance, a.Held, tt.thenBalance, tt.thenHeld)
			}
		})
	}
}

func TestABalanceGrowsToTheLimitAndNoFurther(t *testing.T) {
	for _, incoming := range []func(amount Money) Command{
		func(amount Money) Command { return &Deposit{Amount: amount} },
		func(amount Money) Command { return &Deposit{Amount: amount, By: "ops"} },
		func(amount Money) Command { return &Credit{Amount: amount, By: "ops", Reason: "r"} },
		func(amount Money) Command { return &CreatePayment{Amount: amount, Lifetime: time.Hour} },
	} {
		t.Run(fmt.Sprintf("%T", incoming(1)), func(t *testing.T) {
			a := opened(t, 10)
			refused(t, a, incoming(MaxMoney), nil, start, CodeBalanceLimit)
			refused(t, a, incoming(MaxMoney-9), nil, start, CodeBalanceLimit)
			do(t, a, incoming(MaxMoney-10), start)
		})
	}
	t.Run("a payment that no longer fits", func(t *testing.T) {
		a := opened(t, 10)
		n := do(t, a, &CreatePayment{Amount: MaxMoney - 10, Lifetime: time.Hour}, start)
		do(t, a, &Deposit{Amount: 1}, start)
		refused(t, a, &Complete{N: n}, nil, start, CodeBalanceLimit)
		do(t, a, &Debit{Amount: 1, By: "ops", Reason: "r"}, start)
		do(t, a, &Complete{N: n}, start)
		if a.Balance != MaxMoney {
			t.Errorf("balance %d, want %d", a.Balance, MaxMoney)
		}
	})
}

func TestAnAmountThatIsNotPositiveIsAMistakeOfTheProgram(t *testing.T) {
	a := opened(t, 100)
	for _, c := range []Command{
		&Deposit{}, &Deposit{Amount: -1}, &Credit{}, &Debit{}, &Debit{Amount: -1}, &CreatePayment{}, &Sell{}, &Sell{Amount: -1},
		&Withdraw{}, &Withdraw{Amount: -1}, &Withdraw{Amount: 1, Fee: -1},
	} {
		panics(t, fmt.Sprintf("%T %+v", c, c), func() { _, _ = a.Decide(c, nil, start) })
	}
}

// userCommands are what a user asks for; each would be accepted if they were active.
func userCommands() []Command {
	return []Command{
		login(9, start), &ChangeProfile{Username: "new"}, &Deposit{Amount: 1}, &Withdraw{Amount: 1, To: "aitbc_00"},
		&Sell{Amount: 1, BTC: 1, Address: "bc1q"}, &CreatePayment{Amount: 1, Lifetime: time.Hour},
	}
}

func TestAUserWhoIsNotActiveChangesNothing(t *testing.T) {
	for status, code := range map[Status]Code{Suspended: CodeSuspended, Inactive: CodeInactive} {
		a := opened(t, 100)
		idem := &Idempotency{Key: Key{1}}
		n := keyed(t, a, &Withdraw{Amount: 1, To: "aitbc_00"}, idem, start).N
		do(t, a, &SetStatus{Status: status, By: "ops"}, start)
		for _, c := range userCommands() {
			t.Run(fmt.Sprintf("%s, %T", status, c), func(t *testing.T) {
				refused(t, a, c, nil, start, code)
			})
		}
		// What was done before is still answered.
		if d := keyed(t, a, &Withdraw{Amount: 1, To: "aitbc_00"}, idem, start); !d.Replayed || d.N != n {
			t.Errorf("%s: a retry gives %+v, want transaction %d again", status, d, n)
		}
		do(t, a, &SetStatus{Status: Active, By: "ops"}, start)
		for _, c := range userCommands() {
			do(t, a, c, start)
		}
	}
}

func TestTheOperatorWorksOnAUserWhoIsNotActive(t *testing.T) {
	for _, status := range []Status{Suspended, Inactive} {
		a := opened(t, 100)
		sale := do(t, a, &Sell{Amount: 1, BTC: 1, Address: "bc1q"}, start)
		withdrawal := do(t, a, &Withdraw{Amount: 1, Fee: 1, To: "aitbc_00"}, start)
		paid := do(t, a, &CreatePayment{Amount: 10, Lifetime: time.Hour}, start)
		late := do(t, a, &CreatePayment{Amount: 10, Lifetime: time.Hour}, start)
		do(t, a, &SetStatus{Status: status, By: "ops"}, start)
		for _, c := range []Command{
			&Deposit{Amount: 1, By: "ops"}, &Credit{Amount: 1, By: "ops"}, &Debit{Amount: 1, By: "ops"},
			&Fail{N: sale, By: "ops"}, &Complete{N: withdrawal, By: "ops"}, &Complete{N: paid, By: "chain"},
		} {
			do(t, a, c, start)
		}
		do(t, a, &ExpirePayment{N: late}, start.Add(time.Hour))
		if a.Balance != 109 || a.Held != 0 {
			t.Errorf("%s: balance %d, held %d; want 109, 0", status, a.Balance, a.Held)
		}
		do(t, a, &Logout{Session: session(0)}, start.Add(time.Hour))
		if len(a.Sessions) != 0 {
			t.Errorf("%s: the session outlived its logout", status)
		}
	}
}

func TestAStatusThatIsSetAlreadyIsSaid(t *testing.T) {
	a := opened(t, 0)
	refused(t, a, &SetStatus{Status: Active, By: "ops"}, nil, start, CodeNoChange)
	do(t, a, &SetStatus{Status: Inactive, By: "ops"}, start)
	refused(t, a, &SetStatus{Status: Inactive, By: "ops"}, nil, start, CodeNoChange)
	do(t, a, &SetStatus{Status: Suspended, By: "ops"}, start)
	if a.Status != Suspended {
		t.Errorf("the status is %s, want suspended", a.Status)
	}
}

func TestAnAccountBeginsWithALoginOnly(t *testing.T) {
	for _, c := range append(userCommands()[1:],
		&Logout{}, &SetStatus{Status: Suspended}, &Credit{Amount: 1}, &Debit{Amount: 1},
		&Complete{N: 1}, &Fail{N: 1}, &ExpirePayment{N: 1},
	) {
		refused(t, New(testUser), c, nil, start, CodeNotFound)
		refused(t, New(testUser), c, &Idempotency{Key: Key{1}}, start, CodeNotFound)
	}
	a := New(testUser)
	if a.Exists() {
		t.Error("a new account exists before its first event")
	}
	do(t, a, login(1, start), start)
	if !a.Exists() || a.Status != Active || a.Username != login(1, start).Username || a.CreatedAt != start || a.LastLogin != start {
		t.Errorf("the first login made %+v", a.State)
	}
	second := login(2, start)
	second.Email, second.Username = "other@example.org", "other"
	do(t, a, second, start+1)
	if a.Username == "other" || a.CreatedAt != start || a.LastLogin != start+1 {
		t.Errorf("the second login made %+v", a.State)
	}
}

func TestAProfileChangesInWhatIsNotEmpty(t *testing.T) {
	a := opened(t, 0)
	email := a.Email
	do(t, a, &ChangeProfile{Username: "new"}, start)
	if a.Username != "new" || a.Email != email {
		t.Errorf("the profile is %s, %s; want new, %s", a.Username, a.Email, email)
	}
	do(t, a, &ChangeProfile{Email: "new@example.org"}, start)
	if a.Username != "new" || a.Email != "new@example.org" {
		t.Errorf("the profile is %s, %s; want new, new@example.org", a.Username, a.Email)
	}
	for _, c := range []ChangeProfile{{}, {Email: a.Email}, {Username: a.Username}, {Email: a.Email, Username: a.Username}} {
		if d := keyed(t, a, &c, nil, start); len(d.Record.Events) != 0 {
			t.Errorf("%+v changes %+v, want nothing", c, d.Record.Events)
		}
	}
}

func TestTimeNeverGoesBackInTheLog(t *testing.T) {
	a := opened(t, 100)
	late := start.Add(72 * time.Hour)
	do(t, a, &Deposit{Amount: 1}, late)
	for _, now := range []Time{start, 0, -1, late - 1} {
		n := do(t, a, &Deposit{Amount: 1}, now)
		if got := transaction(t, a, n); got.CreatedAt != late || a.UpdatedAt != late {
			t.Errorf("at %s: the transaction is of %s, the account of %s; want %s", now, got.CreatedAt, a.UpdatedAt, late)
		}
	}
	n := do(t, a, &CreatePayment{Amount: 1, Lifetime: time.Hour}, start)
	if got := transaction(t, a, n).Detail.ExpiresAt; got != late.Add(time.Hour) {
		t.Errorf("a payment made while the clock is back expires at %s, want %s", got, late.Add(time.Hour))
	}
}
