package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
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
	p.exchange.payments.finished.Add(2)
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
	go func() {
		defer p.exchange.payments.finished.Done()
		p.lookForLost(payer)
	}()
}

// isBuried says of coins whether a confirmed transaction has spent them that no
// reorganisation reaches.
func (p *payouts) isBuried(r Resume) func(wire.OutPoint) bool {
	index := p.index()
	return func(coin wire.OutPoint) bool {
		return len(r.Trail) > 0 && slices.ContainsFunc(index.Spending(outpointOf(coin)), func(tx *account.PayoutTx) bool {
			return tx.Confirmed && tx.Height < r.Trail[0].Height
		})
	}
}

// reclaim makes the claims of the sales agree with the payouts. The caller holds one.
func (p *payouts) reclaim() error {
	// An export whose outcome was unknown is known after this, which asks for nothing.
	var refused *account.Error
	if _, err := p.exchange.do(p.exchange.cursor, &account.UnminePayout{}, nil); err != nil && !errors.As(err, &refused) {
		return err
	}
	return p.claims(p.exchange.payments.ctx)
}

// lookAfter is how often it is tried to compare the coins with the node.
const lookAfter = 100 * time.Millisecond

// lookForLost compares the coins of payouts with the node's, once the chain is followed to
// its end: one that is spent, by a block that was read before what spends coins was
// recorded, may have paid the sales.
func (p *payouts) lookForLost(payer Payer) {
	x, ctx := p.exchange, p.exchange.payments.ctx
	until := func(done func() bool) bool {
		for !done() {
			select {
			case <-ctx.Done():
				return false
			case <-time.After(lookAfter):
			}
		}
		return true
	}
	var gone map[uint32]account.Outpoint
	var info bitcoin.NodeInfo
	ok := until(func() bool {
		if !p.isFollowed(payer) {
			return false
		}
		var err error
		if gone, err = p.goneCoins(ctx, payer); err == nil {
			info, err = payer.Node().Info(ctx)
		}
		return err == nil
	})
	// A block may have come meanwhile: what it has is known once it is followed.
	if !ok || !until(func() bool { return x.payments.tip.Load() >= info.Tip.Height && p.isFollowed(payer) }) {
		return
	}
	if !until(func() bool { return p.lookUpSpenders(ctx, payer) == nil }) {
		return
	}
	p.one.Lock()
	defer p.one.Unlock()
	p.compared.Store(true)
	for number, coin := range gone {
		if !p.isKnownSpent(coin) {
			p.lost[number] = coin
			x.log.Error("ALERT: a coin of a payout is spent on the chain, and nobody knows by what: its sales may be paid; find the transaction, and name it with payouts cancel --payout N --spent-by TXID, which takes it over if it pays them",
				slog.Int("payout", int(number)), slog.String("coin", coin.String()))
		}
	}
}

// lookUpSpenders asks the node for the transactions that took coins of cancelled payouts by
// an operator's word, and were not recorded: one may have paid the sales that were freed.
// Its error is the node's.
func (p *payouts) lookUpSpenders(ctx context.Context, payer Payer) error {
	p.one.Lock()
	defer p.one.Unlock()
	for _, payout := range p.all().List {
		if _, known := p.index().At(payout.SpentBy); known || payout.SpentBy == (account.ChainHash{}) {
			continue
		}
		refuse := func(format string, args ...any) error {
			return &account.Error{Code: account.CodePayoutState, Message: fmt.Sprintf(format, args...)}
		}
		err := p.lookUp(ctx, payer, payout.SpentBy, refuse)
		var refused *account.Error
		if errors.As(err, &refused) {
			p.exchange.log.Warn("what spent a coin of a cancelled payout can't be looked up; whether it pays sales is not known",
				slog.Int("payout", int(payout.Number)), slog.Any("error", err))
		} else if err != nil {
			return err
		}
	}
	return nil
}

// goneCoins returns a coin of each payout that the node says is spent by a block that is
// not known.
func (p *payouts) goneCoins(ctx context.Context, payer Payer) (gone map[uint32]account.Outpoint, err error) {
	gone = map[uint32]account.Outpoint{}
	for _, payout := range p.all().List {
		if payout.Confirmed || payout.Height > 0 || payout.SpentBy != (account.ChainHash{}) || !p.hasOpen(payout) {
			continue
		}
		for _, coin := range payout.Coins {
			if p.isKnownSpent(coin.Out) {
				continue
			}
			there, err := payer.Node().UnspentInBlocks(ctx, wireOut(coin.Out))
			if err != nil {
				return nil, err
			}
			if !there.Found {
				gone[payout.Number] = coin.Out
				break
			}
		}
	}
	return gone, nil
}

func (p *payouts) hasOpen(payout *account.Payout) bool {
	return slices.ContainsFunc(payout.Sales, func(sale account.TransactionID) bool { return p.exchange.open.has(account.TypeSell, sale) })
}

// isKnownSpent reports whether a transaction that is known to be in a block spends a coin.
func (p *payouts) isKnownSpent(coin account.Outpoint) bool {
	return slices.ContainsFunc(p.index().Spending(coin), func(tx *account.PayoutTx) bool { return tx.Height > 0 })
}

// findLost forgets the lost coins of which it is known by now what spends them.
func (p *payouts) findLost() {
	maps.DeleteFunc(p.lost, func(_ uint32, out account.Outpoint) bool { return p.isKnownSpent(out) })
}

// isFollowed reports whether everything that the chain and the node's mempool have is known.
func (p *payouts) isFollowed(payer Payer) bool {
	return payer.Status().State == bitcoin.Following && !payer.KnownUntil().IsZero()
}

// followed waits a moment for isReady, and refuses what would be decided without: another
// payout of the same sales may be there.
func (p *payouts) followed(isReady func() bool) error {
	const patience = 5 * time.Second
	for deadline := time.Now().Add(patience); !isReady(); {
		if time.Now().After(deadline) {
			return ErrChainBehind
		}
		select {
		case <-p.exchange.payments.ctx.Done():
			return ErrChainBehind
		case <-time.After(lookAfter / 2):
		}
	}
	return nil
}

// resendAfter is how long a signed payout waits to be sent once more.
const resendAfter = 5 * time.Second

// keepSending sends signed payouts until they are in a block, or the exchange closes.
func (p *payouts) keepSending(payer Payer) {
	ctx, told := p.exchange.payments.ctx, map[uint32]bool{}
	for {
		for _, payout := range p.all().List {
			if payout.Status() != account.PayoutIsSigned || slices.ContainsFunc(payout.Coins, func(c account.PayoutCoin) bool { return p.isKnownSpent(c.Out) }) {
				continue
			}
			if tx, known := p.index().At(payout.SentTx()); known {
				if other, _ := p.beside(payout, tx.ID, tx.Spends); other != nil {
					continue // which was an alert: the exchange does not pay twice by itself
				}
			}
			err := p.send(ctx, payer, payout)
			if err != nil && ctx.Err() == nil && !told[payout.Number] {
				told[payout.Number] = true
				p.exchange.log.Warn("a signed payout cannot be sent, trying again", slog.Int("payout", int(payout.Number)),
					slog.String("tx", payout.SentTx().String()), slog.Any("error", err))
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

// resume is what the chain has to know of payouts after a restart.
func (p *payouts) resume() (r Resume) {
	if _, err := p.payer(); err != nil {
		return r
	}
	r.NextChange = p.nextNumber() // a restored log has skipped those of payouts that it has lost
	for _, payout := range p.all().List {
		r.NextChange = max(r.NextChange, payout.ChangeIndex+1)
		for _, coin := range payout.Coins {
			r.Coins = append(r.Coins, wireOut(coin.Out))
		}
	}
	for _, tx := range p.index().All() {
		for _, coin := range tx.Change {
			r.NextChange = max(r.NextChange, coin.Index+1)
			r.Coins = append(r.Coins, wireOut(coin.Out))
		}
		if tx.Height > 0 {
			r.Spends = append(r.Spends, bitcoin.SpentInBlock{
				Spend: bitcoin.Spend{ID: [32]byte(tx.ID)},
				Block: bitcoin.Ref{Height: tx.Height, Hash: [32]byte(tx.Block)},
			})
		}
	}
	return r
}

// observe tells the operator what they must know. It is called in the journal's order.
func (p *payouts) observe(event account.Event) {
	log := p.exchange.log
	mined := func(number uint32, tx account.ChainHash) {
		if payout, ok := p.all().At(number); ok && payout.Cancelled {
			log.Error("ALERT: a payout that was cancelled is in a block", slog.Int("payout", int(number)), slog.String("tx", tx.String()))
		}
	}
	const unmined = "a reorganisation took a payout out of its block; it is sent again"
	switch e := event.(type) {
	case *account.PayoutExported:
		log.Info("a payout was exported", slog.Int("payout", int(e.Payout.Number)), slog.Int("sales", len(e.Payout.Sales)), slog.String("by", e.Payout.By))
	case *account.PayoutSigned, *account.PayoutReplaced:
		p.wakeSender()
	case *account.PayoutMined:
		if payout, ok := p.all().At(e.Number); ok {
			mined(e.Number, payout.TxID)
		}
	case *account.PayoutTxMined:
		if tx, ok := p.index().At(e.TxID); ok {
			mined(tx.Payout, tx.ID)
		}
	case *account.PayoutUnmined:
		log.Warn(unmined, slog.Int("payout", int(e.Number)))
		p.wakeSender()
	case *account.PayoutTxUnmined:
		if tx, ok := p.index().At(e.TxID); ok {
			log.Warn(unmined, slog.Int("payout", int(tx.Payout)), slog.String("tx", tx.ID.String()))
		}
		p.wakeSender()
	case *account.PayoutConfirmed:
		log.Info("a payout is confirmed", slog.Int("payout", int(e.Number)))
	}
}

// wakeSender has what is signed sent at once.
func (p *payouts) wakeSender() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}
