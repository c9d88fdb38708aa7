package account

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// goldenStates returns the state of every golden file by name. What they are as
// bytes is what snapshots hold for ever.
func goldenStates(t testing.TB) map[string]*State {
	t.Helper()
	states := map[string]*State{}
	a := New(testUser)
	for _, r := range goldenHistory() {
		apply(t, a, r)
	}
	states["history"] = &a.State

	a = New(testUser)
	do(t, a, login(1, start), start)
	states["opened"] = &a.State

	a = opened(t, 1000*Unit)
	for n := range 3*chunkSize + 10 {
		now := start + Time(n)*1e6
		switch idem := (&Idempotency{Key: numberedKey(n), Fingerprint: Fingerprint{byte(n)}}); n % 4 {
		case 0:
			keyed(t, a, &Deposit{Amount: Unit}, idem, now)
		case 1:
			keyed(t, a, &Withdraw{Amount: Unit, Fee: 1, To: "aitbc_00112233445566778899aabbccddeeff"}, idem, now)
		case 2:
			keyed(t, a, &CreatePayment{Amount: Unit, BTC: 100, BTCFee: 1, Address: "bc1q", Lifetime: 1e9, Notes: strings.Repeat("n", 200)}, idem, now)
		case 3:
			do(t, a, &Complete{N: a.History.Last(), TxHash: strings.Repeat("4a5e1e4baab89f3a", 4), Confirmations: 6, By: "chain"}, now)
		}
	}
	states["chunks"] = &a.State

	a = New(testUser)
	do(t, a, login(1, start), start)
	do(t, a, login(2, start), start+1)
	do(t, a, &UseSession{Session: session(1), Every: 300e6}, start+300e6)
	states["used"] = &a.State // not in state_v1

	a = opened(t, 5*Unit)
	n := do(t, a, &CreatePayment{Amount: Unit, BTC: 100, Address: "bc1q", Derived: true, Index: 3, Lifetime: 1e9}, start)
	do(t, a, &ConfirmOutput{N: n, Out: outA, BTC: 120, Height: 5, Block: ChainHash{5}, At: start}, start)
	do(t, a, &SeeOutput{N: n, Out: outB, BTC: 1, At: start + 1}, start+2)
	do(t, a, &SettlePayment{N: n, Due: Unit, Outs: []Outpoint{outA}}, start+2)
	do(t, a, &QueueRefund{N: n, Out: outA, BTC: 20}, start+2)
	do(t, a, &RemoveOutput{N: n, Out: outA, Height: 5, Block: ChainHash{5}}, start+3)
	do(t, a, &SettlePayment{N: n}, start+3)
	states["received"] = &a.State

	a = opened(t, 5*Unit)
	terms := PaymentTerms{Confirmations: 3, TolerancePPM: 5000, Underpaid: RuleProportion, Late: RuleProportion}
	n = do(t, a, &CreatePayment{Amount: Unit, BTC: 100, Address: "bc1q", Derived: true, Index: 3, Lifetime: 1e9, Terms: terms}, start)
	do(t, a, &ConfirmOutput{N: n, Out: outA, BTC: 70, Height: 5, Block: ChainHash{5}, At: start}, start)
	do(t, a, &SeeOutput{N: n, Out: outB, BTC: 1, At: start + 1}, start+2)
	do(t, a, &SettlePayment{N: n, Due: Unit / 2, Outs: []Outpoint{outA}, Surplus: 20, SurplusOf: outA}, start+2)
	do(t, a, &RemoveOutput{N: n, Out: outA, Height: 5, Block: ChainHash{5}}, start+3)
	do(t, a, &SettlePayment{N: n}, start+3)
	do(t, a, &LiftFreeze{N: n, By: "ops", Reason: "not the payer's fault"}, start+4)
	states["answered"] = &a.State

	a = opened(t, 5*Unit)
	do(t, a, &AddAddress{Kind: AddressAITBC, Label: "an old one", Address: "aitbc_00", CoolingOff: time.Hour}, start)
	do(t, a, &AddAddress{Kind: AddressBitcoin, Label: "Zoë", Address: "bc1q", CoolingOff: time.Hour}, start+1)
	do(t, a, &RemoveAddress{N: 1}, start+2)
	do(t, a, &ApproveWithdrawal{N: do(t, a, &Sell{Amount: Unit, BTC: 19, BTCFee: 1, Address: "bc1q"}, start+3), By: "anna", Reason: "called back"}, start+4)
	states["addressbook"] = &a.State

	a = New(SystemID)
	do(t, a, &AdvanceChain{Blocks: Trail{First: 7, Hashes: []ChainHash{{1}, {2}}, Time: start}}, start)
	states["system"] = &a.State

	a = New(SystemID)
	do(t, a, &SetIdentity{Mode: RealMode}, start)
	do(t, a, identityOf(1), start+1)
	do(t, a, &MoveKey{Key: ExtendedKey{Fingerprint: KeyFingerprint{2}, Text: "[73c5da0a/84h/1h/1h]vpub2", External: 300}, By: "ops"}, start+2)
	states["identity"] = &a.State

	a = opened(t, 0)
	do(t, a, &EnrolTOTP{Rotation: rotation(0, 1), Secret: sealed(1), Step: 7, Recovery: []RecoveryCode{recoveryCode(1), recoveryCode(2)}}, start+1)
	do(t, a, &AddPasskey{Rotation: rotation(1, 2), ID: []byte{0xa1}, Name: "Zoë's key", Record: []byte{1, 5}, Count: 3}, start+2)
	do(t, a, &StepUpByPasskey{Rotation: rotation(2, 3), ID: []byte{0xa1}, Record: []byte{1, 6}, Count: 4}, start+3)
	do(t, a, &StepUpByRecovery{Rotation: rotation(3, 4), Code: recoveryCode(1).Hash}, start+4)
	do(t, a, &StepUpByTOTP{Rotation: rotation(4, 5), Secret: sealed(1), Step: 9}, start+5)
	states["factors"] = &a.State
	a = New(testUser)
	do(t, a, login(1, start), start)
	for n := range 5 {
		told(t, a, &ChangeProfile{Username: fmt.Sprint("u", n)}, start+Time(n))
	}
	do(t, a, &SettleNotice{N: 1, State: NoticeDelivered, Attempts: 1}, start+9)
	do(t, a, &SettleNotice{N: 2, State: NoticeFailed, Attempts: 400, Problem: "503"}, start+10)
	do(t, a, &SettleNotice{N: 3, State: NoticeDelivered, Attempts: 2}, start+11)
	do(t, a, &ReplayNotice{N: 3, By: "ops"}, start+12)
	states["outbox"] = &a.State

	a = New(testUser)
	do(t, a, login(1, start), start)
	do(t, a, &ChangeProfile{Email: "zoë@example.org"}, start)
	do(t, a, &SendEmailCode{Code: session(1), Lifetime: time.Hour}, start)
	do(t, a, &ConfirmEmail{Code: session(1)}, start+1)
	states["verified"] = &a.State

	a = New(testUser)
	do(t, a, login(1, start), start)
	do(t, a, &ChangeProfile{Email: "zoë@example.org"}, start)
	do(t, a, &SendEmailCode{Code: session(1), Lifetime: time.Hour}, start)
	do(t, a, &ConfirmEmail{Code: session(2)}, start+1)
	do(t, a, &SendEmailCode{Code: session(1), Lifetime: time.Hour}, start.Add(EmailCodePause))
	do(t, a, &ConfirmEmail{Code: session(2)}, start.Add(EmailCodePause))
	states["unverified"] = &a.State

	a = New(SystemID)
	do(t, a, &ExportPayout{goldenPayout}, start)
	do(t, a, &SignPayout{Number: 1, Tx: []byte{2, 0, 0, 0, 1}}, start+1)
	do(t, a, &MinePayout{TxID: goldenPayout.TxID, Height: 7, Block: ChainHash{2}}, start+2)
	do(t, a, &ConfirmPayout{Number: 1}, start+3)
	second := goldenPayout
	second.TxID, second.Coins, second.Sales = ChainHash{9}, []PayoutCoin{{Out: outB, BTC: 1}}, []TransactionID{{testUser, 9}}
	do(t, a, &ExportPayout{second}, start+4)
	do(t, a, &CancelPayout{Number: 2, By: "ops", Reason: "no signer"}, start+5)
	states["payouts"] = &a.State

	a = replaced(t)
	do(t, a, &MinePayout{TxID: replacement.ID, Height: 7, Block: ChainHash{2}}, start+3)
	states["replaced"] = &a.State

	a = opened(t, 5*Unit)
	n = do(t, a, &CreatePayment{Amount: Unit, BTC: 100, Address: "bc1q", Lifetime: 1e9}, start)
	do(t, a, &SeeOutput{N: n, Out: outA, BTC: 120, At: start}, start)
	do(t, a, &QueueRefund{N: n, Out: outA, BTC: 20}, start)
	do(t, a, &SettleRefund{N: n, Out: outA, TxHash: "ab", By: "ops", Reason: "sent back"}, start+1)
	n = do(t, a, &Sell{Amount: Unit, BTC: 100, Address: "bc1q"}, start+1)
	do(t, a, &ClaimSale{N: n, Payout: 300}, start+1)
	states["outgoing"] = &a.State

	a = recovering(t)
	do(t, a, &RemindRecovery{}, start.Add(ReminderInterval))
	states["recovering"] = &a.State

	states["restored"] = &restoredAccount(t).State
	states["restored_system"] = &restoredSystem(t).State
	return states
}

// newInVersionTwo are those that state_v1 has not.
var newInVersionTwo = map[string]bool{"answered": true, "used": true, "received": true, "system": true, "payouts": true, "replaced": true, "outgoing": true, "factors": true, "addressbook": true, "outbox": true, "verified": true, "unverified": true, "recovering": true, "restored": true, "restored_system": true, "identity": true}

// withParts are those that are written in version 4.
var withParts = map[string]bool{"system": true, "payouts": true, "replaced": true, "outgoing": true, "factors": true, "addressbook": true, "outbox": true, "verified": true, "unverified": true, "recovering": true, "restored": true, "restored_system": true, "identity": true}

// goldenState is a golden file of the version that is written.
func goldenState(t testing.TB, name string) []byte {
	t.Helper()
	return goldenStateOf(t, writtenAs(name), name)
}

// writtenAs is the directory of a golden file of the version that is written.
func writtenAs(name string) string {
	if withParts[name] {
		return "state_v4"
	}
	return "state_v2"
}

func goldenStateOf(t testing.TB, version, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", version, name+".golden"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatalf("%s.golden: %v", name, err)
	}
	return b
}

func TestStatesAreReadAndWrittenForEver(t *testing.T) {
	for name, want := range goldenStates(t) {
		t.Run(name, func(t *testing.T) {
			if *update {
				path := filepath.Join("testdata", writtenAs(name), name+".golden")
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, fmt.Appendf(nil, "%x\n", want.AppendState(nil)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			golden := goldenState(t, name)
			got, err := DecodeState(golden)
			if err != nil {
				t.Fatal(err)
			}
			sameState(t, got, want)
			if written := want.AppendState(nil); !bytes.Equal(written, golden) {
				t.Errorf("the state is written\n%x, want\n%x", written, golden)
			}
		})
	}
}

func TestStatesOfVersionOneAreReadForEver(t *testing.T) {
	for name, want := range goldenStates(t) {
		if newInVersionTwo[name] {
			continue
		}
		got, err := DecodeState(goldenStateOf(t, "state_v1", name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sameState(t, got, want)
	}
}

func TestTheSystemAccountOfVersionThreeIsReadForEver(t *testing.T) {
	got, err := DecodeState(goldenStateOf(t, "state_v3", "system"))
	if err != nil {
		t.Fatal(err)
	}
	sameState(t, got, goldenStates(t)["system"])
}

func TestPartsThatWouldNotBeWrittenAreRefused(t *testing.T) {
	s := goldenStates(t)["system"]
	trail := s.Trail.append(nil)
	s.Trail = nil
	factors := someFactors().append(nil)
	two := slices.Concat(binary.AppendUvarint([]byte{2}, uint64(len(factors))), factors)
	whole := s.AppendState(nil)
	whole[0] = stateVersionParts
	with := func(parts ...[]byte) []byte {
		return slices.Concat(append([][]byte{whole, {byte(len(parts))}}, parts...)...)
	}
	one := slices.Concat([]byte{1, byte(len(trail))}, trail)
	if _, err := DecodeState(with(one)); err != nil {
		t.Fatalf("a state with its trail: %v", err)
	}
	if _, err := DecodeState(with(one, two)); err != nil {
		t.Fatalf("a state with two parts: %v", err)
	}
	for what, b := range map[string][]byte{
		"none":         with(),
		"twice":        with(one, one),
		"unknown":      with([]byte{200, 1, 0}),
		"cut short":    with(one[:len(one)-1]),
		"too long":     with(slices.Concat([]byte{1, byte(len(trail) + 1)}, trail, []byte{0})),
		"bad":          with([]byte{1, 1, 0}),
		"a count of 2": slices.Concat(whole, []byte{2}, one),
		"out of order": with(two, one),
	} {
		if _, err := DecodeState(b); !errors.Is(err, ErrState) {
			t.Errorf("parts %s: %v, want ErrState", what, err)
		}
	}
}

// sameState compares what can be read of two states, field by field.
func sameState(t testing.TB, got, want *State) {
	t.Helper()
	g, w := *got, *want
	if g.History.Size() != w.History.Size() || !reflect.DeepEqual(g.History.numbers, w.History.numbers) {
		t.Fatalf("%d transactions, %+v skipped; want %d, %+v", g.History.Size(), g.History.numbers, w.History.Size(), w.History.numbers)
	}
	for n, wt := range w.History.Backward(1, w.History.Last(), 0, 0) {
		gt, _ := g.History.At(n)
		if !reflect.DeepEqual(gt, wt) {
			t.Fatalf("transaction %d is %+v, want %+v", n, gt, wt)
		}
	}
	g.History, w.History = History{}, History{}
	if len(g.Sessions) == 0 && len(w.Sessions) == 0 {
		g.Sessions, w.Sessions = nil, nil
	}
	if len(g.keys) == 0 && len(w.keys) == 0 {
		g.keys, w.keys = nil, nil
	}
	if !reflect.DeepEqual(g, w) {
		t.Fatalf("the state is\n%+v, want\n%+v", g, w)
	}
}

func TestAStateThatIsNotWholeOrNotTrueIsRefused(t *testing.T) {
	for name := range goldenStates(t) {
		b := goldenState(t, name)
		for n := 0; n < len(b); n += 1 + len(b)/500 {
			if _, err := DecodeState(b[:n]); !errors.Is(err, ErrState) {
				t.Fatalf("%s: the first %d of %d bytes give %v, want ErrState", name, n, len(b), err)
			}
		}
		if _, err := DecodeState(append(bytes.Clone(b), 0)); !errors.Is(err, ErrState) {
			t.Errorf("%s: a byte more gives %v, want ErrState", name, err)
		}
	}
	for what, alter := range map[string]func(s *State){
		"balance":   func(s *State) { s.Balance++ },
		"hold":      func(s *State) { s.Held++ },
		"no record": func(s *State) { s.Seq = 0 },
		"status":    func(s *State) { s.Status = numUserStatuses },
		"time":      func(s *State) { s.UpdatedAt = start - 1 },
		"session":   func(s *State) { s.Sessions = make([]Session, MaxSessions+1) },
		"key":       func(s *State) { s.keys = []keyUse{{n: s.History.Last() + 1}} },
		"type":      func(s *State) { s.History.replace(1, Transaction{CreatedAt: start, Amount: 1, Status: Completed}) },
		"count":     func(s *State) { s.History.n++ },
		"amount": func(s *State) {
			s.History.replace(1, Transaction{Type: TypeDeposit, Status: Completed, CreatedAt: start})
		},
		"order": func(s *State) {
			s.History.append(Transaction{Type: TypeBuy, Status: Failed, Amount: 1, CreatedAt: start - 1})
		},
		"more holds": func(s *State) {
			s.History.append(Transaction{Type: TypeSell, Status: Pending, Amount: 1, CreatedAt: start})
		},
		"future": func(s *State) {
			s.History.append(Transaction{Type: TypeBuy, Status: Failed, Amount: 1, CreatedAt: s.UpdatedAt + 1})
		},
		"another type": func(s *State) {
			s.History.replace(1, Transaction{Type: TypeDebit, Status: Completed, Amount: 5, CreatedAt: start})
		},
	} {
		s := opened(t, 5).State
		alter(&s)
		if _, err := DecodeState(s.AppendState(nil)); !errors.Is(err, ErrState) {
			t.Errorf("another %s gives %v, want ErrState", what, err)
		}
	}
}

func TestADecodedStateKeepsNothingOfItsBytes(t *testing.T) {
	b := goldenState(t, "chunks")
	s, err := DecodeState(b)
	if err != nil {
		t.Fatal(err)
	}
	before := s.StateHash()
	clear(b)
	if s.StateHash() != before {
		t.Error("the state changed with the bytes it was read from")
	}
}

// FuzzDecodeState reads any bytes. What is a state adds up, is written and read
// again as the same, and an account goes on from it; nothing panics.
func FuzzDecodeState(f *testing.F) {
	for name := range goldenStates(f) {
		f.Add(goldenState(f, name))
		if !newInVersionTwo[name] {
			f.Add(goldenStateOf(f, "state_v1", name))
		}
	}
	f.Add(goldenStateOf(f, "state_v3", "system"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeState(b)
		if err != nil {
			if !errors.Is(err, ErrState) {
				t.Fatalf("%v does not wrap ErrState", err)
			}
			return
		}
		again, err := DecodeState(s.AppendState(nil))
		if err != nil {
			t.Fatalf("what was read is written as something else: %v", err)
		}
		sameState(t, again, s)
		a := Resume(s)
		before := s.StateHash()
		record := &Record{User: a.ID, Seq: a.Seq + 1, At: a.UpdatedAt, Events: []Event{&Debited{Amount: 1, By: "ops"}}}
		if err := a.Apply(record); err != nil && !errors.Is(err, ErrApply) {
			t.Fatal(err)
		}
		if s.StateHash() != before {
			t.Fatal("an account that goes on from a state changed it")
		}
	})
}

func TestAReusedDecoderReadsWhatAFreshOneReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d Decoder
		var reused Record
		for _, r := range rapid.SliceOfN(genRecord, 1, 10).Draw(t, "records") {
			b := r.Append(nil)
			var fresh Record
			if err := fresh.Decode(b); err != nil {
				t.Fatal(err)
			}
			if err := d.Decode(&reused, b); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(reused.Append(nil), b) || len(reused.Events) != len(fresh.Events) {
				t.Fatalf("a reused decoder reads %+v, a fresh one %+v", reused, fresh)
			}
			if id, seq, err := RecordHead(b); err != nil || id != r.User || seq != r.Seq {
				t.Fatalf("the head is %s, %d, %v; want %s, %d", id, seq, err, r.User, r.Seq)
			}
		}
	})
}
