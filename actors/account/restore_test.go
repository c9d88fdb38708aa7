package account

import (
	"errors"
	"slices"
	"testing"
)

// backupTaken is a restore that skips what a test can count.
var backupTaken = Restore{Copy: CopyID{1}, Transactions: 1000, Notices: 2000, Payouts: 300, TOTPStep: 9}

// restoredAccount has lived through two restores with transactions between, before and after.
func restoredAccount(t testing.TB) *Account {
	t.Helper()
	a := opened(t, 5*Unit)
	keyed(t, a, &Deposit{Amount: Unit}, &Idempotency{Key: Key{1}}, start)
	do(t, a, &TakeOverRestores{Number: 1, Transactions: 1000, Notices: 2000, TOTPStep: 9}, start+1)
	keyed(t, a, &Deposit{Amount: Unit}, &Idempotency{Key: Key{2}}, start+2)
	do(t, a, &TakeOverRestores{Number: 3, Transactions: 500, Notices: 2000, TOTPStep: 9}, start+3)
	do(t, a, &TakeOverRestores{Number: 4, Transactions: 500}, start+4)
	do(t, a, login(3, start), start+5)
	keyed(t, a, &Deposit{Amount: Unit}, &Idempotency{Key: Key{3}}, start+6)
	return a
}

// restoredSystem has payouts before and after a restore, and unassigned outputs.
func restoredSystem(t testing.TB) *Account {
	t.Helper()
	a := New(SystemID)
	do(t, a, &AdvanceChain{Blocks: Trail{First: 7, Hashes: []ChainHash{{1}, {2}}, Time: start}}, start)
	do(t, a, &ExportPayout{goldenPayout}, start)
	do(t, a, &RestoreLog{Restore: backupTaken, Range: IndexRange{40, 10_040}}, start+1)
	second := goldenPayout
	second.TxID, second.Coins, second.Sales = ChainHash{9}, []PayoutCoin{{Out: outB, BTC: 1}}, []TransactionID{{testUser, 9}}
	do(t, a, &ExportPayout{second}, start+4)
	do(t, a, &MoveUnassigned{Out: outA, Index: 41, Address: "bc1q", BTC: 120}, start+5)
	do(t, a, &MoveUnassigned{Out: outA, Index: 41, Address: "bc1q", BTC: 120, Height: 9, Block: ChainHash{3}}, start+6)
	do(t, a, &MoveUnassigned{Out: outB, Index: 42, BTC: 130, Height: 9, Block: ChainHash{3}}, start+6)
	do(t, a, &SettleUnassigned{Out: outA, TxHash: "ab", By: "ops", Reason: "Zoë asked for it"}, start+7)
	do(t, a, &SkipIndexes{Range: IndexRange{20_000, 30_000}}, start+8)
	return a
}

func someRestored() *Restored {
	return &Restored{List: []Restore{backupTaken}, Ranges: []IndexRange{{1, 3}}, Outputs: []*UnassignedOutput{{Height: 1}}}
}

// restoredChanges each change one thing of someRestored, or of what an account skips.
func restoredChanges() map[string]func(*Account) {
	output := func(alter func(o *UnassignedOutput)) func(*Account) {
		return func(a *Account) { alter(a.Restored.Outputs[0]) }
	}
	restore := func(alter func(r *Restore)) func(*Account) {
		return func(a *Account) { alter(&a.Restored.List[0]) }
	}
	return map[string]func(*Account){
		"restored":             func(*Account) {},
		"restores":             func(a *Account) { a.Restores++ },
		"skipped numbers":      func(a *Account) { a.History.skip(1) },
		"more skipped numbers": func(a *Account) { a.History.skip(2) },
		"restored copy":        restore(func(r *Restore) { r.Copy[1]++ }),
		"restored at":          restore(func(r *Restore) { r.At++ }),
		"skipped transactions": restore(func(r *Restore) { r.Transactions++ }),
		"skipped notices":      restore(func(r *Restore) { r.Notices++ }),
		"skipped payouts":      restore(func(r *Restore) { r.Payouts++ }),
		"skipped step":         restore(func(r *Restore) { r.TOTPStep++ }),
		"second restore":       func(a *Account) { a.Restored.List = append(a.Restored.List, backupTaken) },
		"first index":          func(a *Account) { a.Restored.Ranges[0].From++ },
		"next index":           func(a *Account) { a.Restored.Ranges[0].To++ },
		"payout numbers":       func(a *Account) { a.Restored.payouts = a.Restored.payouts.skip(0, 1) },
		"unassigned out":       output(func(o *UnassignedOutput) { o.Out.Index++ }),
		"unassigned index":     output(func(o *UnassignedOutput) { o.Index++ }),
		"unassigned address":   output(func(o *UnassignedOutput) { o.Address = "x" }),
		"unassigned btc":       output(func(o *UnassignedOutput) { o.BTC++ }),
		"unassigned at":        output(func(o *UnassignedOutput) { o.At++ }),
		"unassigned height":    output(func(o *UnassignedOutput) { o.Height++ }),
		"unassigned block":     output(func(o *UnassignedOutput) { o.Block[0]++ }),
		"unassigned gone":      output(func(o *UnassignedOutput) { o.Gone = true }),
		"unassigned settled":   output(func(o *UnassignedOutput) { o.SettledAt++ }),
		"unassigned tx":        output(func(o *UnassignedOutput) { o.TxHash = "x" }),
		"unassigned by":        output(func(o *UnassignedOutput) { o.By = "x" }),
		"unassigned reason":    output(func(o *UnassignedOutput) { o.Reason = "x" }),
	}
}

func TestARestoredAccountGivesNoNumberOutAgain(t *testing.T) {
	a := restoredAccount(t)
	var numbers []uint32
	for n := range a.History.Backward(0, 1<<32-1, 0, 0) {
		numbers = append(numbers, n)
	}
	if want := []uint32{2004, 1003, 2, 1}; !slices.Equal(numbers, want) {
		t.Errorf("the transactions are %d, want %d", numbers, want)
	}
	for n, key := range map[uint32]Key{2: {1}, 1003: {2}, 2004: {3}} {
		if d := keyed(t, a, &Deposit{Amount: Unit}, &Idempotency{Key: key}, start+9); !d.Replayed || d.N != n {
			t.Errorf("key %d answers with %+v, want transaction %d", key[0], d, n)
		}
	}
	told(t, a, &ChangeProfile{Username: "zoë"}, start+9)
	if n := a.Outbox.Notices[0].N; n != 4001 || a.Outbox.Lost != 0 {
		t.Errorf("the first notice has number %d, %d are lost; want 4001 and none", n, a.Outbox.Lost)
	}
}

func TestWhatMayHaveEndedSinceABackupDoesNotLiveAgain(t *testing.T) {
	a := recovering(t)
	do(t, a, login(7, start), a.UpdatedAt)
	step := a.Factors.TOTP.Step
	do(t, a, &TakeOverRestores{Number: 1, Transactions: 1, Notices: 1, TOTPStep: step + 5}, a.UpdatedAt+1)
	if len(a.Sessions) != 0 || a.Contact.Recovery != nil || a.Contact.CodeFor != "" || a.Factors.TOTP.Step != step+5 || len(a.Factors.Elevated) != 0 {
		t.Errorf("%d sessions, contact %+v, factors %+v", len(a.Sessions), a.Contact, a.Factors)
	}
	if d, err := a.Decide(&TakeOverRestores{Number: 1, Transactions: 1}, nil, a.UpdatedAt); err != nil || len(d.Record.Events) != 0 {
		t.Errorf("a second time: %+v, %v", d, err)
	}
}

func TestALogIsRestoredOnceForEachCopy(t *testing.T) {
	a := restoredSystem(t)
	again, err := a.Decide(&RestoreLog{Restore: backupTaken, Range: IndexRange{30_000, 40_000}}, nil, start+9)
	if err != nil || len(again.Record.Events) != 0 || a.Restores != 1 {
		t.Errorf("the same copy again: %+v, %v, after %d restores", again, err, a.Restores)
	}
	first, second := a.Payouts.List[0].Number, a.Payouts.List[1].Number
	if first != 1 || second != 302 || a.NextPayout() != 303 {
		t.Errorf("payouts %d and %d, and %d is next; want 1, 302 and 303", first, second, a.NextPayout())
	}
	if p, ok := a.Payouts.At(302); !ok || p != a.Payouts.List[1] {
		t.Errorf("payout 302 is %+v, %t", p, ok)
	}
	other := backupTaken
	other.Copy = CopyID{2}
	do(t, a, &RestoreLog{Restore: other, Range: IndexRange{30_000, 40_000}}, start+9)
	if sum := a.Restored.Since(0); a.Restores != 2 || sum.Transactions != 2000 || sum.Notices != 4000 || a.Restored.NextIndex() != 40_000 || a.NextPayout() != 603 {
		t.Errorf("after two restores: %d, %+v, index %d, payout %d", a.Restores, sum, a.Restored.NextIndex(), a.NextPayout())
	}
	if sum := a.Restored.Since(1); sum.Transactions != 1000 {
		t.Errorf("the second restore skips %+v", sum)
	}
}

func TestAnUnassignedOutputFollowsTheChainAndIsSettledOnce(t *testing.T) {
	a := restoredSystem(t)
	move := func(height int32, block byte, gone bool) *UnassignedOutput {
		c := &MoveUnassigned{Out: outB, Index: 42, BTC: 130, Height: height, Gone: gone}
		if height > 0 {
			c.Block = ChainHash{block}
		}
		do(t, a, c, start+9)
		return a.Restored.Outputs[a.Restored.Unassigned(outB)]
	}
	for _, step := range []struct {
		height int32
		block  byte
		gone   bool
		want   int32
		isGone bool
	}{
		{0, 0, false, 9, false}, // a mempool has it as well
		{9, 4, true, 9, false},  // out of a block that it is not in
		{9, 3, true, 0, true},
		{9, 3, true, 0, true},
		{0, 0, false, 0, false},
		{10, 5, false, 10, false},
		{11, 6, false, 11, false}, // another branch, whose removal comes later
		{10, 5, true, 11, false},
	} {
		if o := move(step.height, step.block, step.gone); o.Height != step.want || o.Gone != step.isGone {
			t.Fatalf("after %+v the output is %+v", step, o)
		}
	}
	settle := &SettleUnassigned{Out: outB, By: "ops", Reason: "r"}
	do(t, a, settle, start+10)
	if d, err := a.Decide(settle, nil, start+11); err != nil || len(d.Record.Events) != 0 {
		t.Errorf("said again: %+v, %v", d, err)
	}
	if _, err := a.Decide(&SettleUnassigned{Out: outB, By: "other", Reason: "r"}, nil, start+11); !isCode(err, CodeNoChange) {
		t.Errorf("settled twice: %v", err)
	}
	if _, err := a.Decide(&SettleUnassigned{Out: Outpoint{Index: 9}, By: "ops"}, nil, start+11); !isCode(err, CodeNotFound) {
		t.Errorf("an output that is not there: %v", err)
	}
}

func isCode(err error, code Code) bool {
	var refused *Error
	return errors.As(err, &refused) && refused.Code == code
}

func TestEventsOfARestoreThatDoNotFollowAreRefused(t *testing.T) {
	one := &LogRestored{Number: 1, Copy: CopyID{1}}
	for what, events := range map[string][]Event{
		"a restore out of order":      {&Created{}, &LogRestored{Number: 2}},
		"a range that is empty":       {&Created{}, one, &IndexesSkipped{5, 5}},
		"a range within another":      {&Created{}, one, &IndexesSkipped{5, 9}, &IndexesSkipped{8, 12}},
		"an account's restore":        {&Created{}, one, &AccountRestored{Number: 2}},
		"an unknown output gone":      {&Created{}, one, &UnassignedOutputMoved{Out: outA, Gone: true}},
		"an unknown output settled":   {&Created{}, one, &UnassignedOutputSettled{Out: outA, By: "ops"}},
		"an output settled by nobody": {&Created{}, one, &UnassignedOutputMoved{Out: outA}, &UnassignedOutputSettled{Out: outA}},
	} {
		if err := New(SystemID).Apply(&Record{User: SystemID, Seq: 1, At: start, Events: events}); !errors.Is(err, ErrApply) {
			t.Errorf("%s: %v, want ErrApply", what, err)
		}
	}
	for what, event := range map[string]Event{
		"a log's restore": one, "skipped addresses": &IndexesSkipped{1, 2}, "an unassigned output": &UnassignedOutputMoved{Out: outA},
		"a restore it has taken over": &AccountRestored{},
	} {
		a := opened(t, 5)
		if err := a.Apply(&Record{User: testUser, Seq: a.Seq + 1, At: a.UpdatedAt, Events: []Event{event}}); !errors.Is(err, ErrApply) {
			t.Errorf("%s of a user: %v, want ErrApply", what, err)
		}
	}
}

// Numbers that would leave their range are not skipped: the account is full then.
func TestSkippingBeyondTheLastNumberFillsTheAccount(t *testing.T) {
	a := opened(t, 5)
	do(t, a, &TakeOverRestores{Number: 1, Transactions: 1<<32 - 1}, start)
	refused(t, a, &Deposit{Amount: 1}, nil, start, CodeHistoryFull)
	if n := a.History.Last(); n != 1 {
		t.Errorf("the last transaction is %d", n)
	}
	state, err := DecodeState(a.AppendState(nil))
	if err != nil || state.History.used() != MaxHistory {
		t.Errorf("%v", err)
	}
}
