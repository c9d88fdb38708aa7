package account

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// machine gives an account random commands and keeps, in the simplest way, what
// has to be true of it.
type machine struct {
	now     Time
	live    *Account // changed by what Decide returns
	replica *Account // changed by the same records, written and read
	records []*Record
	tally   Tally
	keys    map[Key]rememberedKey
	shared  []sharedState
	logins  int
}

type rememberedKey struct {
	fingerprint Fingerprint
	at          Time
	n           uint32
}

// sharedState is a copy of the state that readers have, and what it showed them
// at first.
type sharedState struct {
	state State
	shows [32]byte
}

// rendering is all that a reader can see of s.
func rendering(s *State) [32]byte {
	b := (&Account{State: *s}).AppendState(nil)
	return sha256.Sum256(fmt.Appendf(b, "%v %v", s.Counts, s.Sessions))
}

func TestAnAccountKeepsItsRulesWhateverItIsAsked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{now: start, live: New(testUser), replica: New(testUser), keys: map[Key]rememberedKey{}}
		t.Repeat(m.actions())
		m.checkReplay(t)
	})
}

func (m *machine) actions() map[string]func(*rapid.T) {
	send := func(command func(*rapid.T) Command) func(*rapid.T) {
		return func(t *rapid.T) { m.send(t, command(t)) }
	}
	by := func(t *rapid.T) string { return rapid.SampledFrom([]string{"", "ops"}).Draw(t, "by") }
	actions := map[string]func(*rapid.T){
		"":                 m.check,
		"Login":            send(m.login),
		"Logout":           send(func(t *rapid.T) Command { return &Logout{Session: session(m.someSession(t))} }),
		"UseSession":       send(func(t *rapid.T) Command { return &UseSession{Session: session(m.someSession(t)), Every: 60e6} }),
		"EndOtherSessions": send(func(t *rapid.T) Command { return &EndOtherSessions{Session: session(m.someSession(t))} }),
		"ChangeProfile": send(func(t *rapid.T) Command {
			names := rapid.SampledFrom([]string{"", "a", "b", "zoë"})
			return &ChangeProfile{Email: names.Draw(t, "email"), Username: names.Draw(t, "username")}
		}),
		"SetStatus": send(func(t *rapid.T) Command {
			// Mostly active: the other commands are to get somewhere.
			return &SetStatus{Status: rapid.SampledFrom([]Status{Active, Active, Suspended, Inactive}).Draw(t, "status"), By: "ops", Reason: "r"}
		}),
		"Deposit":  send(func(t *rapid.T) Command { return &Deposit{Amount: amountIn(t, m.live), By: by(t)} }),
		"Credit":   send(func(t *rapid.T) Command { return &Credit{Amount: amountIn(t, m.live), By: "ops", Reason: "r"} }),
		"Debit":    send(func(t *rapid.T) Command { return &Debit{Amount: amountOut(t, m.live), By: "ops", Reason: "r"} }),
		"Withdraw": send(m.withdraw),
		"Sell": send(func(t *rapid.T) Command {
			amount := amountOut(t, m.live)
			return &Sell{Safeguards: m.safeguards(t, amount), Amount: amount, BTC: money(t), BTCFee: money(t), Address: "bc1q"}
		}),
		"AddAddress": send(func(t *rapid.T) Command {
			return &AddAddress{
				Kind: genAddressKind.Draw(t, "kind"), Label: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "label"), Address: someAddress(t),
				CoolingOff: rapid.SampledFrom([]time.Duration{0, time.Hour, 24 * time.Hour}).Draw(t, "cooling off"),
			}
		}),
		"RemoveAddress": send(func(t *rapid.T) Command {
			last := uint32(0)
			if m.live.AddressBook != nil {
				last = m.live.AddressBook.Last
			}
			return &RemoveAddress{N: rapid.Uint32Range(max(3, last)-3, last+1).Draw(t, "address")}
		}),
		"ApproveWithdrawal": send(func(t *rapid.T) Command {
			return &ApproveWithdrawal{N: m.someTransaction(t), By: rapid.SampledFrom([]string{"ops", "more"}).Draw(t, "by"), Reason: "r"}
		}),
		"CreatePayment": send(m.createPayment),
		"Complete": send(func(t *rapid.T) Command {
			return &Complete{N: m.someTransaction(t), FourEyesAbove: rapid.SampledFrom([]Money{0, 0, 1, 1000}).Draw(t, "four eyes above"), Of: m.someType(t), TxHash: "ab", Confirmations: number(t), By: by(t), Reason: "r"}
		}),
		"Fail": send(func(t *rapid.T) Command {
			return &Fail{N: m.someTransaction(t), Of: m.someType(t), By: by(t), Reason: "r"}
		}),
		"PayFromChain": m.payFromChain,
		"SettlePayment": send(func(t *rapid.T) Command {
			n := m.someTransaction(t)
			return &SettlePayment{N: n, Due: m.someDue(t, n), Outs: m.present(n)}
		}),
		"ReverseCredit": m.reverseCredit,
		"QueueRefund": send(func(t *rapid.T) Command {
			n := m.someTransaction(t)
			return &QueueRefund{N: n, Out: someOut(t), BTC: Money(rapid.Int64Range(0, 120).Draw(t, "btc")), Before: m.refunded(t, n)}
		}),
		"TakeOverRestores": m.takeOverRestores,
		"StepUp":           send(m.stepUp),
		"ChangeFactors":    send(m.changeFactors),
		"ResetFactors":     send(func(*rapid.T) Command { return &ResetFactors{By: "ops", Reason: "r"} }),
		"SettleRefund": send(func(t *rapid.T) Command {
			return &SettleRefund{N: m.someTransaction(t), Out: someOut(t), TxHash: "ab", By: "ops", Reason: "r"}
		}),
		"ClaimSale": send(func(t *rapid.T) Command {
			return &ClaimSale{N: m.someTransaction(t), Payout: rapid.Uint32Range(1, 2).Draw(t, "payout")}
		}),
		"FreeSale": send(func(t *rapid.T) Command {
			return &FreeSale{N: m.someTransaction(t), Payout: rapid.Uint32Range(1, 2).Draw(t, "payout")}
		}),
		"PaySale": send(func(t *rapid.T) Command {
			return &PaySale{N: m.someTransaction(t), Payout: rapid.Uint32Range(1, 2).Draw(t, "payout"), TxHash: "ab", Confirmations: 1}
		}),
		"LiftFreeze":    send(func(t *rapid.T) Command { return &LiftFreeze{N: m.someTransaction(t), By: "ops", Reason: "r"} }),
		"ExpirePayment": send(func(t *rapid.T) Command { return &ExpirePayment{N: m.someTransaction(t)} }),
		"SendEmailCode": send(func(t *rapid.T) Command { return &SendEmailCode{Code: someCode(t), Lifetime: time.Hour} }),
		"ConfirmEmail":  send(func(t *rapid.T) Command { return &ConfirmEmail{Code: someCode(t)} }),
		"StartRecovery": send(func(t *rapid.T) Command { return &StartRecovery{Code: someCode(t), Lifetime: time.Hour} }),
		"ConfirmRecovery": send(func(t *rapid.T) Command {
			return &ConfirmRecovery{Code: someCode(t), Delay: time.Hour, Cancel: "c"}
		}),
		"CancelRecovery": send(func(t *rapid.T) Command {
			return &CancelRecovery{Session: session(m.someSession(t)), Code: rapid.SampledFrom([]string{"", "c", "d"}).Draw(t, "code"), By: by(t)}
		}),
		"CompleteRecovery": send(func(*rapid.T) Command { return &CompleteRecovery{} }),
		"RemindRecovery":   send(func(*rapid.T) Command { return &RemindRecovery{} }),
		"SettleNotice": send(func(t *rapid.T) Command {
			state := rapid.SampledFrom([]NoticeState{NoticeDelivered, NoticeFailed}).Draw(t, "state")
			return &SettleNotice{N: m.someNotice(t), State: state, Attempts: number(t), Problem: "p"}
		}),
		"ReplayNotice": send(func(t *rapid.T) Command { return &ReplayNotice{N: m.someNotice(t), By: "ops"} }),
		"Share": func(*rapid.T) {
			m.shared = append(m.shared, sharedState{m.live.State, rendering(&m.live.State)})
			m.shared = m.shared[max(0, len(m.shared)-8):]
		},
		// A replica that was stored and read again is still one.
		"Snapshot": func(t *rapid.T) {
			if !m.replica.Exists() {
				return
			}
			state, err := DecodeState(m.replica.AppendState(nil))
			if err != nil {
				t.Fatal(err)
			}
			m.replica = Resume(state)
		},
		// Long runs reach the limits and the ends of the history's chunks.
		"Logins": func(t *rapid.T) { m.burst(t, MaxSessions+2, m.login) },
		"Deposits": func(t *rapid.T) {
			m.burst(t, chunkSize, func(*rapid.T) Command { return &Deposit{Amount: 1, By: "ops"} })
		},
		"Payments": func(t *rapid.T) { m.burst(t, MaxOpenPayments/2, m.createPayment) },
	}
	// The commands that settle what others began are drawn as often as those.
	actions["Complete again"], actions["Complete once more"] = actions["Complete"], actions["Complete"]
	actions["Withdraw again"] = actions["Withdraw"]
	actions["StepUp again"], actions["ChangeFactors again"] = actions["StepUp"], actions["ChangeFactors"]
	actions["SettlePayment again"], actions["PayFromChain again"] = actions["SettlePayment"], actions["PayFromChain"]
	return actions
}

func (m *machine) login(t *rapid.T) Command {
	m.logins++
	lifetime := rapid.SampledFrom([]time.Duration{24 * time.Hour, time.Minute, 0}).Draw(t, "lifetime")
	return &Login{Wallet: "w", Email: "w@x", Username: "w", Session: session(m.logins), ExpiresAt: m.now.Add(lifetime)}
}

func (m *machine) withdraw(t *rapid.T) Command {
	amount, fee := amountOut(t, m.live), Money(rapid.Int64Range(0, 10).Draw(t, "fee"))
	if rapid.Bool().Draw(t, "fee included") && amount > fee {
		amount -= fee
	}
	return &Withdraw{Safeguards: m.safeguards(t, amount), Amount: amount, Fee: fee, To: "aitbc_00"}
}

func someAddress(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "address")
}

// safeguards draws mostly none, so that other commands get somewhere.
func (m *machine) safeguards(t *rapid.T, amount Money) (s Safeguards) {
	if rapid.IntRange(0, 3).Draw(t, "safe") > 0 {
		return s
	}
	s.Address = someAddress(t)
	s.CoolingOff = rapid.SampledFrom([]time.Duration{0, 0, time.Hour}).Draw(t, "cooling off")
	s.DailyLimit = rapid.SampledFrom([]Money{0, amount, amount, min(amount, MaxMoney/2) * 2, 1000}).Draw(t, "limit")
	return s
}

func (m *machine) createPayment(t *rapid.T) Command {
	return &CreatePayment{
		Amount: amountIn(t, m.live), BTC: money(t), BTCFee: money(t), Address: "bc1p", Notes: "n",
		Lifetime: rapid.SampledFrom([]time.Duration{time.Hour, time.Second, 48 * time.Hour}).Draw(t, "lifetime"),
		Terms:    rapid.OneOf(rapid.Just(PaymentTerms{}), genTerms).Draw(t, "terms"),
	}
}

// someOut draws one of a few outpoints, so that they come again.
func someOut(t *rapid.T) Outpoint {
	return Outpoint{ChainHash{rapid.ByteRange(1, 4).Draw(t, "txid")}, 0}
}

// payFromChain shows an output of some payment somewhere, or takes it away; once
// more, it must change nothing.
func (m *machine) payFromChain(t *rapid.T) {
	m.now = max(1, m.now+step(t))
	n, out, height := m.someTransaction(t), someOut(t), rapid.Int32Range(1, 3).Draw(t, "height")
	if rapid.Bool().Draw(t, "a pending one") {
		if pending := m.pending(); len(pending) > 0 {
			n = pending[0]
		}
	}
	var c Command
	switch rapid.SampledFrom([]string{"seen", "block", "block", "removed"}).Draw(t, "fact") {
	case "seen":
		c = &SeeOutput{N: n, Out: out, BTC: 100, At: m.now}
	case "block":
		c = &ConfirmOutput{N: n, Out: out, BTC: 100, Height: height, Block: ChainHash{byte(height)}, At: m.now}
	case "removed":
		remove := &RemoveOutput{N: n, Out: out}
		if tx, ok := m.live.History.At(n); ok && tx.Detail != nil {
			for _, o := range tx.Detail.Outputs {
				if o.Out == out {
					remove.Height, remove.Block = o.Height, o.Block
				}
			}
		}
		c = remove
	}
	m.decide(t, c, nil)
	if d, err := m.live.Decide(c, nil, m.now); err == nil && len(d.Record.Events) != 0 {
		t.Fatalf("%+v is no news, and gives %+v", c, d.Record.Events[0])
	}
}

// reverseCredit takes away the outputs that a payment was credited for.
func (m *machine) reverseCredit(t *rapid.T) {
	n := m.someTransaction(t)
	tx, ok := m.live.History.At(n)
	if !ok || tx.Detail == nil || tx.Type != TypeBuy {
		return
	}
	for _, o := range tx.Detail.Outputs {
		if o.Counted {
			m.decide(t, &RemoveOutput{N: n, Out: o.Out, Height: o.Height, Block: o.Block}, nil)
		}
	}
	m.decide(t, &SettlePayment{N: n, Due: m.someDue(t, n), Outs: m.present(n)}, nil)
}

// refunded draws what may have been refunded of payment n.
func (m *machine) refunded(t *rapid.T, n uint32) Money {
	amounts := []Money{0}
	if tx, _ := m.live.History.At(n); tx.Detail != nil {
		for _, o := range tx.Detail.Outputs {
			amounts = append(amounts, o.Refunded)
		}
	}
	return rapid.SampledFrom(amounts).Draw(t, "before")
}

// someDue draws what may be due for payment n.
func (m *machine) someDue(t *rapid.T, n uint32) Money {
	tx, _ := m.live.History.At(n)
	if len(m.present(n)) == 0 {
		return 0
	}
	return rapid.SampledFrom([]Money{0, tx.Amount / 2, tx.Amount, tx.Amount, min(tx.Amount, MaxMoney/2) * 2}).Draw(t, "due")
}

// present are the outputs of payment n that are not gone.
func (m *machine) present(n uint32) (outs []Outpoint) {
	tx, _ := m.live.History.At(n)
	if tx.Detail != nil {
		for _, o := range tx.Detail.Outputs {
			if !o.Gone {
				outs = append(outs, o.Out)
			}
		}
	}
	return outs
}

func (m *machine) burst(t *rapid.T, n int, command func(*rapid.T) Command) {
	for range rapid.IntRange(1, n).Draw(t, "times") {
		m.decide(t, command(t), nil)
	}
}

// takeOverRestores skips few numbers: the models here look at each.
func (m *machine) takeOverRestores(t *rapid.T) {
	skip := rapid.Uint32Range(0, 40)
	m.send(t, &TakeOverRestores{
		Number: m.live.Restores + rapid.Uint32Range(0, 2).Draw(t, "restores"), Transactions: skip.Draw(t, "transactions"), Notices: skip.Draw(t, "notices"),
		TOTPStep: rapid.Uint64Range(0, 9).Draw(t, "step"),
	})
}

// someTransaction draws a number, most often one that exists and one of the last.
func (m *machine) someTransaction(t *rapid.T) uint32 {
	last := m.live.History.Last()
	return rapid.OneOf(
		rapid.Uint32Range(0, last+1), rapid.Uint32Range(max(1, last)-min(5, max(1, last)-1), max(1, last)),
		rapid.SampledFrom(append(m.pending(), 1)), rapid.SampledFrom(append(m.pending(), 1)),
	).Draw(t, "transaction")
}

func (m *machine) pending() (numbers []uint32) {
	for n := uint32(1); n <= m.live.History.Last(); n++ {
		if t, _ := m.live.History.At(n); t.Status == Pending {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

func (m *machine) someType(t *rapid.T) Type {
	return rapid.SampledFrom([]Type{0, 0, 0, TypeBuy, TypeSell, TypeWithdrawal, TypeDeposit}).Draw(t, "of")
}

func someCode(t *rapid.T) Hash { return Hash{rapid.ByteRange(1, 2).Draw(t, "code")} }

func (m *machine) someNotice(t *rapid.T) uint32 {
	return rapid.Uint32Range(0, max(10, uint32(len(m.records)))).Draw(t, "notice")
}

func (m *machine) someSession(t *rapid.T) int {
	return rapid.IntRange(max(0, m.logins-MaxSessions), m.logins).Draw(t, "session")
}

// send moves the clock and gives c to the account, with or without a key.
func (m *machine) send(t *rapid.T, c Command) {
	m.now = max(1, m.now+step(t))
	m.decide(t, c, m.someKey(t))
}

// someKey draws no key, a new one, or one that was used, for the same request or
// for another.
func (m *machine) someKey(t *rapid.T) *Idempotency {
	used := slices.SortedFunc(maps.Keys(m.keys), func(a, b Key) int { return slices.Compare(a[:], b[:]) })
	switch how := rapid.SampledFrom([]string{"none", "new", "same", "other"}).Draw(t, "key"); {
	case how == "new":
		return &Idempotency{Key: Key{byte(len(used)), byte(len(used) >> 8), 1}, Fingerprint: genFingerprint.Draw(t, "fingerprint")}
	case how != "none" && len(used) > 0:
		key := rapid.SampledFrom(used).Draw(t, "used")
		idem := &Idempotency{Key: key, Fingerprint: m.keys[key].fingerprint}
		if how == "other" {
			idem.Fingerprint[0]++
		}
		return idem
	}
	return nil
}

// decide gives c to the account and checks the answer.
func (m *machine) decide(t *rapid.T, c Command, idem *Idempotency) {
	before, at := m.live.StateHash(), max(m.now, m.live.UpdatedAt)
	d, err := m.live.Decide(c, idem, m.now)
	if err == nil && !d.Replayed {
		m.checkSafe(t, c, at)
	}
	if m.live.StateHash() != before {
		t.Fatalf("Decide of %T changed the account", c)
	}
	if idem != nil && m.live.Exists() {
		if used, ok := m.keys[idem.Key]; ok && at < used.at+Time(24*time.Hour/time.Microsecond) {
			m.checkRetry(t, used, idem, d, err)
			return
		}
	}
	if err != nil {
		var refused *Error
		if !errors.As(err, &refused) || refused.Code == "" || refused.Code == CodeKeyReused {
			t.Fatalf("%T is refused with %v", c, err)
		}
		if out, ok := c.(*Withdraw); ok && refused.Code == CodeDailyLimit && m.leaving(out.Amount, at).Cmp(big.NewInt(int64(out.DailyLimit))) <= 0 {
			t.Fatalf("%s may leave, and is refused: %v", out.Amount, err)
		}
		return
	}
	if d.Replayed {
		t.Fatalf("%T is a replay, though its key is free", c)
	}
	if len(d.Record.Events) == 0 {
		return
	}
	if d.Record.At != at || d.Record.Seq != m.live.Seq+1 || d.Record.User != testUser {
		t.Fatalf("the record is %+v, want number %d at %s", d.Record, m.live.Seq+1, at)
	}
	if d.N != 0 { // as where a webhook is configured
		m.live.QueueNotice(&d.Record, ChannelWebhook, "act", false, func(uint32) string { return "{}" })
	}
	record := reread(t, &d.Record)
	apply(t, m.live, &d.Record)
	apply(t, m.replica, record)
	m.records = append(m.records, record)
	m.tally.Add(record)
	if idem != nil && d.N != 0 {
		m.keys[idem.Key] = rememberedKey{idem.Fingerprint, at, d.N}
	}
	if _, ok := m.live.History.At(d.N); d.N != 0 && !ok {
		t.Fatalf("%T is about transaction %d, which does not exist", c, d.N)
	}
}

// checkSafe holds a command that is accepted at at against the safeguards, in the
// simplest way.
func (m *machine) checkSafe(t *rapid.T, c Command, at Time) {
	var s Safeguards
	var amount Money
	switch c := c.(type) {
	case *Withdraw:
		s, amount = c.Safeguards, c.Amount
	case *Sell:
		s, amount = c.Safeguards, c.Amount
	case *Complete:
		tx, _ := m.live.History.At(c.N)
		if (tx.Type == TypeSell || tx.Type == TypeWithdrawal) && c.FourEyesAbove > 0 && tx.Amount > c.FourEyesAbove &&
			(tx.Detail.ApprovedBy == "" || tx.Detail.ApprovedBy == c.By) {
			t.Fatalf("%q completes %s, which %q has approved", c.By, tx.Amount, tx.Detail.ApprovedBy)
		}
		return
	default:
		return
	}
	if known, found := m.live.AddressBook.Find(s.Address); s.CoolingOff > 0 && (!found || at < known.UsableAt) {
		t.Fatalf("%s goes to %q at %s, the book has %+v", amount, s.Address, at, m.live.AddressBook)
	}
	if sum := m.leaving(amount, at); s.DailyLimit > 0 && sum.Cmp(big.NewInt(int64(s.DailyLimit))) > 0 {
		t.Fatalf("%s units leave within 24 hours, the limit is %d", sum, int64(s.DailyLimit))
	}
}

// leaving is amount and what left in the 24 hours up to at, or is about to.
func (m *machine) leaving(amount Money, at Time) *big.Int {
	sum := big.NewInt(int64(amount))
	for n := uint32(1); n <= m.live.History.Last(); n++ {
		tx, _ := m.live.History.At(n)
		if (tx.Type == TypeSell || tx.Type == TypeWithdrawal) && tx.Status != Failed && tx.CreatedAt > at-Time(24*time.Hour/time.Microsecond) {
			sum.Add(sum, big.NewInt(int64(tx.Amount)))
		}
	}
	return sum
}

func (m *machine) checkRetry(t *rapid.T, used rememberedKey, idem *Idempotency, d Decision, err error) {
	var refused *Error
	switch {
	case len(d.Record.Events) != 0:
		t.Fatalf("a retry has events: %+v", d)
	case used.fingerprint == idem.Fingerprint && (err != nil || !d.Replayed || d.N != used.n):
		t.Fatalf("a retry gives %+v, %v; want transaction %d again", d, err, used.n)
	case used.fingerprint != idem.Fingerprint && (!errors.As(err, &refused) || refused.Code != CodeKeyReused):
		t.Fatalf("another request with the same key gives %+v, %v; want %s", d, err, CodeKeyReused)
	}
}

// check is called after every step.
func (m *machine) check(t *rapid.T) {
	if err := checkInvariants(m.live); err != nil {
		t.Fatal(err)
	}
	if sum := m.tally.Balance(); !sum.IsInt64() || sum.Int64() != int64(m.live.Balance) {
		t.Fatalf("the records come to %s units, the balance is %d", sum, m.live.Balance)
	}
	if m.live.StateHash() != m.replica.StateHash() || m.live.Counts != m.replica.Counts {
		t.Fatal("the records, written and read, lead to another state")
	}
	for i := range m.shared {
		if s := &m.shared[i]; rendering(&s.state) != s.shows {
			t.Fatalf("a copy of the state at record %d has changed by record %d", s.state.Seq, m.live.Seq)
		}
	}
	if n := len(m.records); n > 1 && m.records[n-1].At < m.records[n-2].At {
		t.Fatalf("record %d is at %s, the one before at %s", n, m.records[n-1].At, m.records[n-2].At)
	}
}

// checkReplay folds the whole log again, and refuses to fold it twice.
func (m *machine) checkReplay(t *rapid.T) {
	a := New(testUser)
	for _, r := range m.records {
		apply(t, a, r)
	}
	if a.StateHash() != m.live.StateHash() {
		t.Fatal("the log from its start leads to another state")
	}
	if n := len(m.records); n > 0 {
		if err := a.Apply(m.records[n-1]); !errors.Is(err, ErrApply) {
			t.Fatalf("the same record again gives %v, want ErrApply", err)
		}
	}
}
