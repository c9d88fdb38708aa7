package actors_test

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/actors/exchangetest"
	"github.com/aitbc/exchange/persistence/format"
)

// paidWorld is an exchange with a quietChain that confirms twice, and one user.
type paidWorld struct {
	*world
	t     *testing.T
	chain *quietChain
	s     *actors.Session
}

func newPaidWorld(t *testing.T, choose ...func(*setup)) *paidWorld {
	t.Helper()
	p := &paidWorld{t: t, chain: &quietChain{}}
	p.world = start(t, &memoryLog{}, append([]func(*setup){withChain(p.chain), twice}, choose...)...)
	p.s, _ = p.login("aitbc1wallet_payer")
	return p
}

func twice(s *setup) { s.actors.Terms.Confirmations = 2 }

// restart begins anew from the log.
func (p *paidWorld) restart(choose ...func(*setup)) {
	p.t.Helper()
	p.stop()
	p.chain = &quietChain{}
	p.world = start(p.t, p.log, append([]func(*setup){withChain(p.chain), twice}, choose...)...)
	p.s = newSession(p.world, "aitbc1wallet_payer")
}

func ref(height int) bitcoin.Ref {
	return bitcoin.Ref{Height: int32(height), Hash: chainhash.Hash{byte(height), 1}}
}

// output is output number n, of satoshi to a payment's address.
func (p *paidWorld) output(id account.TransactionID, n byte, satoshi account.Money) bitcoin.Output {
	p.t.Helper()
	return bitcoin.Output{Out: wire.OutPoint{Hash: chainhash.Hash{n}}, BTC: satoshi, Address: p.transaction(id).Detail.To}
}

// block tells of a block with outputs.
func (p *paidWorld) block(height int, outputs ...bitcoin.Output) {
	p.t.Helper()
	var facts []bitcoin.Fact
	for _, o := range outputs {
		facts = append(facts, &bitcoin.InBlock{Output: o, Block: ref(height), Time: time.Now()})
	}
	p.chain.tell(p.t, append(facts, &bitcoin.Tip{Block: ref(height), Time: time.Now()})...)
}

// is checks where a payment stands, and the user's balance.
func (p *paidWorld) is(id account.TransactionID, state bitcoin.PaymentState, balance account.Money) actors.PaymentView {
	p.t.Helper()
	t := p.transaction(id)
	view := p.Payment(&t)
	if got := p.state(id.User).Balance; view.State != state || got != balance {
		p.t.Errorf("the payment is %+v, %+v, and the balance %s; want %s, %s", view, t.Detail, got, state, balance)
	}
	return view
}

const (
	thousand = 1000 * account.Unit
	price    = account.Money(1_005_000) // of a thousand, in satoshi
)

func TestAPaymentGoesFromSeenToConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPaidWorld(t)
		id := p.buy(p.s, thousand)
		out := p.output(id, 1, price)
		p.is(id, bitcoin.PaymentPending, 0)
		p.chain.tell(t, &bitcoin.Seen{Output: out})
		p.is(id, bitcoin.PaymentSeen, 0)
		p.block(100, out)
		if v := p.is(id, bitcoin.PaymentConfirming, 0); v.Confirmations != 1 || v.Required != 2 {
			t.Errorf("%+v", v)
		}
		p.block(101)
		if v := p.is(id, actors.PaymentConfirmed, thousand); v.Confirmations != 2 || v.Credited != thousand || v.TxHash != out.Out.Hash.String() {
			t.Errorf("%+v", v)
		}
		p.block(102)
		p.is(id, actors.PaymentConfirmed, thousand)
		if m := p.Market(); m.Volume != thousand || m.VolumeBTC != 1_000_000 || m.OpenPayments != 0 {
			t.Errorf("%+v", m)
		}
		if _, ok := p.chain.watches(id); ok {
			t.Error("a credited payment is still watched as open")
		}
	})
}

func TestFactsAreCreditedOnceHoweverOftenTheyAreTold(t *testing.T) {
	p := newPaidWorld(t)
	id := p.buy(p.s, thousand)
	out := p.output(id, 1, price)
	together(20, func(i int) {
		if i%2 == 0 {
			p.block(100, out)
			p.block(101)
			return
		}
		if _, err := p.ConfirmPayment(id, "bb", "olga", nil); err != nil && codeOf(err) != account.CodeNotPending {
			t.Error(err)
		}
	})
	p.is(id, actors.PaymentConfirmed, thousand)
	p.restart()
	p.block(100, out)
	p.block(101)
	p.is(id, actors.PaymentConfirmed, thousand)
}

func TestAnUnderpaidPaymentFollowsThePolicy(t *testing.T) {
	half := price / 2
	for _, c := range []struct {
		name   string
		policy bitcoin.Policy
		credit account.Money
		refund account.Money
		status account.TransactionStatus
	}{
		{"refund", bitcoin.Policy{}, 0, half, account.Failed},
		{"proportion", bitcoin.Policy{Underpaid: bitcoin.Proportion}, thousand / 2, 0, account.Completed},
		{"tolerance", bitcoin.Policy{TolerancePPM: 500_000}, thousand, 0, account.Completed},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPaidWorld(t, func(s *setup) { s.actors.Policy = c.policy })
				id := p.buy(p.s, thousand)
				p.block(100, p.output(id, 1, half))
				p.block(101)
				time.Sleep(time.Hour)
				synctest.Wait()
				tx := p.transaction(id)
				view := p.Payment(&tx)
				if view.Credited != c.credit || view.Refund != c.refund || tx.Status != c.status || p.state(id.User).Balance != c.credit {
					t.Errorf("%+v, %s", view, tx.Status)
				}
			})
		})
	}
}

func TestWhatIsPaidTooMuchGoesBack(t *testing.T) {
	p := newPaidWorld(t)
	id := p.buy(p.s, thousand)
	p.block(100, p.output(id, 1, price), p.output(id, 2, 7)) // twice, to one address
	p.block(101)
	if v := p.is(id, bitcoin.PaymentOverpaid, thousand); v.Refund != 7 || v.Received != price+7 {
		t.Errorf("%+v", v)
	}
	if p.Stats().Refunds != 1 {
		t.Errorf("%+v", p.Stats())
	}
}

func TestWhatIsPaidTooMuchGoesBackOnce(t *testing.T) {
	p := newPaidWorld(t)
	id := p.buy(p.s, thousand)
	out := p.output(id, 1, price+7)
	p.chain.tell(t, &bitcoin.Seen{Output: out}) // from now on each block looks at it
	p.chain.tell(t, &bitcoin.InBlock{Output: out, Block: ref(100), Time: time.Now()}, &bitcoin.Tip{Block: ref(100)}, &bitcoin.Tip{Block: ref(101)})
	if v := p.is(id, bitcoin.PaymentOverpaid, thousand); v.Refund != 7 {
		t.Errorf("%+v", v)
	}
}

func TestTwoOutputsAddUp(t *testing.T) {
	p := newPaidWorld(t)
	id := p.buy(p.s, thousand)
	p.block(100, p.output(id, 1, price-7))
	p.block(101)
	if v := p.is(id, bitcoin.PaymentUnderpaid, 0); v.Missing != 7 {
		t.Errorf("%+v", v)
	}
	p.block(102, p.output(id, 2, 7))
	p.block(103)
	p.is(id, actors.PaymentConfirmed, thousand)
}

func TestALatePaymentGoesIntoTheRefundQueueOrIsCredited(t *testing.T) {
	for rule, credit := range map[bitcoin.Rule]account.Money{bitcoin.Refund: 0, bitcoin.Proportion: thousand} {
		synctest.Test(t, func(t *testing.T) {
			p := newPaidWorld(t, func(s *setup) { s.actors.Policy.Late = rule })
			id := p.buy(p.s, thousand)
			time.Sleep(time.Hour)
			synctest.Wait()
			p.is(id, bitcoin.PaymentExpired, 0)
			time.Sleep(time.Second)
			p.block(100, p.output(id, 1, price))
			p.block(101)
			if v := p.is(id, bitcoin.PaymentLate, credit); (v.Refund == price) != (credit == 0) {
				t.Errorf("%+v", v)
			}
		})
	}
}

func TestAPaymentDoesNotExpireBeforeTheChainIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPaidWorld(t)
		p.chain.mu.Lock()
		p.chain.blind = true
		p.chain.mu.Unlock()
		id := p.buy(p.s, thousand)
		paid := time.Now()
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		p.is(id, bitcoin.PaymentPending, 0)
		// The node comes back, with a payment that was in time.
		p.chain.tell(t, &bitcoin.InBlock{Output: p.output(id, 1, price), Block: ref(100), Time: paid}, &bitcoin.Tip{Block: ref(100)}, &bitcoin.Tip{Block: ref(101)})
		p.is(id, actors.PaymentConfirmed, thousand)
		second := p.buy(p.s, thousand)
		time.Sleep(3 * time.Hour)
		p.chain.mu.Lock()
		p.chain.blind = false
		p.chain.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		p.is(second, bitcoin.PaymentExpired, thousand)
	})
}

func TestWhatAnOperatorEndedIsNotCredited(t *testing.T) {
	p := newPaidWorld(t)
	id := p.buy(p.s, thousand)
	if _, err := p.FailTransaction(id, "olga", "asked for", nil); err != nil {
		t.Fatal(err)
	}
	p.block(100, p.output(id, 1, price))
	p.block(101)
	if v := p.is(id, actors.PaymentFailed, 0); v.Refund != price {
		t.Errorf("%+v", v)
	}
}

func TestAReorganisationBeforeTheCreditTakesTheSightingBack(t *testing.T) {
	p := newPaidWorld(t)
	id := p.buy(p.s, thousand)
	out := p.output(id, 1, price)
	p.block(100, out)
	p.chain.tell(t, &bitcoin.Removed{Output: out, Block: ref(100)}, &bitcoin.Tip{Block: ref(100)}, &bitcoin.Tip{Block: ref(101)})
	p.is(id, bitcoin.PaymentPending, 0)
	p.block(102, out)
	p.block(103)
	p.is(id, actors.PaymentConfirmed, thousand)
	if p.Stats().Reversed != 0 {
		t.Errorf("%+v", p.Stats())
	}
}

func TestAReorganisationAfterTheCreditFreezesItUntilItIsConfirmedAgain(t *testing.T) {
	p := newPaidWorld(t)
	id := p.buy(p.s, thousand)
	out := p.output(id, 1, price)
	p.block(100, out)
	p.block(101)
	p.chain.tell(t, &bitcoin.Removed{Output: out, Block: ref(100)}, &bitcoin.Tip{Block: ref(100)}, &bitcoin.Tip{Block: ref(101)}, &bitcoin.Tip{Block: ref(102)})
	p.is(id, bitcoin.PaymentUnderpaid, thousand)
	if state := p.state(id.User); state.Frozen != thousand || state.Spendable() != 0 || p.Stats().Reversed != 1 {
		t.Errorf("frozen %s", state.Frozen)
	}
	if _, err := p.Withdraw(p.s, 1, "aitbc_elsewhere", nil); codeOf(err) != account.CodeInsufficientFunds {
		t.Errorf("withdrawing what is frozen: %v", err)
	}
	p.restart()
	if state := p.state(id.User); state.Frozen != thousand {
		t.Errorf("after a restart %s are frozen", state.Frozen)
	}
	p.chain.tell(t, &bitcoin.Seen{Output: out})
	p.block(103, out)
	if state := p.state(id.User); state.Frozen != thousand {
		t.Errorf("after one confirmation %s are frozen", state.Frozen)
	}
	p.block(104)
	p.is(id, actors.PaymentConfirmed, thousand)
	if state := p.state(id.User); state.Frozen != 0 {
		t.Errorf("after two confirmations %s are frozen", state.Frozen)
	}
}

// TestABranchThatWinsAgainAfterAKillIsReadAnew kills the exchange after the removal of
// an output is durable, and before the place in the chain is; until the next start the
// branch that was left is the best one again.
func TestABranchThatWinsAgainAfterAKillIsReadAnew(t *testing.T) {
	for _, first := range []int{98, 100} { // with blocks below the output's, and without
		p := newPaidWorld(t)
		id := p.buy(p.s, thousand)
		out := p.output(id, 1, price)
		for height := first; height < 100; height++ {
			p.block(height)
		}
		p.block(100, out)
		p.block(101)
		p.is(id, actors.PaymentConfirmed, thousand)
		left, branch := ref(101), bitcoin.Ref{Height: 100, Hash: chainhash.Hash{2}}
		p.chain.tell(t, &bitcoin.Removed{Output: out, Block: ref(100)}, &bitcoin.Tip{Block: branch}, &bitcoin.Tip{Block: bitcoin.Ref{Height: 101, Hash: chainhash.Hash{3}}})
		p.killedAfter(func(e account.Event) bool { _, is := e.(*account.OutputRemoved); return is })
		if d := p.transaction(id).Detail; !d.Outputs[0].Gone {
			t.Fatalf("%+v", d.Outputs)
		}
		r := p.chain.resume
		follower := bitcoin.NewFollower(bitcoin.FollowerConfig{Network: bitcoin.Regtest, Start: r.Trail[0].Height, Trail: r.Trail, Outputs: r.Outputs})
		if step, height := follower.Next(left); step != bitcoin.StepBlock || height > 100 {
			t.Errorf("from %d: at the start it wants %d of height %d, want the block at 100", first, step, height)
		}
		p.block(100, out)
		p.block(101)
		p.is(id, actors.PaymentConfirmed, thousand)
		if frozen := p.state(id.User).Frozen; frozen != 0 {
			t.Errorf("%s are frozen", frozen)
		}
	}
}

func TestACreditThatWasTakenBackIsFrozenThoughTheProcessEndsBeforeItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPaidWorld(t)
		id := p.buy(p.s, thousand)
		out := p.output(id, 1, price)
		p.block(100, out)
		p.block(101)
		p.is(id, actors.PaymentConfirmed, thousand)
		p.chain.tell(t, &bitcoin.Removed{Output: out, Block: ref(100)}, &bitcoin.Tip{Block: ref(100)}, &bitcoin.Tip{Block: ref(101)})
		p.killedAfter(func(e account.Event) bool { _, is := e.(*account.OutputRemoved); return is })
		synctest.Wait()
		if frozen := p.state(id.User).Frozen; frozen != thousand {
			t.Errorf("%s are frozen", frozen)
		}
		p.is(id, bitcoin.PaymentUnderpaid, thousand)
	})
}

func TestWhatADemoConfirmedInPartStaysFinalUnderOtherFlags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &memoryLog{}
		at := func(confirmations uint32) *paidWorld {
			p := &paidWorld{t: t}
			p.world = start(t, log, withChain(actors.NewSimulatedChain(5*time.Second, confirmations, rand.Reader)),
				func(s *setup) { s.actors.Terms.Confirmations = confirmations })
			return p
		}
		p := at(3)
		p.s, _ = p.login("aitbc1wallet_payer")
		id := p.buy(p.s, thousand)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		p.is(id, actors.PaymentConfirmed, thousand)
		// As if the process had ended between the block and the credit.
		p.stop()
		log.frames = log.frames[:len(log.frames)-1]
		p = at(1)
		synctest.Wait()
		if v := p.is(id, actors.PaymentConfirmed, thousand); v.Required != 3 {
			t.Errorf("%+v", v)
		}
	})
}

// killedAfter restarts from what the log held once the last record with such an event
// was durable.
func (p *paidWorld) killedAfter(is func(account.Event) bool) {
	p.t.Helper()
	p.stop()
	keep := 0
	for i, encoded := range p.log.frames {
		frame, err := format.DecodeFrame(encoded)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, record := range frame.Records() {
			var r account.Record
			if err := r.Decode(record); err != nil {
				p.t.Fatal(err)
			}
			if slices.ContainsFunc(r.Events, is) {
				keep = i + 1
			}
		}
	}
	if keep == 0 {
		p.t.Fatal("there is no such event in the log")
	}
	p.log.frames = p.log.frames[:keep]
	p.restart()
}

func TestMoreConfirmationsToComeDoNotTakeBackWhatWasCredited(t *testing.T) {
	p := newPaidWorld(t)
	id := p.buy(p.s, thousand)
	p.block(100, p.output(id, 1, price))
	p.block(101)
	p.restart(func(s *setup) { s.actors.Terms.Confirmations = 50 })
	p.block(102, p.output(id, 2, 3))
	p.is(id, bitcoin.PaymentOverpaid, thousand)
	if state := p.state(id.User); state.Frozen != 0 {
		t.Errorf("%s are frozen", state.Frozen)
	}
}

func TestAStartGoesOnWhereTheLogEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPaidWorld(t)
		first, second := p.buy(p.s, thousand), p.buy(p.s, thousand)
		inBlock, inPool := p.output(first, 1, price), p.output(second, 2, price)
		for height := 100; height < 300; height++ {
			p.block(height)
		}
		p.block(300, inBlock)
		p.chain.tell(t, &bitcoin.Seen{Output: inPool})
		// The second confirmation is known, and the process ends before the credit.
		p.restart()
		r := p.chain.resume
		if len(r.Trail) != account.MaxTrail || r.Trail[account.MaxTrail-1] != ref(300) || r.Trail[0] != ref(300-account.MaxTrail+1) {
			t.Errorf("%d blocks up to %v", len(r.Trail), r.Trail[len(r.Trail)-1])
		}
		if r.NextIndex != 2 || len(r.Addresses) != 2 || !slices.Contains(r.Addresses, inBlock.Address) {
			t.Errorf("%+v", r.Addresses)
		}
		outs := fmt.Sprint(len(r.Outputs))
		for _, o := range r.Outputs {
			outs += fmt.Sprint(" ", o.Out, o.BTC, o.Address == inBlock.Address, o.Block == ref(300), o.Block == bitcoin.Ref{})
		}
		if len(r.Outputs) != 2 || p.Stats().Accounts != 1 {
			t.Errorf("outputs %s", outs)
		}
		p.block(301)
		p.is(first, actors.PaymentConfirmed, thousand)
		p.is(second, bitcoin.PaymentSeen, thousand)
	})
}

func TestARefusedPaymentUsesUpNoAddress(t *testing.T) {
	p := newPaidWorld(t)
	key := &account.Idempotency{Key: account.Key{1}}
	for range 3 { // the same request again
		if _, err := p.CreatePayment(p.s, thousand, 0, "", key); err != nil {
			t.Fatal(err)
		}
	}
	for range account.MaxOpenPayments + 50 {
		if _, err := p.CreatePayment(p.s, thousand, 0, "", nil); err != nil && codeOf(err) != account.CodeTooManyPayments {
			t.Fatal(err)
		}
	}
	if p.chain.next > account.MaxOpenPayments+1 {
		t.Errorf("%d addresses for %d payments", p.chain.next, account.MaxOpenPayments)
	}
	seen := map[uint32]bool{}
	for n := uint32(1); n <= account.MaxOpenPayments; n++ {
		d := p.transaction(account.TransactionID{User: p.s.UserID(), N: n}).Detail
		if seen[d.Index] || !d.Derived || d.To != fmt.Sprintf("address-%d", d.Index) {
			t.Errorf("payment %d: %+v", n, d)
		}
		seen[d.Index] = true
	}
}

func TestASnapshotHoldsThePlaceInTheChain(t *testing.T) {
	disk := onDisk(t, t.TempDir())
	p := newPaidWorld(t, disk)
	id := p.buy(p.s, thousand)
	p.block(100, p.output(id, 1, price))
	p.block(101)
	info, err := p.Snapshot(t.Context())
	if err != nil || info.Entries != 2 { // the user, and the exchange's own account
		t.Fatalf("%+v, %v", info, err)
	}
	p.restart(disk)
	if r := p.chain.resume; len(r.Trail) != 2 || r.Trail[1] != ref(101) || r.NextIndex != 1 || len(r.Outputs) != 1 {
		t.Errorf("it goes on from %+v", r)
	}
	p.block(102)
	p.is(id, actors.PaymentConfirmed, thousand)
}

func TestARefusedCommandIsLoggedByItsName(t *testing.T) {
	log := &exchangetest.Buffer{}
	p := newPaidWorld(t, func(s *setup) { s.actors.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	id := p.buy(p.s, thousand)
	var outputs []bitcoin.Output
	for n := range account.MaxOutputs + 1 {
		outputs = append(outputs, p.output(id, byte(n), 1000))
	}
	p.block(100, outputs...)
	if !strings.Contains(log.String(), "command=ConfirmOutput error=") {
		t.Errorf("an output too many is logged as\n%s", log)
	}
}

func TestAPaymentThatIsCreditedInPartsIsTheSameTradeAfterARestart(t *testing.T) {
	disk := onDisk(t, t.TempDir())
	flags := func(s *setup) { s.actors.Policy.Overpaid = bitcoin.Proportion }
	p := newPaidWorld(t, disk, flags)
	id, other := p.buy(p.s, thousand), p.buy(p.s, 3*thousand)
	p.block(100, p.output(id, 1, price))
	p.block(101)
	p.block(102, p.output(other, 2, 3*price))
	p.block(103, p.output(id, 3, 777)) // more, at a price that is rounded
	p.block(105)
	if got := p.transaction(id); got.Credited() <= thousand {
		t.Fatalf("%s is credited", got.Credited())
	}
	market, candles := p.Market(), p.Candles(time.Minute, 10)
	if want := (actors.Trade{AITBC: 3 * thousand, BTC: 3_000_000}); market.Last != want {
		t.Errorf("the last trade is %+v, want %+v, whose payment was credited last", market.Last, want)
	}
	p.restart(disk, flags)
	if after := p.Market(); after != market {
		t.Errorf("after a restart the market is %+v, it was %+v", after, market)
	}
	if after := p.Candles(time.Minute, 10); !slices.Equal(after, candles) {
		t.Errorf("after a restart the candles are %+v, they were %+v", after, candles)
	}
}
