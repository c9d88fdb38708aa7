package actors

import (
	"bytes"
	"context"
	"log/slog"
	"slices"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// What the chain shows of the exchange's coins. A transaction that spends coins of a
// payout and pays its sales is that payout, whoever made it.

// index returns which transactions may pay which sales, of what is durable.
func (p *payouts) index() *account.PayoutIndex {
	state := p.exchange.cursor.durable.Load()
	if c := p.indexed.Load(); c != nil && state != nil && c.payouts == state.Payouts && c.txs == state.PayoutTxs {
		return c.index
	}
	c := &indexedPayouts{index: account.IndexPayouts(state)}
	if state != nil {
		c.payouts, c.txs = state.Payouts, state.PayoutTxs
	}
	p.indexed.Store(c)
	return c.index
}

// indexedPayouts is an index, and what it was made of.
type indexedPayouts struct {
	payouts *account.Payouts
	txs     *account.PayoutTxs
	index   *account.PayoutIndex
}

// record makes durable what facts say of transactions that spend the exchange's coins,
// and claims the sales that a block pays, so that nobody ends them otherwise.
func (p *payouts) record(ctx context.Context, facts []bitcoin.Fact) error {
	isSpend := func(fact bitcoin.Fact) bool {
		switch fact.(type) {
		case *bitcoin.Spent, *bitcoin.SpentInBlock, *bitcoin.SpentRemoved:
			return true
		}
		return false
	}
	payer, err := p.payer()
	if err != nil || !slices.ContainsFunc(facts, isSpend) {
		return nil
	}
	p.one.Lock()
	defer p.one.Unlock()
	for _, fact := range facts {
		switch f := fact.(type) {
		case *bitcoin.Spent:
			err = p.learn(ctx, payer, &f.Spend)
		case *bitcoin.SpentInBlock:
			if err = p.learn(ctx, payer, &f.Spend); err == nil {
				err = p.system(ctx, &account.MinePayout{TxID: account.ChainHash(f.ID), Height: f.Block.Height, Block: account.ChainHash(f.Block.Hash)})
			}
		case *bitcoin.SpentRemoved:
			err = p.unmine(ctx, f)
		}
		if err != nil {
			return err
		}
	}
	p.findLost()
	return p.claims(ctx)
}

// system gives a command to the system account, and returns when it is durable.
func (p *payouts) system(ctx context.Context, command account.Command) error {
	return p.exchange.payments.sendAll(ctx, []order{{p.exchange.cursor, command}})
}

func (p *payouts) unmine(ctx context.Context, f *bitcoin.SpentRemoved) error {
	tx, known := p.index().At(account.ChainHash(f.ID))
	if !known || f.Block.Height == 0 { // what left the mempool may come back
		return nil
	}
	if tx.Confirmed && tx.Block == account.ChainHash(f.Block.Hash) {
		p.exchange.log.Error("ALERT: a reorganisation took back a transaction that was confirmed, and that spends coins of payouts; look for it",
			slog.Int("payout", int(tx.Payout)), slog.String("tx", tx.ID.String()))
	}
	return p.system(ctx, &account.UnminePayout{TxID: tx.ID, Height: f.Block.Height, Block: account.ChainHash(f.Block.Hash)})
}

// learn records a transaction that is not known yet. The caller holds one.
func (p *payouts) learn(ctx context.Context, payer Payer, spend *bitcoin.Spend) error {
	id := account.ChainHash(spend.ID)
	if _, known := p.index().At(id); known {
		return nil
	}
	log := p.exchange.log.With(slog.String("tx", id.String()))
	coins := make([]account.Outpoint, len(spend.Coins))
	for i, coin := range spend.Coins {
		coins[i] = outpointOf(coin)
	}
	treasury := p.treasury()
	tx, touched := p.describe(payer, spend.Tx, coins, treasury)
	switch {
	case tx.Payout != 0:
		log.Warn("a payout is on its way by another transaction than was exported", slog.Int("payout", int(tx.Payout)), slog.Int("sales", len(tx.Pays)))
		return p.system(ctx, &account.RecordPayoutTx{Tx: tx})
	case len(tx.Pays) > 0:
		return p.adopt(ctx, &tx, spend.Tx, treasury)
	case len(touched) > 0:
		log.Warn("a transaction that pays no sale spends a coin of a payout", slog.Int("payout", int(touched[0].Number)))
		return p.system(ctx, &account.RecordPayoutTx{Tx: tx})
	}
	for _, out := range coins {
		if coin, ours := treasury[out]; ours && coin.counts && !p.told[id] {
			p.told[id] = true
			log.Error("ALERT: coins of the exchange were spent without a payout, and no sale is paid", slog.String("coin", out.String()), slog.String("btc", coin.BTC.String()))
		}
	}
	return nil
}

// adopt records a transaction that pays sales from coins that are in no payout as a
// payout of its own: the log was restored from before it was exported.
func (p *payouts) adopt(ctx context.Context, tx *account.PayoutTx, raw *wire.MsgTx, treasury map[account.Outpoint]treasuryCoin) error {
	payout := account.Payout{Fee: tx.Fee, TxID: tx.ID, By: "chain"}
	for _, paid := range tx.Pays {
		if len(payout.Sales) == account.MaxPayoutSales {
			break // the transaction itself has them all
		}
		payout.Sales = append(payout.Sales, paid.Sale)
	}
	for _, out := range tx.Spends {
		if len(payout.Coins) == account.MaxPayoutCoins {
			break
		}
		coin := treasury[out].PayoutCoin
		coin.Out = out
		payout.Coins = append(payout.Coins, coin)
	}
	for _, coin := range tx.Change {
		payout.Change += coin.BTC
		payout.ChangeIndex = coin.Index
	}
	command := &account.AdoptPayout{Payout: payout, Tx: *tx}
	var signed, unsigned bytes.Buffer
	if err := raw.Serialize(&signed); err == nil && signed.Len() <= account.MaxPayoutTx {
		command.Raw = signed.Bytes()
	}
	if err := raw.SerializeNoWitness(&unsigned); err == nil && unsigned.Len() <= account.MaxPayoutTx {
		command.Payout.Unsigned = unsigned.Bytes()
	}
	if err := p.system(ctx, command); err != nil {
		return err
	}
	p.exchange.log.Error("ALERT: the chain pays sales from the exchange's coins, and the log has no such payout: it is taken over; was the log restored?",
		slog.String("tx", tx.ID.String()), slog.Int("sales", len(tx.Pays)))
	for _, paid := range tx.Pays {
		for _, other := range p.index().MayPay(paid.Sale) {
			if other.ID != tx.ID && !slices.ContainsFunc(other.Spends, func(out account.Outpoint) bool { return slices.Contains(tx.Spends, out) }) {
				p.exchange.log.Error("ALERT: a sale may be paid twice", slog.String("sale", paid.Sale.String()),
					slog.String("tx", tx.ID.String()), slog.String("other_tx", other.ID.String()), slog.Int("other_payout", int(other.Payout)))
			}
		}
	}
	return nil
}

// describe says of a transaction, which spends coins of the exchange's, which sales it
// pays and what comes back, and returns the payouts whose coins it spends, those first
// that it is most likely of. The caller holds one.
func (p *payouts) describe(payer Payer, raw *wire.MsgTx, coins []account.Outpoint, treasury map[account.Outpoint]treasuryCoin) (account.PayoutTx, []*account.Payout) {
	tx := account.PayoutTx{ID: account.ChainHash(raw.TxHash()), Spends: coins[:min(len(coins), account.MaxTxCoins)]}
	touched := p.spentBy(coins)
	left := payees{network: payer.Keys().Network(), byAmount: map[account.Money][]int{}, outs: raw.TxOut}
	for i, out := range raw.TxOut {
		left.byAmount[account.Money(out.Value)] = append(left.byAmount[account.Money(out.Value)], i)
	}
	var candidates []account.TransactionID
	for _, payout := range touched {
		candidates = append(candidates, payout.Sales...)
	}
	candidates = append(candidates, p.exchange.open.ids(account.TypeSell)...)
	done, paid := map[account.TransactionID]bool{}, map[int]bool{}
	for _, pending := range [...]bool{true, false} { // of two alike, the one that waits for it
		for _, sale := range candidates {
			t, _, ok := p.exchange.Transaction(sale)
			if !ok || t.Detail == nil || done[sale] || (t.Status == account.Pending) != pending || len(tx.Pays) == account.MaxTxSales {
				continue
			}
			done[sale] = true
			if i, ok := left.take(t.Detail.To, t.Detail.BTC); ok {
				paid[i] = true
				tx.Pays = append(tx.Pays, account.PaidSale{Sale: sale, Index: uint32(i)})
			}
		}
	}
	for i, out := range raw.TxOut {
		if index, ours := payer.ChangeIndex(out.PkScript); ours && !paid[i] && len(tx.Change) < account.MaxTxCoins {
			tx.Change = append(tx.Change, account.PayoutCoin{
				Out: account.Outpoint{TxID: tx.ID, Index: uint32(i)}, BTC: account.Money(out.Value), Change: true, Index: index,
			})
		}
	}
	most := 0
	for _, payout := range touched {
		n := 0
		for _, sale := range payout.Sales {
			if tx.Sale(sale) {
				n++
			}
		}
		if n > most {
			most, tx.Payout = n, payout.Number
		}
	}
	tx.Fee = feeOf(raw, treasury)
	return tx, touched
}

// spentBy returns the payouts that have one of the coins: those that are not cancelled
// first, then the newest.
func (p *payouts) spentBy(coins []account.Outpoint) (touched []*account.Payout) {
	spent := make(map[account.Outpoint]bool, len(coins))
	for _, coin := range coins {
		spent[coin] = true
	}
	list := p.all().List
	for _, isCancelled := range [...]bool{false, true} {
		for i := len(list) - 1; i >= 0; i-- {
			if list[i].Cancelled == isCancelled && slices.ContainsFunc(list[i].Coins, func(c account.PayoutCoin) bool { return spent[c.Out] }) {
				touched = append(touched, list[i])
			}
		}
	}
	return touched
}

// payees are the outputs of a transaction that pay nobody so far.
type payees struct {
	network  bitcoin.Network
	outs     []*wire.TxOut
	byAmount map[account.Money][]int
}

// take finds an output with a script and an amount, which then is taken.
func (l *payees) take(address string, btc account.Money) (int, bool) {
	outs := l.byAmount[btc]
	if len(outs) == 0 {
		return 0, false
	}
	script, err := bitcoin.ScriptOf(address, l.network)
	if err != nil {
		return 0, false
	}
	for k, i := range outs {
		if bytes.Equal(l.outs[i].PkScript, script) {
			l.byAmount[btc] = slices.Delete(outs, k, k+1)
			return i, true
		}
	}
	return 0, false
}

// treasuryCoin is a coin of the exchange's key. Those that count are the exchange's to pay
// out: credited to users, or change.
type treasuryCoin struct {
	account.PayoutCoin
	counts bool
}

// treasury returns all coins that the log knows, spent or not.
func (p *payouts) treasury() map[account.Outpoint]treasuryCoin {
	coins := map[account.Outpoint]treasuryCoin{}
	for _, u := range p.exchange.created.from(0) {
		state := u.durable.Load()
		if state.Counts.Of(account.TypeBuy, 0) == 0 {
			continue
		}
		for _, t := range state.History.Backward(1, state.History.Last(), account.TypeBuy, 0) {
			for i := range t.Detail.Outputs {
				if o := &t.Detail.Outputs[i]; t.Detail.Derived {
					coins[o.Out] = treasuryCoin{account.PayoutCoin{Out: o.Out, BTC: o.BTC, Index: t.Detail.Index}, o.Counted && o.Refunded == 0}
				}
			}
		}
	}
	for _, tx := range p.index().All() {
		for _, coin := range tx.Change {
			coins[coin.Out] = treasuryCoin{coin, true}
		}
	}
	for _, payout := range p.all().List {
		for _, coin := range payout.Coins {
			coins[coin.Out] = treasuryCoin{coin, true}
		}
	}
	return coins
}

// feeOf returns what a transaction pays the miner, 0 where an input is not known.
func feeOf(raw *wire.MsgTx, treasury map[account.Outpoint]treasuryCoin) (fee account.Money) {
	for _, in := range raw.TxIn {
		coin, known := treasury[outpointOf(in.PreviousOutPoint)]
		if !known || coin.BTC == 0 {
			return 0
		}
		fee += coin.BTC
	}
	for _, out := range raw.TxOut {
		fee -= account.Money(out.Value)
	}
	return max(0, fee)
}

func outpointOf(out wire.OutPoint) account.Outpoint {
	return account.Outpoint{TxID: account.ChainHash(out.Hash), Index: out.Index}
}
