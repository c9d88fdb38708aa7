package actors

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// start brings what a stop left half done to its end, and begins to send.
func (p *payouts) start() {
	payer, err := p.payer()
	if err != nil {
		return
	}
	p.exchange.payments.finished.Add(1)
	go func() {
		defer p.exchange.payments.finished.Done()
		p.one.Lock()
		err := p.reclaim()
		p.one.Unlock()
		if err != nil && p.exchange.payments.ctx.Err() == nil {
			p.exchange.log.Warn("sales and payouts are not compared; the next export does it", slog.Any("error", err))
		}
		p.keepSending(payer)
	}()
}

// reclaim makes the claims of the sales agree with the payouts: an export may have
// claimed some and not been recorded, and a cancellation not have freed them. The
// caller holds one.
func (p *payouts) reclaim() error {
	// An export whose outcome was unknown is known after this, which asks for nothing.
	var refused *account.Error
	if _, err := p.exchange.do(p.exchange.cursor, &account.UnminePayout{}, nil); err != nil && !errors.As(err, &refused) {
		return err
	}
	claimed := map[account.TransactionID]uint32{}
	for _, payout := range p.all().List {
		if payout.Status() != account.PayoutIsCancelled {
			for _, sale := range payout.Sales {
				claimed[sale] = payout.Number
			}
		}
	}
	var orders []order
	for _, id := range p.exchange.open.ids(account.TypeSell) {
		u, state := p.exchange.directory.find(id.User)
		have, want := state.ClaimOf(id.N), claimed[id]
		if have != 0 && have != want {
			orders = append(orders, order{u, &account.FreeSale{N: id.N, Payout: have}})
		}
		if want != 0 && have != want {
			orders = append(orders, order{u, &account.ClaimSale{N: id.N, Payout: want}})
		}
	}
	return p.exchange.payments.sendAll(p.exchange.payments.ctx, orders)
}

// resendAfter is how long a signed payout waits to be sent once more.
const resendAfter = 5 * time.Second

// keepSending sends signed payouts until they are in a block, or the exchange closes.
func (p *payouts) keepSending(payer Payer) {
	ctx, told := p.exchange.payments.ctx, map[uint32]bool{}
	for {
		for _, payout := range p.all().List {
			if payout.Status() != account.PayoutIsSigned {
				continue
			}
			err := p.send(ctx, payer, payout)
			if err != nil && ctx.Err() == nil && !told[payout.Number] {
				told[payout.Number] = true
				p.exchange.log.Warn("a signed payout cannot be sent, trying again", slog.Int("payout", int(payout.Number)),
					slog.String("tx", payout.TxID.String()), slog.Any("error", err))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-time.After(resendAfter):
		}
	}
}

// take returns the order that a fact about a payout's transaction leads to.
func (p *payouts) take(fact bitcoin.Fact) (order, bool) {
	switch f := fact.(type) {
	case *bitcoin.InBlock:
		if _, ours := p.all().ByTx(account.ChainHash(f.Out.Hash)); ours {
			return order{p.exchange.cursor, &account.MinePayout{TxID: account.ChainHash(f.Out.Hash), Height: f.Block.Height, Block: account.ChainHash(f.Block.Hash)}}, true
		}
	case *bitcoin.Removed:
		if payout, ours := p.all().ByTx(account.ChainHash(f.Out.Hash)); ours && f.Block.Height > 0 {
			if payout.Confirmed && payout.Block == account.ChainHash(f.Block.Hash) {
				p.exchange.log.Error("ALERT: a reorganisation took back a payout that was confirmed; look for its transaction",
					slog.Int("payout", int(payout.Number)), slog.String("tx", payout.TxID.String()))
			}
			return order{p.exchange.cursor, &account.UnminePayout{TxID: account.ChainHash(f.Out.Hash), Height: f.Block.Height, Block: account.ChainHash(f.Block.Hash)}}, true
		}
	}
	return order{}, false
}

// settle confirms the payouts that have their confirmations, and completes the sales
// of confirmed ones: those of a stop in between too.
func (p *payouts) settle(ctx context.Context) error {
	tip, wanted := p.exchange.payments.tip.Load(), int32(p.exchange.cfg.Terms.Confirmations)
	for _, payout := range p.all().List {
		if payout.Status() == account.PayoutIsMined && tip-payout.Height+1 >= wanted {
			confirm := order{p.exchange.cursor, &account.ConfirmPayout{Number: payout.Number}}
			if err := p.exchange.payments.sendAll(ctx, []order{confirm}); err != nil {
				return err
			}
		}
	}
	var orders []order
	for _, payout := range p.all().List {
		if !payout.Confirmed {
			continue
		}
		for _, sale := range payout.Sales {
			if u, _ := p.exchange.directory.find(sale.User); u != nil && p.exchange.open.has(account.TypeSell, sale) {
				orders = append(orders, order{u, &account.PaySale{N: sale.N, Payout: payout.Number, TxHash: payout.TxID.String(), Confirmations: uint32(wanted)}})
			}
		}
	}
	return p.exchange.payments.sendAll(ctx, orders)
}

// resume is what the chain has to know of payouts after a restart.
func (p *payouts) resume() (r Resume) {
	payer, err := p.payer()
	if err != nil {
		return r
	}
	for _, payout := range p.all().List {
		address := p.address(payer, payout)
		if address == "" {
			continue
		}
		r.Addresses = append(r.Addresses, address)
		if payout.Height > 0 {
			r.Outputs = append(r.Outputs, bitcoin.InBlock{
				Output: bitcoin.Output{Out: wire.OutPoint{Hash: [32]byte(payout.TxID)}, Address: address},
				Block:  bitcoin.Ref{Height: payout.Height, Hash: [32]byte(payout.Block)},
			})
		}
	}
	return r
}

// address is where the first output of a payout goes, by which its transaction is found.
func (p *payouts) address(payer Payer, payout *account.Payout) string {
	t, _, ok := p.exchange.Transaction(payout.Sales[0])
	if !ok || t.Detail == nil {
		return ""
	}
	return t.Detail.To
}

// observe tells the operator what they must know. It is called in the journal's order.
func (p *payouts) observe(event account.Event) {
	log := p.exchange.log
	switch e := event.(type) {
	case *account.PayoutExported:
		log.Info("a payout was exported", slog.Int("payout", int(e.Payout.Number)), slog.Int("sales", len(e.Payout.Sales)), slog.String("by", e.Payout.By))
	case *account.PayoutSigned:
		select {
		case p.wake <- struct{}{}:
		default:
		}
	case *account.PayoutMined:
		if payout, ok := p.all().At(e.Number); ok && payout.Cancelled {
			log.Error("ALERT: a payout that was cancelled is in a block", slog.Int("payout", int(e.Number)), slog.String("tx", payout.TxID.String()))
		}
	case *account.PayoutUnmined:
		log.Warn("a reorganisation took a payout out of its block; it is sent again", slog.Int("payout", int(e.Number)))
		select {
		case p.wake <- struct{}{}:
		default:
		}
	case *account.PayoutConfirmed:
		log.Info("a payout is confirmed", slog.Int("payout", int(e.Number)))
	}
}
