package actors

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// coinbaseMaturity is how deep a mined coin must be to be spent (Bitcoin Core,
// consensus.h).
const coinbaseMaturity = 100

// ExportPayout makes a payout of all pending sales that are free to go, oldest first,
// up to account.MaxPayoutSales, at feeRate satoshi per virtual byte. Nothing is handed
// out that is not durable.
func (x *Exchange) ExportPayout(ctx context.Context, feeRate int64, by string) (view PayoutView, leftOut []LeftOut, err error) {
	p := &x.payouts
	payer, err := p.payer()
	if err != nil {
		return view, nil, err
	}
	if err := p.followed(func() bool { return p.compared.Load() && p.isFollowed(payer) }); err != nil {
		return view, nil, err
	}
	p.one.Lock()
	defer p.one.Unlock()
	if err := p.reclaim(); err != nil { // of an export that failed halfway
		return view, nil, err
	}
	coins := p.purse(ctx, payer)
	sales, required, leftOut, err := p.sales(payer, coins, by)
	if err != nil {
		return view, nil, err
	}
	if len(sales) == 0 {
		return view, leftOut, &account.Error{Code: CodeNothingToPay, Message: fmt.Sprintf("no sale is free to be paid; %d are left out", len(leftOut))}
	}
	number := p.nextNumber()
	if sales, err = p.claim(sales, number, by); err != nil {
		return view, leftOut, err
	}
	payout, err := p.build(payer, coins, required, sales, feeRate, number)
	if err == nil {
		payout.By = by
		payer.WatchCoins(wireCoins(payout), number) // before anybody can sign it
		var receipt Receipt
		if receipt, err = x.do(x.cursor, &account.ExportPayout{Payout: *payout}, nil); err == nil {
			payout, _ = receipt.State.Payouts.At(number)
			return p.view(payout), leftOut, nil
		}
	}
	if errors.Is(err, ErrOutcomeUnknown) {
		return view, leftOut, err // the claims stay: a restart, or the next export, knows
	}
	return view, leftOut, errors.Join(err, p.claims(p.exchange.payments.ctx))
}

// purse is what may be spent: what the exchange's key has received for good and no
// payout spends, largest first, as far as the node says that it is there.
type purse struct {
	ctx   context.Context
	node  *bitcoin.Node
	keys  *bitcoin.Keys
	log   *slog.Logger
	coins []bitcoin.Coin
	known map[wire.OutPoint]bool // what the node has said
}

func (p *payouts) purse(ctx context.Context, payer Payer) *purse {
	x := p.exchange
	c := &purse{ctx: ctx, node: payer.Node(), keys: payer.Keys(), log: x.log, known: map[wire.OutPoint]bool{}}
	tip, wanted := x.payments.tip.Load(), int32(x.cfg.Terms.Confirmations)
	spent := map[wire.OutPoint]bool{}
	for _, payout := range p.all().List {
		// What was paid by another transaction than was exported may have left a coin.
		if payout.Status() != account.PayoutIsCancelled && !(payout.Confirmed && payout.PaidBy != (account.ChainHash{})) {
			for _, coin := range payout.Coins {
				spent[wireOut(coin.Out)] = true
			}
		}
	}
	for _, tx := range p.index().All() {
		if !tx.Confirmed {
			continue
		}
		for _, change := range tx.Change {
			c.coins = append(c.coins, bitcoin.Coin{Out: wireOut(change.Out), BTC: change.BTC, Change: change.Change, Index: change.Index})
		}
	}
	for _, u := range x.created.from(0) {
		state := u.durable.Load()
		if state.Counts.Of(account.TypeBuy, 0) == 0 {
			continue
		}
		for _, t := range state.History.Backward(1, state.History.Last(), account.TypeBuy, 0) {
			for i := range t.Detail.Outputs {
				o := &t.Detail.Outputs[i]
				// What is to be sent back is left for that.
				if t.Detail.Derived && !o.Gone && o.Refunded == 0 && o.Height > 0 && tip-o.Height+1 >= wanted {
					c.coins = append(c.coins, bitcoin.Coin{Out: wireOut(o.Out), BTC: o.BTC, Index: t.Detail.Index})
				}
			}
		}
	}
	c.coins = slices.DeleteFunc(c.coins, func(coin bitcoin.Coin) bool { return spent[coin.Out] })
	slices.SortFunc(c.coins, func(a, b bitcoin.Coin) int { return cmp.Compare(b.BTC, a.BTC) })
	return c
}

// has asks the node whether a coin of the purse can be spent.
func (c *purse) has(out wire.OutPoint) (bool, error) {
	i := slices.IndexFunc(c.coins, func(coin bitcoin.Coin) bool { return coin.Out == out })
	if i < 0 {
		return false, nil
	}
	if has, known := c.known[out]; known {
		return has, nil
	}
	info, err := c.node.Unspent(c.ctx, out)
	if err != nil {
		return false, errors.Join(ErrNodeDown, err)
	}
	c.known[out] = info.Found && (!info.Coinbase || info.Confirmations >= coinbaseMaturity) && c.isOurs(&c.coins[i], info.Script)
	return c.known[out], nil
}

// isOurs reports whether a coin pays to the address that the key derives for it. No
// payout that spends another could ever be signed.
func (c *purse) isOurs(coin *bitcoin.Coin, script []byte) bool {
	derived, err := c.keys.Script(coin.Change, coin.Index)
	if err == nil && bytes.Equal(derived, script) {
		return true
	}
	c.log.Error("ALERT: a coin does not pay to the address that the account key derives, and is left out of payouts; the key is not the one that it was received with",
		slog.String("output", coin.Out.String()), slog.String("btc", coin.BTC.String()), slog.Int("index", int(coin.Index)), slog.Bool("change", coin.Change),
		slog.String("derived_script", hex.EncodeToString(derived)), slog.String("script", hex.EncodeToString(script)))
	return false
}

// take returns the required coins, and the largest until there is enough for amount.
func (c *purse) take(required []wire.OutPoint, amount account.Money) (coins []bitcoin.Coin, err error) {
	var sum account.Money
	for pass := range 2 {
		for _, coin := range c.coins {
			coin.Required = slices.Contains(required, coin.Out)
			if coin.Required != (pass == 0) || (pass == 1 && sum >= amount) || len(coins) == account.MaxPayoutCoins {
				continue
			}
			has, err := c.has(coin.Out)
			if err != nil {
				return nil, err
			}
			if has {
				coins, sum = append(coins, coin), sum+coin.BTC
			}
		}
	}
	return coins, nil
}

// sales returns what is free to go by the word of by, and the coins that must be spent so that no
// cancelled payout of the same sales can be paid as well.
func (p *payouts) sales(payer Payer, coins *purse, by string) (sales []account.TransactionID, required []wire.OutPoint, leftOut []LeftOut, err error) {
	x := p.exchange
	leave := func(sale account.TransactionID, why string) { leftOut = append(leftOut, LeftOut{sale, why}) }
	for _, id := range x.open.ids(account.TypeSell) {
		t, state, ok := x.Transaction(id)
		switch {
		case !ok || t.Status != account.Pending || state.ClaimOf(id.N) != 0:
			continue
		case len(sales) == account.MaxPayoutSales:
			leave(id, "it comes in the next payout")
			continue
		case state.Status == account.Suspended:
			leave(id, "the account is suspended")
			continue
		case state.Available() < state.Frozen:
			leave(id, "the account owes what the chain took back")
			continue
		case t.Detail.BTC < bitcoin.DustLimit:
			leave(id, "nodes relay no such small amount")
			continue
		}
		if err := t.FourEyes(x.cfg.Terms.FourEyesAbove, by); err != nil {
			leave(id, err.Message)
			continue
		}
		if err := payer.CheckAddress(t.Detail.To); err != nil {
			leave(id, err.Error())
			continue
		}
		more, why, err := p.exclude(id, coins, required)
		if err != nil {
			return nil, nil, nil, err
		}
		if why != "" {
			leave(id, why)
			continue
		}
		sales, required = append(sales, id), append(required, more...)
	}
	return sales, required, leftOut, nil
}

// exclude returns the coins to spend so that no transaction that may pay a sale can be
// mined beside the next payout, or why that cannot be had.
func (p *payouts) exclude(sale account.TransactionID, coins *purse, required []wire.OutPoint) (more []wire.OutPoint, why string, err error) {
	for _, payout := range p.all().List {
		if out, lost := p.lost[payout.Number]; lost && slices.Contains(payout.Sales, sale) {
			return nil, fmt.Sprintf("payout %d had it, and input %s of that is spent, nobody knows by what; cancel it with the transaction that spent it", payout.Number, out), nil
		}
	}
	for _, tx := range p.index().MayPay(sale) {
		isRequired := func(out account.Outpoint) bool {
			return slices.Contains(required, wireOut(out)) || slices.Contains(more, wireOut(out))
		}
		if slices.ContainsFunc(tx.Spends, isRequired) {
			continue
		}
		found := false
		for _, out := range tx.Spends {
			if found, err = coins.has(wireOut(out)); err != nil {
				return nil, "", err
			}
			if found {
				more = append(more, wireOut(out))
				break
			}
		}
		if !found {
			return nil, fmt.Sprintf("payout %d, which was cancelled, had it, and no coin of that is left to spend: transaction %s may be on its way; cancel it again with the transaction that spent one", tx.Payout, tx.ID), nil
		}
	}
	return more, "", nil
}

func wireCoins(p *account.Payout) []wire.OutPoint {
	coins := make([]wire.OutPoint, len(p.Coins))
	for i, coin := range p.Coins {
		coins[i] = wireOut(coin.Out)
	}
	return coins
}

// claim takes the sales for a payout, those that have not ended meanwhile.
func (p *payouts) claim(sales []account.TransactionID, number uint32, by string) (claimed []account.TransactionID, err error) {
	orders := make([]order, 0, len(sales))
	for _, sale := range sales {
		u, _ := p.exchange.directory.find(sale.User)
		orders = append(orders, order{u, &account.ClaimSale{
			N: sale.N, Payout: number, FourEyesAbove: p.exchange.cfg.Terms.FourEyesAbove, By: by,
		}})
	}
	if err := p.exchange.payments.sendAll(p.exchange.payments.ctx, orders); err != nil {
		return nil, err
	}
	for _, sale := range sales {
		if _, state := p.exchange.directory.find(sale.User); state.ClaimOf(sale.N) == number {
			claimed = append(claimed, sale)
		}
	}
	if len(claimed) == 0 {
		return nil, &account.Error{Code: CodeNothingToPay, Message: "the sales were ended meanwhile"}
	}
	return claimed, nil
}

// build chooses the coins and makes the transaction.
func (p *payouts) build(payer Payer, from *purse, required []wire.OutPoint, sales []account.TransactionID, feeRate int64, number uint32) (*account.Payout, error) {
	const largest = 70 * (account.MaxPayoutSales + account.MaxPayoutCoins) // virtual bytes
	amount := account.Money(largest * feeRate)
	payees := make([]bitcoin.Payee, len(sales))
	for i, sale := range sales {
		t, _, _ := p.exchange.Transaction(sale)
		payees[i] = bitcoin.Payee{Address: t.Detail.To, BTC: t.Detail.BTC}
		amount += t.Detail.BTC
	}
	coins, err := from.take(required, amount)
	if err != nil {
		return nil, err
	}
	made, err := bitcoin.NewPayout(payer.Keys(), coins, payees, feeRate, number)
	if errors.Is(err, bitcoin.ErrCoins) {
		return nil, &account.Error{Code: CodeNoCoins, Message: err.Error()}
	}
	if err != nil {
		return nil, err
	}
	payout := &account.Payout{Sales: sales, Fee: made.Fee, Change: made.Change, ChangeIndex: number}
	for _, c := range made.Spent {
		out := account.Outpoint{TxID: account.ChainHash(c.Out.Hash), Index: c.Out.Index}
		payout.Coins = append(payout.Coins, account.PayoutCoin{Out: out, BTC: c.BTC, Change: c.Change, Index: c.Index})
	}
	var raw bytes.Buffer
	if err := made.Tx.SerializeNoWitness(&raw); err != nil {
		return nil, fmt.Errorf("payout: %w", err)
	}
	payout.Unsigned, payout.TxID = raw.Bytes(), account.ChainHash(made.Tx.TxHash())
	return payout, nil
}
