package actors_test

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
)

// settleQuietly lets things come to their end in the middle of a step.
func (s *btcSim) settleQuietly() {
	synctest.Wait()
	s.collect()
}

// checkAlways holds what is published to what must be true at every moment, however far
// the exchange is behind the chain.
func (s *btcSim) checkAlways() error {
	if s.behind {
		return nil // the network's chain is not the node's
	}
	truth := s.truth()
	for _, t := range s.transactions(isTrade) {
		if t.Detail.Frozen > 0 {
			s.frozen[t.id] = true
		}
		if t.Type != account.TypeSell {
			continue
		}
		if err := s.checkSale(&t, truth); err != nil {
			return err
		}
	}
	return nil
}

// checkSale: a sale is paid once at most, and one that was given back, or completed by
// hand, never.
func (s *btcSim) checkSale(t *btcTransaction, truth map[string]*received) error {
	r := truth[t.Detail.To]
	if r == nil || s.tainted[t.Detail.To] {
		return nil
	}
	what := fmt.Sprintf("sale %s of %s BTC to %s", t.id, t.Detail.BTC, t.Detail.To)
	switch {
	case r.sum > t.Detail.BTC:
		return fmt.Errorf("%s is paid %s BTC, by %v", what, r.sum, r.outputs)
	case t.Status == account.Failed:
		return fmt.Errorf("%s is given back, and paid by %v", what, r.outputs)
	case t.Status == account.Completed && t.Detail.By != "chain":
		return fmt.Errorf("%s is completed by hand, and paid by %v", what, r.outputs)
	}
	return nil
}

// finish lets everything come to its end, and checks it strictly, before and after a
// restart.
func (s *btcSim) finish() error {
	s.note("the end begins")
	s.log.left.Store(-1)
	if s.down {
		_ = s.turn()
	}
	if s.behind {
		s.catchUp()
	}
	for i := range 6 {
		s.pause(20 * time.Second)
		if err := s.settle(); err != nil {
			return err
		}
		if i == 2 { // every quote is over
			s.pause(11 * time.Minute)
		}
		for range 1 + s.random.IntN(2) {
			s.mineBlock(nil)
		}
	}
	for range 4 {
		s.mineBlock(nil)
	}
	s.pause(time.Minute)
	if err := s.settle(); err != nil {
		return err
	}
	if err := s.checkAtEnd(); err != nil {
		return err
	}
	before := s.published()
	if err := s.stop(); err != nil {
		return err
	}
	if err := s.open(*s.life()); err != nil {
		return err
	}
	s.pause(time.Minute)
	if err := s.settle(); err != nil {
		return err
	}
	if after := s.published(); after != before {
		return fmt.Errorf("after a restart there is another state:\n%s", differing(before, after))
	}
	return s.checkAtEnd()
}

// published is all that is seen of the exchange's state.
func (s *btcSim) published() string {
	out := fmt.Sprintf("%d accounts", s.x.Stats().Accounts)
	for _, u := range s.users {
		if state, ok := s.x.FindUser(u.wallet); ok {
			out += fmt.Sprintf("\n%s %x", u.wallet, state.StateHash())
		}
	}
	market := s.x.Market() // of the trades of one microsecond, which are many here, any may be the last
	market.Last, market.DayAgo = actors.Trade{}, actors.Trade{}
	out += fmt.Sprintf("\n%+v", market)
	for _, t := range s.transactions(isTrade) {
		out += fmt.Sprintf("\n%s %s %s %+v", t.id, t.Type, t.Status, *t.Detail)
		if t.Type == account.TypeBuy {
			out += fmt.Sprintf(" %+v", s.x.Payment(&t.Transaction))
		}
	}
	for _, settled := range []bool{false, true} {
		outputs, _, _ := s.x.UnassignedOutputs(settled, 0, 10_000)
		for _, o := range outputs {
			out += fmt.Sprintf("\nunassigned %+v", o)
		}
	}
	payouts, _, _ := s.x.Payouts(0, 1000)
	for _, p := range payouts {
		out += fmt.Sprintf("\npayout %d %s %s %v %d %s", p.Number, p.TxID, p.Status(), p.Sales, p.Height, p.SpentBy)
	}
	for _, settled := range []bool{false, true} {
		refunds, _, _ := s.x.Refunds(settled, actors.RefundID{}, 1000)
		for _, r := range refunds {
			out += fmt.Sprintf("\nrefund %s %s %+v", r.RefundID, r.Due, r.Last)
		}
	}
	return out
}

// differing returns the lines that two texts do not share.
func differing(before, after string) (out string) {
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	for _, line := range a {
		if !slices.Contains(b, line) {
			out += "- " + line + "\n"
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			out += "+ " + line + "\n"
		}
	}
	if out == "" {
		return "the same lines in another order:\n" + before + "\n\n" + after
	}
	return out
}

// checkAtEnd holds everything to the chain, when nothing is on its way any more.
func (s *btcSim) checkAtEnd() error {
	s.count.checks++
	if status := s.chain.Status(); status.Failed != nil || status.Height != s.node.Tip().Height {
		return fmt.Errorf("the chain is followed up to %d of %d: %v", status.Height, s.node.Tip().Height, status.Failed)
	}
	truth := s.truth()
	owned := map[account.Outpoint]bool{}
	for _, t := range s.transactions(isTrade) {
		check := s.checkPaymentAtEnd
		if t.Type == account.TypeSell {
			check = s.checkSaleAtEnd
		}
		if err := check(&t, truth); err != nil {
			return err
		}
		for _, o := range t.Detail.Outputs {
			owned[o.Out] = true
		}
	}
	ownerless := unassigned(s.x)
	s.count.unassigned += len(ownerless)
	for _, p := range s.payments {
		if r := truth[p.address]; r != nil {
			for _, o := range r.outputs {
				if owned[o.out] == slices.Contains(ownerless, o.out) {
					return fmt.Errorf("output %s of %s BTC, to %s of payment %s (lost by a restore: %t), has an owner and none, or neither: %t", o.out, o.btc, p.address, p.id, p.lost, owned[o.out])
				}
			}
		}
	}
	payouts, _, _ := s.x.Payouts(0, 1000)
	for _, p := range payouts {
		if p.Status() == account.PayoutIsConfirmed {
			s.count.confirmed++
		}
	}
	return s.reconcileAtEnd()
}

// unassigned are the outputs that came to addresses of which a restored copy knows no
// payment, and that wait for an operator.
func unassigned(x *actors.Exchange) (outs []account.Outpoint) {
	for _, settled := range []bool{false, true} {
		outputs, _, _ := x.UnassignedOutputs(settled, 0, 10_000)
		for _, o := range outputs {
			if !o.Gone {
				outs = append(outs, o.Out)
			}
		}
	}
	return outs
}

// checkPaymentAtEnd: what was credited, at the quote's price, and what is set aside to be
// sent back are together what the chain has paid. The tolerance of the quote's terms, and
// what an operator did by hand, may make it more.
func (s *btcSim) checkPaymentAtEnd(t *btcTransaction, truth map[string]*received) error {
	d := t.Detail
	r := truth[d.To]
	if r == nil {
		r = &received{}
	}
	onChain := map[account.Outpoint]receivedOutput{}
	for _, o := range r.outputs {
		onChain[o.out] = o
	}
	var refunded account.Money
	for _, o := range d.Outputs {
		c, there := onChain[o.Out]
		switch {
		case there && (o.Gone || o.Height != c.height || o.BTC != c.btc):
			return fmt.Errorf("payment %s has output %+v, the chain has %+v", t.id, o, c)
		case !there && !o.Gone && o.Height > 0:
			return fmt.Errorf("payment %s has output %+v, which the chain has not", t.id, o)
		case there:
			refunded += o.Refunded
		}
		if o.Refunded > 0 {
			s.count.refunds++
		}
	}
	what := fmt.Sprintf("payment %s (%s by %q) of %s AITBC for %s BTC, %s AITBC of it credited and %s frozen, %s BTC to be refunded, with outputs %+v, was paid %s BTC",
		t.id, t.Status, d.By, t.Amount, d.BTC, t.Credited(), d.Frozen, refunded, d.Outputs, r.sum)
	if t.Status == account.Pending {
		return fmt.Errorf("%s: it is not over", what)
	}
	credited := t.Credited() - d.Frozen
	allowed, byHand := r.sum, t.Status == account.Completed && d.By != "chain"
	if credited == t.Amount { // the tolerance is the exchange's loss
		allowed += account.Money(int64(d.BTC) * s.lifeAt(t.CreatedAt).policy.TolerancePPM / 1_000_000)
	}
	if byHand || s.lifted[t.id] { // the operator answers for what was wanting then
		wanting := priceOf(t, t.Credited(), false)
		for _, out := range s.answered[t.id] {
			wanting -= onChain[out].btc
		}
		allowed += max(0, wanting)
	}
	if given := priceOf(t, credited, false) + refunded; given > allowed {
		return fmt.Errorf("%s: %s BTC is given, and %s may be", what, given, allowed)
	}
	if given := priceOf(t, credited, true) + refunded; given+1 < r.sum && !byHand && !s.lifted[t.id] {
		return fmt.Errorf("%s: %s BTC of it is nobody's", what, r.sum-given)
	}
	return nil
}

// priceOf is what an amount of AITBC costs in satoshi at a payment's quote.
func priceOf(t *btcTransaction, amount account.Money, up bool) account.Money {
	hi, lo := bits.Mul64(uint64(amount), uint64(t.Detail.BTC))
	if up {
		var carry uint64
		lo, carry = bits.Add64(lo, uint64(t.Amount)-1, 0)
		hi += carry
	}
	q, _ := bits.Div64(hi, lo, uint64(t.Amount))
	return account.Money(q)
}

// checkSaleAtEnd: a sale that the chain completed is paid, and one that is paid is
// completed.
func (s *btcSim) checkSaleAtEnd(t *btcTransaction, truth map[string]*received) error {
	var paid account.Money
	if r := truth[t.Detail.To]; r != nil {
		paid = r.sum
	}
	if s.tainted[t.Detail.To] {
		if t.Status == account.Completed && paid == 0 && len(s.alerts.with("ALERT")) == 0 {
			return fmt.Errorf("sale %s was paid for good, which the chain took back, and no operator is told", t.id)
		}
		return nil
	}
	what := fmt.Sprintf("sale %s of %s BTC to %s, %s by %q in payout %d", t.id, t.Detail.BTC, t.Detail.To, t.Status, t.Detail.By, t.state.ClaimOf(t.id.N))
	switch {
	case t.Status == account.Completed && t.Detail.By == "chain" && paid != t.Detail.BTC:
		return fmt.Errorf("%s is paid %s BTC", what, paid)
	case t.Status == account.Pending && paid > 0:
		return fmt.Errorf("%s is paid %s BTC and not completed", what, paid)
	}
	return nil
}

// reconcileAtEnd: the exchange's own comparison finds nothing where nobody did wrong.
func (s *btcSim) reconcileAtEnd() error {
	tip := s.node.Tip().Height
	found, err := s.x.Reconcile(context.Background(), max(s.base+1, tip-actors.MaxReconcile+1), tip)
	if err != nil {
		return err
	}
	for _, d := range found {
		s.note("reconcile: %+v", d)
	}
	byHand := slices.ContainsFunc(s.transactions(isTrade), func(t btcTransaction) bool {
		return t.Status == account.Completed && t.Detail.By != "chain"
	})
	if len(found) > 0 && s.blamed == "" && !byHand && len(s.lifted) == 0 {
		return fmt.Errorf("reconcile finds %d differences: %+v", len(found), found)
	}
	s.count.reconciled++
	return nil
}
