package actors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// SignPayout takes payout n as the operator's signer gave it back: as it was exported, or
// a replacement that pays the same. It is durable before it is sent, and sent until a
// transaction of the payout is in a block: an error of the node is in sendErr, and changes
// nothing of that.
func (x *Exchange) SignPayout(ctx context.Context, n uint32, signed, by string) (view PayoutView, sendErr, err error) {
	p := &x.payouts
	payer, err := p.payer()
	if err != nil {
		return view, nil, err
	}
	payout, err := p.sign(payer, n, signed, by)
	if err != nil {
		return view, nil, err
	}
	// What the chain shows need not wait for the node to answer this.
	if payout.Status() == account.PayoutIsSigned {
		sendErr = p.send(ctx, payer, payout)
	}
	return p.view(payout), sendErr, nil
}

// sign makes the transaction durable that a signer gave back for payout n.
func (p *payouts) sign(payer Payer, n uint32, signed, by string) (*account.Payout, error) {
	x := p.exchange
	p.one.Lock()
	defer p.one.Unlock()
	payout, ok := p.all().At(n)
	if !ok {
		return nil, &account.Error{Code: account.CodeNotFound, Message: fmt.Sprintf("there is no payout %d", n)}
	}
	if payout.Unsigned == nil {
		return payout, nil // confirmed before
	}
	treasury := p.treasury()
	tx, err := bitcoin.SignedPayout(payer.Keys(), signed, func(out wire.OutPoint) (bitcoin.Coin, bool) {
		coin, known := treasury[outpointOf(out)]
		return bitcoin.Coin{Out: out, BTC: coin.BTC, Change: coin.Change, Index: coin.Index}, known
	})
	if err != nil {
		return nil, &account.Error{Code: CodeBadPayout, Field: "psbt", Message: err.Error()}
	}
	var raw bytes.Buffer
	if err := tx.Serialize(&raw); err != nil {
		return nil, fmt.Errorf("payout %d: %w", n, err)
	}
	id := account.ChainHash(tx.TxHash())
	var command account.Command = &account.SignPayout{Number: n, Tx: raw.Bytes(), By: by}
	if id != payout.TxID || payout.Replaced != (account.ChainHash{}) {
		replace := &account.ReplacePayout{Number: n, TxID: id, Raw: raw.Bytes(), By: by}
		if id != payout.TxID {
			if replace.Tx, err = p.replacement(payer, payout, tx, treasury); err != nil {
				return nil, &account.Error{Code: CodeBadPayout, Field: "psbt", Message: err.Error()}
			}
		}
		command = replace
	}
	var coins []account.Outpoint
	for _, in := range tx.TxIn {
		coins = append(coins, outpointOf(in.PreviousOutPoint))
	}
	if other, sale := p.beside(payout, id, coins); other != nil {
		return nil, &account.Error{Code: CodeBadPayout, Field: "psbt", Message: fmt.Sprintf(
			"transaction %s of payout %d may pay sale %s beside it, for they have no input in common", other.ID, other.Payout, sale)}
	}
	if raw.Len() > account.MaxPayoutTx {
		return nil, &account.Error{Code: CodeBadPayout, Field: "psbt", Message: fmt.Sprintf("the transaction has %d bytes, %d are the most", raw.Len(), account.MaxPayoutTx)}
	}
	receipt, err := x.do(x.cursor, command, nil)
	if err != nil {
		return nil, err
	}
	payout, _ = receipt.State.Payouts.At(n)
	return payout, nil
}

// replacement checks that a transaction with valid signatures takes the place of a
// payout's, so that the chain has one of them at most, and pays what that pays.
func (p *payouts) replacement(payer Payer, payout *account.Payout, tx *wire.MsgTx, treasury map[account.Outpoint]treasuryCoin) (*account.PayoutTx, error) {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w, nor a replacement of it: %s", bitcoin.ErrOtherPayout, fmt.Sprintf(format, args...))
	}
	var coins []account.Outpoint
	for _, in := range tx.TxIn {
		if out := outpointOf(in.PreviousOutPoint); treasury[out].Out == out {
			coins = append(coins, out)
		}
	}
	described, touched := p.describe(payer, tx, coins, treasury)
	if !slices.Contains(touched, payout) {
		return nil, refuse("it spends no input of payout %d", payout.Number)
	}
	paid := map[uint32]bool{}
	for _, sale := range payout.Sales {
		i := slices.IndexFunc(described.Pays, func(paid account.PaidSale) bool { return paid.Sale == sale })
		if i < 0 {
			t, _, _ := p.exchange.Transaction(sale)
			return nil, refuse("no output pays sale %s, %s BTC to %s", sale, t.Detail.BTC, t.Detail.To)
		}
		paid[described.Pays[i].Index] = true
	}
	for _, coin := range described.Change {
		paid[coin.Out.Index] = true
	}
	network := payer.Keys().Network()
	for i, out := range tx.TxOut {
		if !paid[uint32(i)] {
			return nil, refuse("output %d, %s BTC to %s, is neither of a sale of it nor change to the exchange's key", i, account.Money(out.Value), bitcoin.AddressOf(out.PkScript, network))
		}
	}
	for _, other := range touched {
		if other != payout && !other.Cancelled {
			return nil, refuse("it spends an input of payout %d as well", other.Number)
		}
	}
	// The output of each sale is this payout's: those of others may be alike.
	described.Payout = payout.Number
	return &described, nil
}

// beside returns a transaction that may pay a sale of a payout beside one that spends
// coins; nil if the chain takes one of them at most.
func (p *payouts) beside(payout *account.Payout, id account.ChainHash, coins []account.Outpoint) (*account.PayoutTx, account.TransactionID) {
	index := p.index()
	for _, sale := range payout.Sales {
		for _, living := range index.MayPay(sale) {
			if living.ID != id && !slices.ContainsFunc(living.Spends, func(out account.Outpoint) bool { return slices.Contains(coins, out) }) {
				return living, sale
			}
		}
	}
	return nil, account.TransactionID{}
}

// send hands a signed payout to the network.
func (p *payouts) send(ctx context.Context, payer Payer, payout *account.Payout) error {
	tx := new(wire.MsgTx)
	if err := tx.Deserialize(bytes.NewReader(payout.Tx)); err != nil {
		return fmt.Errorf("payout %d: %w", payout.Number, err)
	}
	return payer.Node().Send(ctx, tx)
}

// CancelPayout gives up payout n: one that is not signed, or one of whose coins
// another transaction, spentBy, has taken with all confirmations. Its sales are free
// again, but for those that a transaction may still pay.
func (x *Exchange) CancelPayout(ctx context.Context, n uint32, spentBy account.ChainHash, by, reason string) (view PayoutView, err error) {
	p := &x.payouts
	payer, err := p.payer()
	if err != nil {
		return view, err
	}
	p.one.Lock()
	defer p.one.Unlock()
	payout, ok := p.all().At(n)
	if !ok {
		return view, &account.Error{Code: account.CodeNotFound, Message: fmt.Sprintf("there is no payout %d", n)}
	}
	if tx := p.index().TakenBy(payout); tx != nil && spentBy == (account.ChainHash{}) {
		spentBy = tx.ID // it is known already
	}
	if spentBy == (account.ChainHash{}) {
		err = p.isUnspent(payout)
	} else {
		err = p.isSpentBy(ctx, payer, payout, spentBy)
	}
	if err != nil {
		return view, err
	}
	receipt, err := x.do(x.cursor, &account.CancelPayout{Number: n, SpentBy: spentBy, By: by, Reason: reason}, nil)
	if err != nil {
		return view, err
	}
	payout, _ = receipt.State.Payouts.At(n)
	return p.view(payout), p.claims(p.exchange.payments.ctx)
}

// isUnspent refuses to give up a payout that is on its way.
func (p *payouts) isUnspent(payout *account.Payout) error {
	if out, lost := p.lost[payout.Number]; lost {
		return &account.Error{Code: account.CodePayoutState, Message: fmt.Sprintf(
			"input %s of payout %d is spent, and nobody knows by what: say which transaction has spent it", out, payout.Number)}
	}
	for _, coin := range payout.Coins {
		for _, tx := range p.index().Spending(coin.Out) {
			if tx.Payout == payout.Number && tx.ID != payout.TxID && p.index().IsLiving(tx) {
				return &account.Error{Code: account.CodePayoutState, Message: fmt.Sprintf(
					"transaction %s spends input %s of payout %d, and pays it: it can be cancelled once another one has taken that input; say which", tx.ID, coin.Out, payout.Number)}
			}
		}
	}
	return nil
}

// isSpentBy proves that a transaction that pays nothing of a payout has taken a coin of it
// for good. One that pays is taken for the payout itself.
func (p *payouts) isSpentBy(ctx context.Context, payer Payer, payout *account.Payout, spentBy account.ChainHash) error {
	refuse := func(format string, args ...any) error {
		return &account.Error{Code: account.CodePayoutState, Field: "spent_by", Message: fmt.Sprintf(format, args...)}
	}
	if spentBy == payout.TxID {
		return refuse("that is the payout itself")
	}
	if payout.SpentBy == spentBy {
		return nil
	}
	tx, known := p.index().At(spentBy)
	if !known || !tx.Confirmed {
		if err := p.lookUp(ctx, payer, spentBy, refuse); err != nil {
			return err
		}
		if tx, known = p.index().At(spentBy); !known {
			return refuse("transaction %s spends no input of payout %d", spentBy, payout.Number)
		}
	}
	if !slices.ContainsFunc(payout.Coins, func(c account.PayoutCoin) bool { return slices.Contains(tx.Spends, c.Out) }) {
		return refuse("transaction %s spends no input of payout %d", spentBy, payout.Number)
	}
	if now, _ := p.all().At(payout.Number); now.SpentBy == spentBy {
		return nil // the chain has given it up
	}
	paid := 0
	for _, sale := range payout.Sales {
		if tx.Sale(sale) {
			paid++
		}
	}
	if paid > 0 {
		return refuse("transaction %s pays %d of the %d sales of payout %d: it is that payout, and ends it", spentBy, paid, len(payout.Sales), payout.Number)
	}
	return nil
}

// lookUp asks the node for a transaction that has all confirmations, and records it if it
// spends coins of the exchange's.
func (p *payouts) lookUp(ctx context.Context, payer Payer, id account.ChainHash, refuse func(string, ...any) error) error {
	raw, block, confirmations, err := payer.Node().Placed(ctx, [32]byte(id))
	switch {
	case bitcoin.IsNotFound(err):
		return refuse("the node has no transaction %s in a block (it needs an index of transactions for this)", id)
	case err != nil:
		return errors.Join(ErrNodeDown, err)
	case confirmations < int64(p.exchange.cfg.Terms.Confirmations):
		return refuse("transaction %s has %d confirmations of %d", id, confirmations, p.exchange.cfg.Terms.Confirmations)
	}
	spend, treasury := &bitcoin.Spend{ID: raw.TxHash(), Tx: raw}, p.treasury()
	for _, in := range raw.TxIn {
		if _, ours := treasury[outpointOf(in.PreviousOutPoint)]; ours {
			spend.Coins = append(spend.Coins, in.PreviousOutPoint)
		}
	}
	if len(spend.Coins) == 0 {
		return nil
	}
	if err := p.learn(ctx, payer, spend); err != nil {
		return err
	}
	if tx, known := p.index().At(id); known && tx.Height == 0 {
		if err := p.system(ctx, &account.MinePayout{TxID: id, Height: block.Height, Block: account.ChainHash(block.Hash)}); err != nil {
			return err
		}
	}
	p.findLost()
	return p.settleLocked(ctx)
}
