package account

// PayoutIndex tells which transactions may pay a sale, and what spends a coin: over all
// transactions that payouts were exported as, and all others that are known. It is
// immutable, and is made anew where the payouts have changed.
type PayoutIndex struct {
	all    []*PayoutTx
	byID   map[ChainHash]*PayoutTx
	byCoin map[Outpoint][]*PayoutTx
	bySale map[TransactionID][]*PayoutTx
	dead   map[ChainHash]bool // by the word of an operator who proved it
}

// IndexPayouts makes the index of the system account's state; nil is one without payouts.
func IndexPayouts(s *State) *PayoutIndex {
	x := &PayoutIndex{
		byID: map[ChainHash]*PayoutTx{}, byCoin: map[Outpoint][]*PayoutTx{}, bySale: map[TransactionID][]*PayoutTx{},
		dead: map[ChainHash]bool{},
	}
	if s == nil || s.Payouts == nil {
		return x
	}
	if s.PayoutTxs != nil {
		for _, tx := range s.PayoutTxs.List {
			x.add(tx)
		}
	}
	for _, p := range s.Payouts.List {
		if _, known := x.byID[p.TxID]; !known {
			x.add(p.exportedTx())
		}
	}
	for _, p := range s.Payouts.List {
		if _, known := x.byID[p.SpentBy]; p.SpentBy != (ChainHash{}) && !known {
			x.dead[p.TxID] = true
		}
	}
	return x
}

func (x *PayoutIndex) add(tx *PayoutTx) {
	x.all = append(x.all, tx)
	x.byID[tx.ID] = tx
	for _, coin := range tx.Spends {
		x.byCoin[coin] = append(x.byCoin[coin], tx)
	}
	for _, paid := range tx.Pays {
		x.bySale[paid.Sale] = append(x.bySale[paid.Sale], tx)
	}
}

// exportedTx describes the transaction that p was exported as.
func (p *Payout) exportedTx() *PayoutTx {
	tx := &PayoutTx{ID: p.TxID, Payout: p.Number, Fee: p.Fee, SeenAt: p.ExportedAt}
	for _, coin := range p.Coins {
		tx.Spends = append(tx.Spends, coin.Out)
	}
	for i, sale := range p.Sales {
		tx.Pays = append(tx.Pays, PaidSale{Sale: sale, Index: uint32(i)})
	}
	if p.Change > 0 {
		out := Outpoint{TxID: p.TxID, Index: uint32(len(p.Sales))}
		tx.Change = []PayoutCoin{{Out: out, BTC: p.Change, Change: true, Index: p.ChangeIndex}}
	}
	if p.Height > 0 && p.PaidBy == (ChainHash{}) {
		tx.Height, tx.Block, tx.Confirmed = p.Height, p.Block, p.Confirmed
	}
	return tx
}

// All returns every transaction.
func (x *PayoutIndex) All() []*PayoutTx { return x.all }

// At returns the transaction with an id.
func (x *PayoutIndex) At(id ChainHash) (*PayoutTx, bool) {
	tx, ok := x.byID[id]
	return tx, ok
}

// Spending returns the transactions that spend a coin.
func (x *PayoutIndex) Spending(coin Outpoint) []*PayoutTx { return x.byCoin[coin] }

// IsLiving reports whether the chain may have tx, now or later: no coin of it was spent
// by another one that has all confirmations. That it left the mempool means nothing.
func (x *PayoutIndex) IsLiving(tx *PayoutTx) bool {
	if x.dead[tx.ID] && tx.Height == 0 {
		return false
	}
	if tx.Confirmed {
		return true
	}
	for _, coin := range tx.Spends {
		for _, other := range x.byCoin[coin] {
			if other.ID != tx.ID && other.Confirmed {
				return false
			}
		}
	}
	return true
}

// MayPay returns the transactions that pay a sale, or still may.
func (x *PayoutIndex) MayPay(sale TransactionID) (living []*PayoutTx) {
	for _, tx := range x.bySale[sale] {
		if x.IsLiving(tx) {
			living = append(living, tx)
		}
	}
	return living
}

// TakenBy returns a transaction, not of p itself, that has all confirmations and spends a
// coin of p; nil if there is none.
func (x *PayoutIndex) TakenBy(p *Payout) *PayoutTx {
	for _, coin := range p.Coins {
		for _, tx := range x.byCoin[coin.Out] {
			if tx.Confirmed && tx.Payout != p.Number {
				return tx
			}
		}
	}
	return nil
}
