package actors

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/aitbc/exchange/actors/account"
)

// Which payout has a sale, and who may end it, follows from one thing: the transactions
// that may still pay it (account.PayoutIndex).

// claims makes the claims of the open sales agree with the payouts: an export may have
// claimed some and not been recorded, and a cancellation not have freed them; and what a
// block pays, is the payout's that pays it, cancelled or not. The caller holds one.
func (p *payouts) claims(ctx context.Context) error {
	x := p.exchange
	type claim struct {
		payout uint32
		mined  bool
	}
	wanted := map[account.TransactionID][]claim{}
	index := p.index()
	for _, tx := range index.All() {
		if tx.Height == 0 || tx.Payout == 0 || p.paid[tx.ID] {
			continue
		}
		for _, paid := range tx.Pays {
			if x.open.has(account.TypeSell, paid.Sale) {
				wanted[paid.Sale] = append(wanted[paid.Sale], claim{tx.Payout, true})
			}
		}
	}
	for _, payout := range p.all().List {
		if payout.Cancelled && payout.SpentBy == (account.ChainHash{}) {
			continue
		}
		isOver := payout.Cancelled || payout.Confirmed
		for _, sale := range payout.Sales {
			if x.open.has(account.TypeSell, sale) && (!isOver || mayPay(index, sale, payout.Number)) {
				wanted[sale] = append(wanted[sale], claim{payout.Number, false})
			}
		}
	}
	var orders []order
	for _, id := range x.open.ids(account.TypeSell) {
		u, state := x.directory.find(id.User)
		have, want, mined := state.ClaimOf(id.N), uint32(0), false
		for _, c := range wanted[id] { // those in a block come first
			if want == 0 || (c.mined == mined && c.payout == have) {
				want, mined = c.payout, c.mined
			}
		}
		if have == want {
			continue
		}
		if have != 0 {
			orders = append(orders, order{u, &account.FreeSale{N: id.N, Payout: have}})
		}
		if want != 0 {
			orders = append(orders, order{u, &account.ClaimSale{N: id.N, Payout: want, Chain: true}})
		}
	}
	return x.payments.sendAll(ctx, orders)
}

// mayPay reports whether a transaction of a payout may still pay a sale.
func mayPay(index *account.PayoutIndex, sale account.TransactionID, payout uint32) bool {
	for _, tx := range index.MayPay(sale) {
		if tx.Payout == payout {
			return true
		}
	}
	return false
}

// endSale ends a sale by hand with do, unless a transaction may still pay it: then the
// user would have both. Nothing becomes known in between.
func (p *payouts) endSale(id account.TransactionID, do func() (Receipt, error)) (Receipt, error) {
	isFree, err := p.isFree(id)
	if err != nil {
		return Receipt{}, err
	}
	if t, _, ok := p.exchange.Transaction(id); p.isOff() || !ok || t.Type != account.TypeSell {
		return do()
	}
	if isFree { // a log that was restored may not know of the payout that has paid it
		if err := p.followed(p.compared.Load); err != nil {
			return Receipt{}, err
		}
	}
	p.one.Lock()
	defer p.one.Unlock()
	if _, err := p.isFree(id); err != nil {
		return Receipt{}, err
	}
	return do()
}

// isFree reports whether a transaction is a sale that is open and in no payout, and
// refuses one that a payout may still pay. All others have their own rules.
func (p *payouts) isFree(id account.TransactionID) (bool, error) {
	t, state, ok := p.exchange.Transaction(id)
	if !ok || t.Type != account.TypeSell || t.Status != account.Pending || state.ClaimOf(id.N) != 0 {
		return false, nil
	}
	if living := p.index().MayPay(id); len(living) > 0 {
		tx := living[0]
		return false, &account.Error{Code: account.CodeInPayout, Message: fmt.Sprintf(
			"payout %d, which was cancelled, may still pay this sale, by transaction %s: first another transaction has to spend one of its coins, as the next payout of the sale does, or any that payouts cancel --payout %d --spent-by names",
			tx.Payout, tx.ID, tx.Payout)}
	}
	return true, nil
}

// isAlarming reports whether a refusal of o means that what the chain pays has no sale to
// go to: nothing else may end a sale meanwhile.
func (p *payouts) isAlarming(o order) bool { return saleOf(o) != account.TransactionID{} }

// saleOf returns the sale that the chain pays by o, if o is such a command.
func saleOf(o order) account.TransactionID {
	switch c := o.command.(type) {
	case *account.PaySale:
		return account.TransactionID{User: o.user.id, N: c.N}
	case *account.ClaimSale:
		if c.Chain {
			return account.TransactionID{User: o.user.id, N: c.N}
		}
	}
	return account.TransactionID{}
}

// settle confirms what has its confirmations, completes the sales that it pays, those of
// a stop in between too, and ends the payouts whose coins it has taken.
func (p *payouts) settle(ctx context.Context) error {
	if p.isOff() {
		return nil
	}
	p.one.Lock()
	defer p.one.Unlock()
	return p.settleLocked(ctx)
}

func (p *payouts) settleLocked(ctx context.Context) error {
	tip, wanted := p.exchange.payments.tip.Load(), int32(p.exchange.cfg.Terms.Confirmations)
	for _, tx := range p.index().All() {
		if tx.Height == 0 || tx.Confirmed || tip-tx.Height+1 < wanted {
			continue
		}
		var confirm account.Command = &account.ConfirmPayoutTx{TxID: tx.ID}
		if payout, ok := p.all().At(tx.Payout); ok && payout.PaidBy == (account.ChainHash{}) && payout.TxID == tx.ID {
			confirm = &account.ConfirmPayout{Number: payout.Number}
		}
		if err := p.system(ctx, confirm); err != nil {
			return err
		}
	}
	if err := p.pay(ctx, wanted); err != nil {
		return err
	}
	if err := p.end(ctx); err != nil {
		return err
	}
	return p.claims(ctx)
}

// pay completes the sales that confirmed transactions pay.
func (p *payouts) pay(ctx context.Context, wanted int32) error {
	var orders []order
	var done []account.ChainHash
	for _, tx := range p.index().All() {
		if !tx.Confirmed || p.paid[tx.ID] {
			continue
		}
		done = append(done, tx.ID)
		for _, paid := range tx.Pays {
			u, _ := p.exchange.directory.find(paid.Sale.User)
			if u == nil {
				continue
			}
			if p.exchange.open.has(account.TypeSell, paid.Sale) {
				orders = append(orders, order{u, &account.PaySale{N: paid.Sale.N, Payout: tx.Payout, TxHash: tx.ID.String(), Confirmations: uint32(wanted)}})
				continue
			}
			if t, _, ok := p.exchange.Transaction(paid.Sale); ok && !isPaidBy(&t, tx.ID) {
				p.exchange.log.Error("ALERT: a payout paid a sale that had ended otherwise: the user has both, or the exchange paid twice",
					slog.String("sale", paid.Sale.String()), slog.String("status", t.Status.String()), slog.String("ended_by_tx", t.Detail.TxHash),
					slog.Int("payout", int(tx.Payout)), slog.String("tx", tx.ID.String()))
			}
		}
	}
	if err := p.exchange.payments.sendAll(ctx, orders); err != nil {
		return err
	}
	for _, id := range done {
		p.paid[id] = true
	}
	return nil
}

// isPaidBy reports whether a sale was completed with a transaction.
func isPaidBy(t *account.Transaction, id account.ChainHash) bool {
	return t.Status == account.Completed && t.Detail != nil && strings.EqualFold(t.Detail.TxHash, id.String())
}

// end gives up the payouts that can't be paid any more, because what took their coins
// pays some of their sales, and takes back what a reorganisation has made untrue. What
// pays none is for an operator to look at.
func (p *payouts) end(ctx context.Context) error {
	index := p.index()
	for _, payout := range p.all().List {
		if payout.SpentBy != (account.ChainHash{}) {
			if tx, known := index.At(payout.SpentBy); known && tx.Height == 0 {
				if err := p.system(ctx, &account.UnspendPayout{Number: payout.Number}); err != nil {
					return err
				}
				p.exchange.log.Error("ALERT: a reorganisation took back what had spent a coin of a cancelled payout: it may be paid after all",
					slog.Int("payout", int(payout.Number)), slog.String("tx", tx.ID.String()), slog.Any("sales_elsewhere", p.elsewhere(payout)))
			}
		}
		if payout.Cancelled || payout.Confirmed || payout.Height > 0 {
			continue
		}
		tx := index.TakenBy(payout)
		if tx == nil {
			continue
		}
		pays := 0
		for _, sale := range payout.Sales {
			if tx.Sale(sale) {
				pays++
			}
		}
		if pays == 0 {
			if !p.told[tx.ID] {
				p.told[tx.ID] = true
				p.exchange.log.Error("ALERT: a payout can't be paid any more: a transaction that pays none of its sales has taken a coin of it; look for who sent it, then cancel the payout with --spent-by",
					slog.Int("payout", int(payout.Number)), slog.String("tx", tx.ID.String()))
			}
			continue
		}
		reason := fmt.Sprintf("transaction %s has taken its coins, and pays %d of its sales", tx.ID, pays)
		if err := p.system(ctx, &account.CancelPayout{Number: payout.Number, SpentBy: tx.ID, By: "chain", Reason: reason}); err != nil {
			return err
		}
	}
	return nil
}

// elsewhere returns the sales of a payout that have ended, or are in another one.
func (p *payouts) elsewhere(payout *account.Payout) (sales []string) {
	for _, sale := range payout.Sales {
		t, state, ok := p.exchange.Transaction(sale)
		if !ok {
			continue
		}
		if claim := state.ClaimOf(sale.N); t.Status != account.Pending || (claim != 0 && claim != payout.Number) {
			sales = append(sales, sale.String())
		}
	}
	return sales
}
