package account

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// replacement is what a signer made of goldenPayout: it pays the same with less change.
var replacement = PayoutTx{
	ID: ChainHash{0: 0xee}, Payout: 1, Spends: []Outpoint{goldenPayout.Coins[0].Out, goldenPayout.Coins[1].Out},
	Pays:   []PaidSale{{goldenPayout.Sales[0], 0}, {goldenPayout.Sales[1], 1}},
	Change: []PayoutCoin{{Out: Outpoint{ChainHash{0: 0xee}, 2}, BTC: 300, Change: true, Index: 299}}, Fee: 1600,
}

// replaced returns the system account with a payout that was signed, and replaced.
func replaced(t testing.TB) *Account {
	t.Helper()
	a := New(SystemID)
	do(t, a, &ExportPayout{goldenPayout}, start)
	do(t, a, &SignPayout{Number: 1, Tx: []byte{1}}, start+1)
	do(t, a, &ReplacePayout{Number: 1, TxID: replacement.ID, Raw: []byte{2}, Tx: &replacement, By: "ops"}, start+2)
	return a
}

func TestAReplacementIsThePayout(t *testing.T) {
	a := replaced(t)
	isPayout(t, a, 1, PayoutIsSigned)
	p, _ := a.Payouts.At(1)
	if p.SentTx() != replacement.ID || !bytes.Equal(p.Tx, []byte{2}) {
		t.Fatalf("%s is sent: %x", p.SentTx(), p.Tx)
	}
	do(t, a, &ReplacePayout{Number: 1, TxID: replacement.ID, Raw: []byte{3}, Tx: &replacement, By: "ops"}, start+2) // again
	do(t, a, &RecordPayoutTx{Tx: replacement}, start+2)                                                             // and seen
	if len(a.PayoutTxs.List) != 1 {
		t.Fatalf("%d transactions are known", len(a.PayoutTxs.List))
	}
	refused(t, a, &ConfirmPayoutTx{TxID: replacement.ID}, nil, start, CodePayoutState)
	mine := &MinePayout{TxID: replacement.ID, Height: 5, Block: ChainHash{5}}
	do(t, a, mine, start+3)
	isPayout(t, a, 1, PayoutIsMined)
	do(t, a, &UnminePayout{TxID: goldenPayout.TxID, Height: 5, Block: ChainHash{5}}, start+3) // which is in no block
	isPayout(t, a, 1, PayoutIsMined)
	do(t, a, &UnminePayout{TxID: replacement.ID, Height: 5, Block: ChainHash{5}}, start+3)
	isPayout(t, a, 1, PayoutIsSigned)
	do(t, a, mine, start+3)
	refused(t, a, &ConfirmPayout{Number: 1}, nil, start, CodePayoutState)
	do(t, a, &ConfirmPayoutTx{TxID: replacement.ID}, start+4)
	isPayout(t, a, 1, PayoutIsConfirmed)
	p, _ = a.Payouts.At(1)
	if p.MinedTx() != replacement.ID || p.Tx != nil || p.Unsigned != nil {
		t.Errorf("the payout is %+v", p)
	}
	refused(t, a, &ReplacePayout{Number: 1, TxID: ChainHash{7}, Raw: []byte{2}, Tx: &replacement, By: "ops"}, nil, start, CodePayoutState)
	refused(t, a, &ConfirmPayoutTx{TxID: ChainHash{7}}, nil, start, CodeNotFound)
}

func TestWhatAConfirmedTransactionSpendsNoOtherOneCan(t *testing.T) {
	a := replaced(t)
	sale := goldenPayout.Sales[0]
	index := func() *PayoutIndex { return IndexPayouts(&a.State) }
	if n := len(index().MayPay(sale)); n != 2 {
		t.Fatalf("%d transactions may pay the sale, want the exported one and its replacement", n)
	}
	do(t, a, &MinePayout{TxID: replacement.ID, Height: 5, Block: ChainHash{5}}, start+3)
	if n := len(index().MayPay(sale)); n != 2 {
		t.Fatalf("%d transactions may pay the sale before one is confirmed", n)
	}
	do(t, a, &ConfirmPayoutTx{TxID: replacement.ID}, start+4)
	if living := index().MayPay(sale); len(living) != 1 || living[0].ID != replacement.ID {
		t.Fatalf("%+v may pay the sale", living)
	}
	// A reorganisation takes back even that.
	do(t, a, &UnminePayout{TxID: replacement.ID, Height: 5, Block: ChainHash{5}}, start+5)
	isPayout(t, a, 1, PayoutIsConfirmed)
	if n := len(index().MayPay(sale)); n != 2 {
		t.Fatalf("%d transactions may pay the sale after a reorganisation", n)
	}
}

func TestWhatAReplacementLeavesOutIsFreeForTheNextPayout(t *testing.T) {
	a := exported(t)
	part := replacement
	part.Spends, part.Pays = replacement.Spends[:1], replacement.Pays[:1]
	do(t, a, &RecordPayoutTx{Tx: part}, start)
	do(t, a, &MinePayout{TxID: part.ID, Height: 5, Block: ChainHash{5}}, start)
	next := goldenPayout
	next.TxID, next.Sales, next.Coins = ChainHash{8}, goldenPayout.Sales[1:], goldenPayout.Coins[1:]
	refused(t, a, &ExportPayout{next}, nil, start, CodePayoutState)
	do(t, a, &ConfirmPayoutTx{TxID: part.ID}, start)
	paid := next
	paid.Sales = goldenPayout.Sales
	refused(t, a, &ExportPayout{paid}, nil, start, CodeInPayout)
	do(t, a, &ExportPayout{next}, start)
	isPayout(t, a, 1, PayoutIsConfirmed)
	isPayout(t, a, 2, PayoutIsExported)
}

func TestWhatSpentACancelledPayoutIsTakenBack(t *testing.T) {
	a := exported(t)
	stranger := PayoutTx{ID: ChainHash{9}, Spends: []Outpoint{goldenPayout.Coins[1].Out}}
	do(t, a, &RecordPayoutTx{Tx: stranger}, start)
	do(t, a, &MinePayout{TxID: stranger.ID, Height: 5, Block: ChainHash{5}}, start)
	do(t, a, &ConfirmPayoutTx{TxID: stranger.ID}, start)
	p, _ := a.Payouts.At(1)
	if tx := IndexPayouts(&a.State).TakenBy(p); tx == nil || tx.ID != stranger.ID {
		t.Fatalf("the payout is taken by %+v", tx)
	}
	cancel := &CancelPayout{Number: 1, SpentBy: stranger.ID, By: "ops", Reason: "r"}
	do(t, a, cancel, start)
	do(t, a, cancel, start) // again
	isPayout(t, a, 1, PayoutIsCancelled)
	do(t, a, &UnminePayout{TxID: stranger.ID, Height: 5, Block: ChainHash{5}}, start)
	do(t, a, &UnspendPayout{Number: 1}, start)
	do(t, a, &UnspendPayout{Number: 1}, start) // again
	if p, _ := a.Payouts.At(1); p.SpentBy != (ChainHash{}) || len(IndexPayouts(&a.State).MayPay(p.Sales[0])) != 1 {
		t.Errorf("the payout is %+v", p)
	}
	// What an operator proved, and nobody follows, counts.
	do(t, a, &CancelPayout{Number: 1, SpentBy: ChainHash{0: 0xcc}, By: "ops", Reason: "r"}, start)
	if living := IndexPayouts(&a.State).MayPay(goldenPayout.Sales[0]); len(living) != 0 {
		t.Errorf("%+v may pay a sale of a payout whose coin is gone", living)
	}
}

func TestAPayoutOfTheChainIsAdoptedOnce(t *testing.T) {
	a := New(SystemID)
	adopt := &AdoptPayout{Payout: goldenPayout, Tx: replacement, Raw: []byte{1}}
	adopt.Payout.TxID, adopt.Payout.By = replacement.ID, "chain"
	do(t, a, adopt, start)
	do(t, a, adopt, start)
	isPayout(t, a, 1, PayoutIsSigned)
	if n := len(IndexPayouts(&a.State).All()); n != 1 {
		t.Errorf("%d transactions are known", n)
	}
	refused(t, opened(t, 1), adopt, nil, start, CodeNotFound)
	refused(t, opened(t, 1), &RecordPayoutTx{Tx: replacement}, nil, start, CodeNotFound)
}

func TestEventsOfTransactionsThatDoNotFollowAreRefused(t *testing.T) {
	one := goldenPayout
	one.Number = 1
	begin := []Event{&Created{}, &PayoutExported{one}}
	seen := append(begin[:2:2], &PayoutTxSeen{replacement})
	for name, events := range map[string][]Event{
		"seen twice":                     append(seen[:3:3], &PayoutTxSeen{replacement}),
		"of no payout":                   {&Created{}, &PayoutTxSeen{replacement}},
		"unknown and in a block":         append(begin[:2:2], &PayoutTxMined{TxID: replacement.ID, Height: 1}),
		"a block at no height":           append(seen[:3:3], &PayoutTxMined{TxID: replacement.ID}),
		"out of no block":                append(seen[:3:3], &PayoutTxUnmined{TxID: replacement.ID, Height: 1}),
		"confirmed in no block":          append(seen[:3:3], &PayoutTxConfirmed{TxID: replacement.ID}),
		"replaced by what is not known":  append(begin[:2:2], &PayoutReplaced{Number: 1, TxID: replacement.ID, Tx: []byte{1}}),
		"replaced by nothing":            append(seen[:3:3], &PayoutReplaced{Number: 1, TxID: replacement.ID}),
		"taken back and spent by nobody": append(begin[:2:2], &PayoutUnspent{Number: 1}),
	} {
		if err := New(SystemID).Apply(&Record{User: SystemID, Seq: 1, At: start, Events: events}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestThePayoutsOfAnySystemAccountFollow gives it any commands in any order: whatever it
// accepts applies, is read as it was written, and leaves no coin to two confirmed
// transactions that know of each other.
func TestThePayoutsOfAnySystemAccountFollow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := New(SystemID)
		coin := func(i int) Outpoint { return Outpoint{ChainHash{byte(i)}, 0} }
		draw := func(name string, most int) int { return rapid.IntRange(1, most).Draw(t, name) }
		payout := func() Payout {
			return Payout{
				Sales: []TransactionID{{testUser, uint32(draw("sale", 4))}}, Coins: []PayoutCoin{{Out: coin(draw("coin", 4)), BTC: 10}},
				TxID: ChainHash{byte(draw("txid", 4)), 1}, Unsigned: []byte{1}, By: "ops",
			}
		}
		tx := func() PayoutTx {
			return PayoutTx{
				ID: ChainHash{byte(draw("id", 4)), 2}, Payout: uint32(rapid.IntRange(0, 3).Draw(t, "payout")),
				Spends: []Outpoint{coin(draw("coin", 4))}, Pays: []PaidSale{{TransactionID{testUser, uint32(draw("sale", 4))}, 0}},
			}
		}
		id := func() ChainHash { return ChainHash{byte(draw("id", 4)), byte(draw("kind", 2))} }
		block := func() (int32, ChainHash) { h := draw("height", 3); return int32(h), ChainHash{byte(h)} }
		for range 40 {
			var c Command
			number := uint32(draw("number", 3))
			switch draw("command", 11) {
			case 1:
				c = &ExportPayout{payout()}
			case 2:
				c = &SignPayout{Number: number, Tx: []byte{1}, By: "ops"}
			case 3, 4:
				height, hash := block()
				c = &MinePayout{TxID: id(), Height: height, Block: hash}
			case 5:
				height, hash := block()
				c = &UnminePayout{TxID: id(), Height: height, Block: hash}
			case 6:
				c = &ConfirmPayout{Number: number}
			case 7:
				c = &CancelPayout{Number: number, SpentBy: rapid.SampledFrom([]ChainHash{{}, {9}}).Draw(t, "by"), By: "ops", Reason: "r"}
			case 8:
				c = &RecordPayoutTx{Tx: tx()}
			case 9:
				c = &AdoptPayout{Payout: payout(), Tx: tx(), Raw: []byte{1}}
			case 10:
				known := tx()
				c = &ReplacePayout{Number: number, TxID: known.ID, Raw: []byte{byte(draw("raw", 2))}, Tx: &known, By: "ops"}
			case 11:
				if rapid.Bool().Draw(t, "unspend") {
					c = &UnspendPayout{Number: number}
				} else {
					c = &ConfirmPayoutTx{TxID: id()}
				}
			}
			d, err := a.Decide(c, nil, start)
			if err != nil {
				continue
			}
			if len(d.Record.Events) > 0 {
				apply(t, a, reread(t, &d.Record))
			}
			if a.Seq == 0 {
				continue
			}
			written := a.AppendState(nil)
			state, err := DecodeState(written)
			if err != nil || !bytes.Equal(state.AppendState(nil), written) {
				t.Fatalf("after %T the state is read with %v", c, err)
			}
			index := IndexPayouts(state)
			for _, tx := range index.All() {
				if tx.Confirmed && tx.Height == 0 {
					t.Fatalf("%+v is confirmed in no block", tx)
				}
				if !index.IsLiving(tx) && tx.Confirmed {
					t.Fatalf("%+v is confirmed and dead", tx)
				}
			}
		}
	})
}
