package account

import (
	"errors"
	"testing"
)

// exported returns the system account with one payout.
func exported(t testing.TB) *Account {
	t.Helper()
	a := New(SystemID)
	do(t, a, &ExportPayout{goldenPayout}, start)
	return a
}

// isPayout checks where a payout stands, written and read.
func isPayout(t testing.TB, a *Account, n uint32, want PayoutStatus) {
	t.Helper()
	state, err := DecodeState(a.AppendState(nil))
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := state.Payouts.At(n); !ok || p.Status() != want {
		t.Fatalf("payout %d is %+v, want %s", n, p, want)
	}
}

func TestAPayoutGoesFromItsExportToItsConfirmation(t *testing.T) {
	a := exported(t)
	isPayout(t, a, 1, PayoutIsExported)
	refused(t, a, &ConfirmPayout{Number: 1}, nil, start, CodePayoutState)
	do(t, a, &SignPayout{Number: 1, Tx: []byte{1}}, start)
	isPayout(t, a, 1, PayoutIsSigned)
	do(t, a, &SignPayout{Number: 1, Tx: []byte{2}}, start) // the second import changes nothing
	if p, _ := a.Payouts.At(1); p.Tx[0] != 1 {
		t.Error("a second import took the place of the first")
	}
	mined := &MinePayout{TxID: goldenPayout.TxID, Height: 5, Block: ChainHash{5}}
	do(t, a, mined, start)
	isPayout(t, a, 1, PayoutIsMined)
	do(t, a, &UnminePayout{TxID: goldenPayout.TxID, Height: 4, Block: ChainHash{4}}, start) // of another block
	isPayout(t, a, 1, PayoutIsMined)
	do(t, a, &UnminePayout{TxID: goldenPayout.TxID, Height: 5, Block: ChainHash{5}}, start)
	isPayout(t, a, 1, PayoutIsSigned)
	do(t, a, mined, start)
	do(t, a, &ConfirmPayout{Number: 1}, start)
	isPayout(t, a, 1, PayoutIsConfirmed)
	do(t, a, &UnminePayout{TxID: goldenPayout.TxID, Height: 5, Block: ChainHash{5}}, start)
	isPayout(t, a, 1, PayoutIsConfirmed)
	refused(t, a, &CancelPayout{Number: 1, SpentBy: ChainHash{1}}, nil, start, CodePayoutState)
	refused(t, a, &CancelPayout{Number: 2}, nil, start, CodeNotFound)
}

func TestASaleOrACoinIsInOnePayoutAtATime(t *testing.T) {
	a := exported(t)
	coin := goldenPayout
	coin.Sales = []TransactionID{{testUser, 1}}
	refused(t, a, &ExportPayout{coin}, nil, start, CodePayoutState)
	sale := goldenPayout
	sale.Coins = []PayoutCoin{{Out: outB, BTC: 1}}
	refused(t, a, &ExportPayout{sale}, nil, start, CodeInPayout)
	do(t, a, &CancelPayout{Number: 1, By: "ops", Reason: "r"}, start)
	isPayout(t, a, 1, PayoutIsCancelled)
	refused(t, a, &SignPayout{Number: 1, Tx: []byte{1}}, nil, start, CodePayoutState)
	do(t, a, &ExportPayout{goldenPayout}, start)
	isPayout(t, a, 2, PayoutIsExported)
	refused(t, opened(t, 1), &ExportPayout{goldenPayout}, nil, start, CodeNotFound)
}

func TestASignedPayoutIsCancelledOnlyWhenItsCoinIsSpent(t *testing.T) {
	a := exported(t)
	do(t, a, &SignPayout{Number: 1, Tx: []byte{1}}, start)
	refused(t, a, &CancelPayout{Number: 1}, nil, start, CodePayoutState)
	do(t, a, &CancelPayout{Number: 1, SpentBy: ChainHash{1}, By: "ops", Reason: "r"}, start)
	isPayout(t, a, 1, PayoutIsCancelled)
	// The chain has the last word.
	do(t, a, &MinePayout{TxID: goldenPayout.TxID, Height: 5, Block: ChainHash{5}}, start)
	isPayout(t, a, 1, PayoutIsMined)
	refused(t, a, &ExportPayout{goldenPayout}, nil, start, CodePayoutState)
}

func TestASaleInAPayoutIsEndedByThePayoutAlone(t *testing.T) {
	a := opened(t, 10*Unit)
	n := do(t, a, &Sell{Amount: Unit, BTC: 100, Address: "bc1q"}, start)
	do(t, a, &ClaimSale{N: n, Payout: 7}, start)
	do(t, a, &ClaimSale{N: n, Payout: 7}, start) // again
	refused(t, a, &ClaimSale{N: n, Payout: 8}, nil, start, CodeInPayout)
	refused(t, a, &Complete{N: n, By: "ops"}, nil, start, CodeInPayout)
	refused(t, a, &Fail{N: n, By: "ops"}, nil, start, CodeInPayout)
	do(t, a, &FreeSale{N: n, Payout: 8}, start) // of another payout
	if a.ClaimOf(n) != 7 {
		t.Errorf("the sale is in payout %d", a.ClaimOf(n))
	}
	do(t, a, &FreeSale{N: n, Payout: 7}, start)
	do(t, a, &ClaimSale{N: n, Payout: 8}, start)
	do(t, a, &PaySale{N: n, Payout: 8, TxHash: "ab", Confirmations: 3}, start)
	if tx := transaction(t, a, n); tx.Status != Completed || tx.Detail.TxHash != "ab" || a.Outgoing != nil || a.Held != 0 {
		t.Errorf("%+v, %+v, held %s", tx, a.Outgoing, a.Held)
	}
	refused(t, a, &PaySale{N: n, Payout: 8}, nil, start, CodeNotPending)
	refused(t, a, &ClaimSale{N: n, Payout: 9}, nil, start, CodeNotPending)
	failed := do(t, a, &Sell{Amount: Unit, BTC: 100, Address: "bc1q"}, start)
	do(t, a, &SetStatus{Status: Suspended, By: "ops", Reason: "r"}, start)
	refused(t, a, &ClaimSale{N: failed, Payout: 9}, nil, start, CodeSuspended)
}

func TestARefundIsSettledOnce(t *testing.T) {
	a, n := quoted(t)
	do(t, a, &ConfirmOutput{N: n, Out: outA, BTC: 100, Height: 5, At: start}, start)
	settle := &SettleRefund{N: n, Out: outA, TxHash: "ab", By: "ops", Reason: "r"}
	refused(t, a, settle, nil, start, CodeNotFound)
	do(t, a, &QueueRefund{N: n, Out: outA, BTC: 30}, start)
	do(t, a, settle, start)
	refused(t, a, settle, nil, start, CodeNoChange)
	do(t, a, &QueueRefund{N: n, Out: outA, BTC: 20, Before: 30}, start) // more of the same output
	o := transaction(t, a, n).Detail.Outputs[0]
	if due := a.RefundDue(n, &o); due != 20 {
		t.Errorf("%d are due", due)
	}
	do(t, a, settle, start)
	if r := a.Outgoing.Refunds; len(r) != 2 || r[0].BTC != 30 || r[1].BTC != 20 {
		t.Errorf("%+v", r)
	}
}

func TestPayoutEventsThatDoNotFollowAreRefused(t *testing.T) {
	one := goldenPayout
	one.Number = 1
	begin := []Event{&Created{}, &PayoutExported{one}}
	for name, events := range map[string][]Event{
		"a payout out of order":   {&Created{}, &PayoutExported{goldenPayout}},
		"a signature of nothing":  {&Created{}, &PayoutSigned{Number: 1, Tx: []byte{1}}},
		"a signature without one": append(begin, &PayoutSigned{Number: 1}),
		"two signatures":          append(begin, &PayoutSigned{Number: 1, Tx: []byte{1}}, &PayoutSigned{Number: 1, Tx: []byte{1}}),
		"a block at no height":    append(begin, &PayoutMined{Number: 1}),
		"out of no block":         append(begin, &PayoutUnmined{Number: 1, Height: 1}),
		"confirmed in no block":   append(begin, &PayoutConfirmed{Number: 1}),
		"cancelled in a block":    append(begin, &PayoutMined{Number: 1, Height: 1}, &PayoutCancelled{Number: 1}),
	} {
		if err := New(SystemID).Apply(&Record{User: SystemID, Seq: 1, At: start, Events: events}); !errors.Is(err, ErrApply) {
			t.Errorf("%s: %v, want ErrApply", name, err)
		}
	}
	for name, events := range map[string][]Event{
		"a payout of a user":          {&PayoutExported{one}},
		"a claim of what is no sale":  {&SaleClaimed{N: 1, Payout: 1}},
		"a claim by no payout":        {&SaleClaimed{N: 1}},
		"freeing what is not claimed": {&SaleFreed{N: 1}},
		"a refund that is not due":    {&RefundSettled{N: 1, Out: outA, BTC: 1}},
	} {
		a, _ := quoted(t)
		if err := a.Apply(&Record{User: a.ID, Seq: a.Seq + 1, At: start, Events: events}); !errors.Is(err, ErrApply) {
			t.Errorf("%s: %v, want ErrApply", name, err)
		}
	}
}
