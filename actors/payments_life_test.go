package actors_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"pgregory.net/rapid"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
)

// lifeStep is one thing that happens to payments. What it is about is drawn large, and
// taken modulo what there is.
type lifeStep struct {
	What string
	N, M int
}

var lifeSteps = []string{
	"pay", "pay", "pay", "pay unseen", "block", "block", "block", "reorganisation", "reorganisation", "vanish", "come back",
	"minutes", "hour", "complete", "fail", "lift", "lift", "confirm", "buy", "restart", "restart",
}

func drawLife(t *rapid.T) []lifeStep {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) lifeStep {
		return lifeStep{rapid.SampledFrom(lifeSteps).Draw(t, "what"), rapid.IntRange(0, 11).Draw(t, "n"), rapid.IntRange(0, 11).Draw(t, "m")}
	}), 1, 40).Draw(t, "life")
}

func drawTerms(t *rapid.T) account.PaymentTerms {
	rule := rapid.SampledFrom([]account.Rule{account.RuleRefund, account.RuleProportion})
	return account.PaymentTerms{
		Confirmations: rapid.Int32Range(1, 3).Draw(t, "confirmations"), TolerancePPM: rapid.SampledFrom([]int64{0, 50_000}).Draw(t, "tolerance"),
		Underpaid: rule.Draw(t, "underpaid"), Overpaid: rule.Draw(t, "overpaid"), Late: rule.Draw(t, "late"),
	}
}

// life is an exchange whose payments, chain and operators do whatever they may, and
// whose flags change at each restart.
type life struct {
	*paidWorld
	old    bool                   // each start finds a log of before terms were kept
	terms  []account.PaymentTerms // of one start after the other
	ids    []account.TransactionID
	blocks [][]bitcoin.Output // by height, from 100 on
	refs   []bitcoin.Ref
	pool   []bitcoin.Output // in the mempool
	lost   []bitcoin.Output // that were on the chain
	made   int              // outputs and blocks so far
	before map[account.TransactionID]account.Transaction
	lifted map[account.TransactionID]bool // payments that an operator answered for
}

func TestEveryOutputHasOneOwnerWhateverHappensToItsPayment(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps, terms := drawLife(rt), rapid.SliceOfN(rapid.Custom(drawTerms), 3, 3).Draw(rt, "terms")
		old := rapid.Bool().Draw(rt, "of before terms were kept")
		var err error
		synctest.Test(t, func(t *testing.T) { err = live(t, steps, terms, old) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

// most are the terms that payments of before terms were kept can have had at most.
var most = account.PaymentTerms{Confirmations: 3, TolerancePPM: 50_000}

func live(t *testing.T, steps []lifeStep, terms []account.PaymentTerms, old bool) error {
	l := &life{terms: terms, old: old, before: map[account.TransactionID]account.Transaction{}, lifted: map[account.TransactionID]bool{}}
	l.paidWorld = newPaidWorld(t, l.flags())
	l.act(lifeStep{What: "buy"})
	for i, step := range steps {
		if err := l.do(step); err != nil {
			return fmt.Errorf("step %d, %+v: %w", i, step, err)
		}
	}
	// All is mined, and every quote is over.
	for _, what := range []string{"block", "block", "block", "hour", "hour", "block", "restart"} {
		if err := l.do(lifeStep{What: what}); err != nil {
			return fmt.Errorf("at the end: %w", err)
		}
	}
	for _, id := range l.ids {
		tx := l.transaction(id)
		if outs := tx.Unowned(most, l.tip().Height, account.TimeOf(time.Now())); len(outs) > 0 || tx.Status == account.Pending {
			return fmt.Errorf("at the end payment %d is %s, and %v have no owner: %+v", id.N, tx.Status, outs, tx.Detail)
		}
	}
	return nil
}

// forget takes out of the log what it had not before terms were kept.
func (l *life) forget() {
	l.stop()
	seqs := map[account.UserID]uint64{}
	log := &memoryLog{}
	journal, err := persistence.Open(persistence.Config{Log: log})
	if err == nil {
		err = journal.Start()
	}
	if err != nil {
		l.t.Fatal(err)
	}
	for _, encoded := range l.log.frames {
		frame, err := format.DecodeFrame(encoded)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, record := range frame.Records() {
			var r account.Record
			if err := r.Decode(record); err != nil {
				l.t.Fatal(err)
			}
			r.Events = slices.DeleteFunc(r.Events, func(e account.Event) bool {
				switch e.(type) {
				case *account.TermsAgreed, *account.OutputsAnswered:
					return true
				}
				return false
			})
			seqs[r.User]++
			r.Seq = seqs[r.User]
			b, done := r.Append(nil), make(appended, 1)
			if err := journal.Reserve(len(b)); err != nil {
				l.t.Fatal(err)
			}
			journal.Append(b, done)
			if err := <-done; err != nil {
				l.t.Fatal(err)
			}
		}
	}
	if err := journal.Close(); err != nil {
		l.t.Fatal(err)
	}
	l.log = log
	for id, tx := range l.before { // what nobody can know any more
		d := *tx.Detail
		d.Outputs = slices.Clone(d.Outputs)
		for i := range d.Outputs {
			d.Outputs[i].Answered = d.Outputs[i].Answered && tx.ByHand()
		}
		d.Terms, d.Answered, tx.Detail = account.PaymentTerms{}, 0, &d
		l.before[id] = tx
	}
}

// appended is told when a record is durable.
type appended chan error

func (w appended) Committed(err error) { w <- err }

// flags are those of the next start.
func (l *life) flags() func(*setup) {
	terms := l.terms[0]
	l.terms = append(l.terms[1:], terms)
	return func(s *setup) { s.actors.Policy, s.actors.Terms.Confirmations = terms, uint32(terms.Confirmations) }
}

// do takes a step, and holds what it led to to the rules.
func (l *life) do(step lifeStep) error {
	l.act(step)
	synctest.Wait()
	if step.What == "restart" {
		seq, id := l.state(l.s.UserID()).Seq, l.s.UserID()
		if l.old {
			l.forget()
		}
		l.restart(l.flags())
		synctest.Wait()
		if got := l.state(id).Seq - 1; got != seq && !l.old { // less the login
			return fmt.Errorf("a restart had %d records more to write than life before it", got-seq)
		}
	}
	for _, id := range l.ids {
		tx := l.transaction(id)
		if err := l.check(&tx, l.before[id], l.old && l.lifted[id]); err != nil {
			return fmt.Errorf("payment %d: %w\n%s of %s AITBC, %+v", id.N, err, tx.Status, tx.Amount, tx.Detail)
		}
		l.before[id] = tx
	}
	return nil
}

// check compares a payment with the rules, and with what it was before a step. Of an old
// one nobody knows what an operator answered for.
func (l *life) check(tx *account.Transaction, before account.Transaction, forgotten bool) error {
	if err := tx.CheckValue(most); err != nil && !forgotten {
		return err
	}
	if !tx.Detail.Terms.Kept() && !l.old {
		return errors.New("it has no terms")
	}
	if before.Detail == nil { // it is new
		return nil
	}
	if tx.Credited() < before.Credited() || tx.Detail.Terms != before.Detail.Terms {
		return fmt.Errorf("%s was credited under %+v", before.Credited(), before.Detail.Terms)
	}
	if before.Ended() && tx.Credited() > before.Credited() {
		return fmt.Errorf("%s was credited when an operator settled it", before.Credited())
	}
	settled := (tx.ByHand() && !before.ByHand()) || tx.Detail.Answered > before.Detail.Answered
	reversed := false
	for _, now := range tx.Detail.Outputs {
		reversed = reversed || now.Reversed
		i := slices.IndexFunc(before.Detail.Outputs, func(o account.Output) bool { return o.Out == now.Out })
		if i < 0 {
			continue
		}
		was := before.Detail.Outputs[i]
		switch {
		case settled && !now.Answered && (tx.ByHand() || was.Reversed):
			return fmt.Errorf("an operator settled it, and does not answer for %+v", now)
		case (was.Counted || was.Answered) && now.Refunded != was.Refunded:
			return fmt.Errorf("%+v is refunded, and was %+v", now, was)
		case was.Answered && (now.Counted || !tx.Answers(&now)), was.Refunded == was.BTC && now.Counted:
			return fmt.Errorf("%+v counts, and was %+v", now, was)
		case was.Counted && !now.Counted && !now.Gone && !now.Reversed && !now.Answered && now.Height == was.Height:
			return fmt.Errorf("%+v does not count any more", now)
		}
	}
	if tx.Detail.Frozen > 0 && !reversed {
		return errors.New("something is frozen for nothing")
	}
	return nil
}

func (l *life) tip() bitcoin.Ref {
	if len(l.refs) == 0 {
		return bitcoin.Ref{Height: 99}
	}
	return l.refs[len(l.refs)-1]
}

func (l *life) next() bitcoin.Ref {
	l.made++
	return bitcoin.Ref{Height: 100 + int32(len(l.refs)), Hash: chainhash.Hash{byte(l.made), byte(l.made >> 8), 9}}
}

// mine adds a block with outputs, and returns what is told of it.
func (l *life) mine(outputs []bitcoin.Output) (facts []bitcoin.Fact) {
	block := l.next()
	for _, o := range outputs {
		facts = append(facts, &bitcoin.InBlock{Output: o, Block: block, Time: time.Now()})
	}
	l.refs, l.blocks = append(l.refs, block), append(l.blocks, outputs)
	return append(facts, &bitcoin.Tip{Block: block, Time: time.Now()})
}

func (l *life) act(step lifeStep) {
	id := account.TransactionID{}
	if len(l.ids) > 0 {
		id = l.ids[step.N%len(l.ids)]
	}
	switch step.What {
	case "buy":
		if len(l.ids) < 3 {
			l.ids = append(l.ids, l.buy(l.s, thousand))
		}
	case "pay", "pay unseen":
		amounts := []account.Money{price, price, price / 2, price/2 + 1, price - price/25, price - 1, price + 7, 2 * price, 3, 600}
		l.made++
		o := bitcoin.Output{Out: wire.OutPoint{Hash: chainhash.Hash{byte(l.made), byte(l.made >> 8)}}, BTC: amounts[step.M%len(amounts)], Address: l.transaction(id).Detail.To}
		if step.What == "pay unseen" {
			l.chain.tell(l.t, l.mine([]bitcoin.Output{o})...)
			return
		}
		l.pool = append(l.pool, o)
		l.chain.tell(l.t, &bitcoin.Seen{Output: o})
	case "block":
		mined := l.pool
		l.pool = nil
		l.chain.tell(l.t, l.mine(mined)...)
	case "reorganisation":
		l.reorganise(1+step.N%3, step.M)
	case "vanish":
		if len(l.pool) > 0 {
			o := l.pool[0]
			l.pool, l.lost = l.pool[1:], append(l.lost, o)
			l.chain.tell(l.t, &bitcoin.Removed{Output: o})
		}
	case "come back":
		if len(l.lost) > 0 {
			o := l.lost[0]
			l.pool, l.lost = append(l.pool, o), l.lost[1:]
			l.chain.tell(l.t, &bitcoin.Seen{Output: o})
		}
	case "minutes":
		time.Sleep(25 * time.Minute)
	case "hour":
		time.Sleep(61 * time.Minute)
	case "complete":
		_, _ = l.CompleteTransaction(id, "ab", "olga", "by hand", nil)
	case "fail":
		_, _ = l.FailTransaction(id, "olga", "asked for", nil)
	case "lift":
		if _, err := l.LiftFreeze(id, "olga", "settled", nil); err == nil {
			l.lifted[id] = true
		}
	case "confirm":
		_, _ = l.ConfirmPayment(id, "ab", "", nil)
	}
}

// reorganise leaves the last blocks for a longer branch of empty ones. Some of what was
// in them is in the mempool again.
func (l *life) reorganise(depth, back int) {
	depth = min(depth, len(l.refs))
	var facts []bitcoin.Fact
	for i := range depth {
		at := len(l.refs) - 1
		for j, o := range l.blocks[at] {
			facts = append(facts, &bitcoin.Removed{Output: o, Block: l.refs[at]})
			if (back+i+j)%2 == 0 {
				l.lost = append(l.lost, o)
				continue
			}
			l.pool = append(l.pool, o)
			facts = append(facts, &bitcoin.Seen{Output: o})
		}
		l.refs, l.blocks = l.refs[:at], l.blocks[:at]
	}
	for range depth + 1 {
		facts = append(facts, l.mine(nil)...)
	}
	l.chain.tell(l.t, facts...)
}
