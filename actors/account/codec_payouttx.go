package account

import (
	"encoding/binary"
	"fmt"
)

// PayoutTxSeen notes a transaction that spends coins of payouts. It is in no block yet.
type PayoutTxSeen struct {
	Tx PayoutTx `json:"tx"`
}

// PayoutReplaced takes a signed transaction of a payout, to be sent from now on in the
// place of the one before.
type PayoutReplaced struct {
	Number uint32    `json:"number"`
	TxID   ChainHash `json:"tx_id"`
	Tx     []byte    `json:"tx"`
	By     string    `json:"by"`
}

// PayoutTxMined says that a transaction is in a block.
type PayoutTxMined struct {
	TxID   ChainHash `json:"tx_id"`
	Height int32     `json:"height"`
	Block  ChainHash `json:"block"`
}

// PayoutTxUnmined takes a transaction out of its block.
type PayoutTxUnmined struct {
	TxID   ChainHash `json:"tx_id"`
	Height int32     `json:"height"`
}

// PayoutTxConfirmed says that a transaction has all its confirmations.
type PayoutTxConfirmed struct {
	TxID ChainHash `json:"tx_id"`
}

// PayoutUnspent takes back what had spent a coin of a cancelled payout.
type PayoutUnspent struct {
	Number uint32 `json:"number"`
}

func (*PayoutTxSeen) kind() kind      { return kindPayoutTxSeen }
func (*PayoutReplaced) kind() kind    { return kindPayoutReplaced }
func (*PayoutTxMined) kind() kind     { return kindPayoutTxMined }
func (*PayoutTxUnmined) kind() kind   { return kindPayoutTxUnmined }
func (*PayoutTxConfirmed) kind() kind { return kindPayoutTxConfirmed }
func (*PayoutUnspent) kind() kind     { return kindPayoutUnspent }

func (e *PayoutTxSeen) append(dst []byte) []byte { return e.Tx.appendTerms(dst) }
func (e *PayoutTxSeen) read(r *reader)           { e.Tx = readTxTerms(r) }

func (e *PayoutReplaced) append(dst []byte) []byte {
	dst = append(binary.AppendUvarint(dst, uint64(e.Number)), e.TxID[:]...)
	return appendString(appendTx(dst, e.Tx), e.By)
}

func (e *PayoutReplaced) read(r *reader) {
	e.Number, e.TxID, e.Tx, e.By = r.uint32(), r.chainHash(), r.tx(), r.string()
}

func (e *PayoutTxMined) append(dst []byte) []byte {
	return append(appendHeight(append(dst, e.TxID[:]...), e.Height), e.Block[:]...)
}

func (e *PayoutTxMined) read(r *reader) {
	e.TxID, e.Height, e.Block = r.chainHash(), r.height(), r.chainHash()
}

func (e *PayoutTxUnmined) append(dst []byte) []byte {
	return appendHeight(append(dst, e.TxID[:]...), e.Height)
}

func (e *PayoutTxUnmined) read(r *reader) { e.TxID, e.Height = r.chainHash(), r.height() }

func (e *PayoutTxConfirmed) append(dst []byte) []byte { return append(dst, e.TxID[:]...) }
func (e *PayoutTxConfirmed) read(r *reader)           { e.TxID = r.chainHash() }

func (e *PayoutUnspent) append(dst []byte) []byte {
	return binary.AppendUvarint(dst, uint64(e.Number))
}
func (e *PayoutUnspent) read(r *reader) { e.Number = r.uint32() }

// appendTerms writes what never changes of a transaction.
func (t *PayoutTx) appendTerms(dst []byte) []byte {
	if len(t.Pays) > MaxTxSales || len(t.Spends) > MaxTxCoins || len(t.Change) > MaxTxCoins {
		panic(fmt.Sprintf("account: a transaction of %d sales, %d coins and %d of change", len(t.Pays), len(t.Spends), len(t.Change)))
	}
	dst = binary.AppendUvarint(append(dst, t.ID[:]...), uint64(t.Payout))
	dst = binary.AppendUvarint(dst, uint64(len(t.Spends)))
	for _, out := range t.Spends {
		dst = appendOutpoint(dst, out)
	}
	dst = binary.AppendUvarint(dst, uint64(len(t.Pays)))
	for _, p := range t.Pays {
		dst = binary.AppendUvarint(append(dst, p.Sale.User[:]...), uint64(p.Sale.N))
		dst = binary.AppendUvarint(dst, uint64(p.Index))
	}
	dst = binary.AppendUvarint(dst, uint64(len(t.Change)))
	for i := range t.Change {
		dst = appendPayoutCoin(dst, &t.Change[i])
	}
	return binary.AppendVarint(appendMoney(dst, t.Fee), int64(t.SeenAt))
}

func readTxTerms(r *reader) (t PayoutTx) {
	t.ID, t.Payout = r.chainHash(), r.uint32()
	for n := r.count(MaxTxCoins); n > 0 && r.err == nil; n-- {
		t.Spends = append(t.Spends, r.outpoint())
	}
	for n := r.count(MaxTxSales); n > 0 && r.err == nil; n-- {
		var p PaidSale
		copy(p.Sale.User[:], r.take(len(UserID{})))
		p.Sale.N, p.Index = r.uint32(), r.uint32()
		t.Pays = append(t.Pays, p)
	}
	for n := r.count(MaxTxCoins); n > 0 && r.err == nil; n-- {
		t.Change = append(t.Change, r.payoutCoin())
	}
	t.Fee, t.SeenAt = r.money(), Time(r.varint())
	return t
}

func appendPayoutCoin(dst []byte, coin *PayoutCoin) []byte {
	dst = appendMoney(appendOutpoint(dst, coin.Out), coin.BTC)
	return binary.AppendUvarint(appendBool(dst, coin.Change), uint64(coin.Index))
}

func (r *reader) payoutCoin() PayoutCoin {
	return PayoutCoin{Out: r.outpoint(), BTC: r.money(), Change: r.bool(), Index: r.uint32()}
}

// appendPayoutTxs writes the known transactions, their count and each, and then which of
// them payouts are paid by and replaced by: the count of such payouts, and for each its
// place from 1 (its number is known once part 11 is read) and both ids.
func (s *State) appendPayoutTxs(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s.PayoutTxs.List)))
	for _, t := range s.PayoutTxs.List {
		dst = append(appendHeight(t.appendTerms(dst), t.Height), t.Block[:]...)
		dst = appendBool(dst, t.Confirmed)
	}
	n, body := uint64(0), []byte(nil)
	if s.Payouts != nil {
		for i, p := range s.Payouts.List {
			if p.PaidBy != (ChainHash{}) || p.Replaced != (ChainHash{}) {
				n++
				body = append(append(binary.AppendUvarint(body, uint64(i)+1), p.PaidBy[:]...), p.Replaced[:]...)
			}
		}
	}
	return append(binary.AppendUvarint(dst, n), body...)
}

// readPayoutTxs reads them, once the payouts are read.
func (s *State) readPayoutTxs(r *reader) {
	n := r.uvarint()
	if r.err == nil && (n == 0 || n > uint64(len(r.b))) {
		r.fail("transaction count out of range")
	}
	all := &PayoutTxs{}
	for ; n > 0 && r.err == nil; n-- {
		t := readTxTerms(r)
		t.Height, t.Block, t.Confirmed = r.height(), r.chainHash(), r.bool()
		all.List = append(all.List, &t)
	}
	last := uint32(0)
	for n := r.count(uint64(len(r.b))); n > 0 && r.err == nil; n-- {
		place, paidBy, replaced := r.uint32(), r.chainHash(), r.chainHash()
		if s.Payouts == nil || place <= last || int(place) > len(s.Payouts.List) || (paidBy == ChainHash{} && replaced == ChainHash{}) {
			r.fail("a transaction of no payout, or out of order")
			return
		}
		p := s.Payouts.List[place-1]
		last, p.PaidBy, p.Replaced = place, paidBy, replaced
	}
	s.PayoutTxs = all
}
