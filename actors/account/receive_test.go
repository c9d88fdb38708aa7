package account

import (
	"errors"
	"testing"
	"time"
)

var (
	outA = Outpoint{ChainHash{0xaa}, 0}
	outB = Outpoint{ChainHash{0xbb}, 1}
)

// quoted returns an account with payment n: 1000 for 100 satoshi.
func quoted(t *testing.T) (a *Account, n uint32) {
	t.Helper()
	a = opened(t, 0)
	return a, do(t, a, &CreatePayment{Amount: 1000, BTC: 100, Address: "bc1p", Derived: true, Index: 7, Lifetime: time.Hour}, start)
}

// nothing checks that a command is accepted and changes nothing.
func nothing(t *testing.T, a *Account, c Command) {
	t.Helper()
	if d, err := a.Decide(c, nil, start); err != nil || len(d.Record.Events) != 0 {
		t.Errorf("%+v gives %+v, %v; want nothing", c, d.Record.Events, err)
	}
}

// stands checks an account's amounts.
func stands(t *testing.T, a *Account, balance, frozen, spendable Money) {
	t.Helper()
	if a.Balance != balance || a.Frozen != frozen || a.Spendable() != spendable {
		t.Errorf("balance %d, frozen %d, spendable %d; want %d, %d, %d", a.Balance, a.Frozen, a.Spendable(), balance, frozen, spendable)
	}
	if err := checkInvariants(a); err != nil {
		t.Error(err)
	}
	if state, err := DecodeState(a.AppendState(nil)); err != nil || state.Frozen != frozen {
		t.Errorf("written and read: %v", err)
	}
}

func TestAnOutputIsCreditedOnceHoweverOftenItIsReported(t *testing.T) {
	a, n := quoted(t)
	if d := transaction(t, a, n).Detail; !d.Derived || d.Index != 7 {
		t.Errorf("the payment is %+v", d)
	}
	seen := &SeeOutput{N: n, Out: outA, BTC: 100, At: start + 1}
	block := &ConfirmOutput{N: n, Out: outA, BTC: 100, Height: 5, Block: ChainHash{5}, At: start + 2}
	settle := &SettlePayment{N: n, Due: 1000, Outs: []Outpoint{outA}}
	do(t, a, seen, start)
	nothing(t, a, seen)
	do(t, a, block, start)
	nothing(t, a, block)
	nothing(t, a, seen) // a late repetition does not take it out of its block
	if o := transaction(t, a, n).Detail.Outputs[0]; o.At != start+1 || o.Height != 5 || o.Block != (ChainHash{5}) {
		t.Errorf("the output is %+v", o)
	}
	nothing(t, a, &SettlePayment{N: n})
	do(t, a, settle, start+9)
	nothing(t, a, settle)
	stands(t, a, 1000, 0, 1000)
	paid := transaction(t, a, n)
	if paid.Status != Completed || paid.ConfirmedAt != start+9 || paid.Detail.By != "chain" || paid.Detail.TxHash != outA.TxID.String() || !paid.Detail.Outputs[0].Counted {
		t.Errorf("the payment is %+v, %+v", paid, paid.Detail)
	}
	refused(t, a, &Complete{N: n, By: "ops"}, nil, start, CodeNotPending)
	// A second output brings the difference alone.
	do(t, a, &ConfirmOutput{N: n, Out: outB, BTC: 50, Height: 6, Block: ChainHash{6}, At: start}, start)
	do(t, a, &SettlePayment{N: n, Due: 1500, Outs: []Outpoint{outA, outB}}, start+20)
	stands(t, a, 1500, 0, 1500)
	if again := transaction(t, a, n); again.ConfirmedAt != start+9 || again.Credited() != 1500 {
		t.Errorf("the payment is %+v, %+v", again, again.Detail)
	}
}

func TestWhatAnOperatorCompletedIsNotCreditedAgain(t *testing.T) {
	a, n := quoted(t)
	do(t, a, &Complete{N: n, By: "ops"}, start)
	do(t, a, &ConfirmOutput{N: n, Out: outA, BTC: 100, Height: 5, At: start}, start)
	nothing(t, a, &SettlePayment{N: n, Due: 1000, Outs: []Outpoint{outA}})
	stands(t, a, 1000, 0, 1000)
}

func TestAnExpiredPaymentMayStillBeCredited(t *testing.T) {
	a, n := quoted(t)
	do(t, a, &ExpirePayment{N: n}, start.Add(time.Hour))
	do(t, a, &ConfirmOutput{N: n, Out: outA, BTC: 60, Height: 5, At: start.Add(2 * time.Hour)}, start)
	do(t, a, &SettlePayment{N: n, Due: 600, Outs: []Outpoint{outA}}, start)
	stands(t, a, 600, 0, 600)
	if paid := transaction(t, a, n); paid.Status != Completed || paid.Detail.Expired || a.Counts.Of(TypeBuy, Failed) != 0 {
		t.Errorf("the payment is %+v, %+v", paid, paid.Detail)
	}
}

func TestAReorganisationFreezesWhatWasCredited(t *testing.T) {
	a, n := quoted(t)
	in := func(height int32) {
		t.Helper()
		do(t, a, &ConfirmOutput{N: n, Out: outA, BTC: 100, Height: height, Block: ChainHash{byte(height)}, At: start}, start)
	}
	in(5)
	do(t, a, &SettlePayment{N: n, Due: 1000, Outs: []Outpoint{outA}}, start)
	do(t, a, &Deposit{Amount: 10}, start)
	nothing(t, a, &RemoveOutput{N: n, Out: outA, Height: 4, Block: ChainHash{4}}) // of a block it is not in
	gone := &RemoveOutput{N: n, Out: outA, Height: 5, Block: ChainHash{5}}
	do(t, a, gone, start)
	nothing(t, a, gone)
	reversed := &SettlePayment{N: n}
	do(t, a, reversed, start)
	nothing(t, a, reversed)
	stands(t, a, 1010, 1000, 10)
	refused(t, a, &Withdraw{Amount: 11, To: "aitbc_00"}, nil, start, CodeInsufficientFunds)
	refused(t, a, &Sell{Amount: 11, BTC: 1, Address: "bc1q"}, nil, start, CodeInsufficientFunds)
	do(t, a, &Withdraw{Amount: 10, To: "aitbc_00"}, start)

	do(t, a, &SeeOutput{N: n, Out: outA, BTC: 100, At: start}, start)
	nothing(t, a, reversed)
	in(7)
	do(t, a, &SettlePayment{N: n, Due: 1000, Outs: []Outpoint{outA}}, start)
	stands(t, a, 1010, 0, 1000)
	if o := transaction(t, a, n).Detail.Outputs[0]; !o.Counted || o.Reversed || o.Height != 7 {
		t.Errorf("the output is %+v", o)
	}
}

func TestAnOperatorLiftsAFreezeForGood(t *testing.T) {
	a, n := quoted(t)
	refused(t, a, &LiftFreeze{N: n, By: "ops"}, nil, start, CodeNoChange)
	do(t, a, &ConfirmOutput{N: n, Out: outA, BTC: 100, Height: 5, At: start}, start)
	do(t, a, &SettlePayment{N: n, Due: 1000, Outs: []Outpoint{outA}}, start)
	do(t, a, &RemoveOutput{N: n, Out: outA, Height: 5}, start)
	do(t, a, &SettlePayment{N: n}, start)
	do(t, a, &Debit{Amount: 400, By: "ops", Reason: "taken back"}, start) // of what is frozen too
	stands(t, a, 600, 1000, 0)
	do(t, a, &LiftFreeze{N: n, By: "ops", Reason: "settled"}, start)
	stands(t, a, 600, 0, 600)
	nothing(t, a, &SettlePayment{N: n})
}

func TestARefundIsQueuedOnceOfWhatThereIs(t *testing.T) {
	a, n := quoted(t)
	refused(t, a, &QueueRefund{N: n, Out: outA, BTC: 1}, nil, start, CodeNoChange)
	do(t, a, &ConfirmOutput{N: n, Out: outA, BTC: 60, Height: 5, At: start}, start)
	do(t, a, &QueueRefund{N: n, Out: outA, BTC: 50}, start)
	refused(t, a, &QueueRefund{N: n, Out: outA, BTC: 51, Before: 50}, nil, start, CodeNoChange)
	refused(t, a, &QueueRefund{N: n, Out: outA, BTC: 10}, nil, start, CodeNoChange) // it was found due twice
	do(t, a, &QueueRefund{N: n, Out: outA, BTC: 10, Before: 50}, start)
	if o := transaction(t, a, n).Detail.Outputs[0]; o.Refunded != 60 {
		t.Errorf("the output is %+v", o)
	}
}

func TestTheOutputsOfAPaymentAreLimited(t *testing.T) {
	a, n := quoted(t)
	number := func(i int) Outpoint { return Outpoint{ChainHash{byte(i)}, 3} }
	for i := range MaxOutputs {
		do(t, a, &SeeOutput{N: n, Out: number(i), BTC: 1, At: start}, start)
	}
	refused(t, a, &SeeOutput{N: n, Out: outA, BTC: 1, At: start}, nil, start, CodeTooManyOutputs)
	refused(t, a, &ConfirmOutput{N: n, Out: outA, BTC: 1, Height: 1, At: start}, nil, start, CodeTooManyOutputs)
	do(t, a, &RemoveOutput{N: n, Out: number(9)}, start) // one that was replaced makes room
	do(t, a, &ConfirmOutput{N: n, Out: outA, BTC: 1, Height: 1, At: start}, start)
	outputs := transaction(t, a, n).Detail.Outputs
	if len(outputs) != MaxOutputs || outputOf(outputs, number(9)) >= 0 || outputOf(outputs, outA) < 0 {
		t.Errorf("%d outputs", len(outputs))
	}
	stands(t, a, 0, 0, 0)
}

func TestChainEventsThatDoNotFollowAreRefused(t *testing.T) {
	for name, events := range map[string][]Event{
		"an output to nothing":            {&OutputSeen{N: 9, Out: outB, BTC: 1}},
		"an output of another amount":     {&OutputSeen{N: 1, Out: outA, BTC: 99}},
		"a block at no height":            {&OutputConfirmed{N: 1, Out: outB, BTC: 1}},
		"removing from another block":     {&OutputRemoved{N: 1, Out: outA, Height: 6}},
		"removing twice":                  {&OutputRemoved{N: 1, Out: outA, Height: 5}, &OutputRemoved{N: 1, Out: outA, Height: 5}},
		"a credit of nothing":             {&PaymentCredited{N: 1, Outs: []Outpoint{outA}}},
		"a credit for nothing":            {&PaymentCredited{N: 1, Amount: 1}},
		"a credit for an unknown output":  {&PaymentCredited{N: 1, Amount: 1, Outs: []Outpoint{outB}}},
		"a credit for a gone output":      {&OutputRemoved{N: 1, Out: outA, Height: 5}, &PaymentCredited{N: 1, Amount: 1, Outs: []Outpoint{outA}}},
		"a credit beyond the range":       {&Deposited{Amount: 1}, &PaymentCredited{N: 1, Amount: MaxMoney, Outs: []Outpoint{outA}}},
		"a refund of too much":            {&RefundQueued{N: 1, Out: outA, BTC: 101}},
		"freezing what was not credited":  {&CreditReversed{N: 1, Out: outA, Amount: 1}},
		"lifting what is not frozen":      {&FreezeLifted{N: 1, Amount: 1}},
		"the chain's place in an account": {&ChainAdvanced{Hashes: []ChainHash{{}}}},
	} {
		a, n := quoted(t)
		do(t, a, &ConfirmOutput{N: n, Out: outA, BTC: 100, Height: 5, At: start}, start)
		if err := a.Apply(&Record{User: a.ID, Seq: a.Seq + 1, At: start, Events: events}); !errors.Is(err, ErrApply) {
			t.Errorf("%s: %v, want ErrApply", name, err)
		}
	}
}

func TestTheSystemAccountKeepsTheLastBlocks(t *testing.T) {
	a := New(SystemID)
	hash := func(branch, height int) ChainHash { return ChainHash{byte(branch), byte(height), byte(height >> 8)} }
	advance := func(branch, from, to int) {
		t.Helper()
		c := &AdvanceChain{Blocks: Trail{First: int32(from), Time: Time(to)}}
		for h := from; h <= to; h++ {
			c.Blocks.Hashes = append(c.Blocks.Hashes, hash(branch, h))
		}
		do(t, a, c, start)
	}
	want := func(first, last int, branchOf func(height int) int) {
		t.Helper()
		state, err := DecodeState(a.AppendState(nil))
		if err != nil || state.StateHash() != a.StateHash() {
			t.Fatalf("written and read: %v", err)
		}
		if got := state.Trail; int(got.First) != first || len(got.Hashes) != last-first+1 || got.Time != Time(last) {
			t.Fatalf("%d blocks from %d at %d, want %d to %d", len(got.Hashes), got.First, got.Time, first, last)
		}
		for i, got := range state.Trail.Hashes {
			if got != hash(branchOf(first+i), first+i) {
				t.Fatalf("block %d is %s", first+i, got)
			}
		}
	}
	advance(1, 100, 200)
	want(100, 200, func(int) int { return 1 })
	advance(1, 201, 300)
	want(300-MaxTrail+1, 300, func(int) int { return 1 })
	advance(2, 298, 301) // a reorganisation
	want(301-MaxTrail+1, 301, func(h int) int {
		if h >= 298 {
			return 2
		}
		return 1
	})
	advance(3, 500, 501) // elsewhere altogether
	want(500, 501, func(int) int { return 3 })
	refused(t, opened(t, 1), &AdvanceChain{Blocks: Trail{Hashes: []ChainHash{{}}}}, nil, start, CodeNotFound)
}
