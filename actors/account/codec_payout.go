package account

import (
	"encoding/binary"
	"fmt"
)

// PayoutExported hands out a payout for its signatures. Its Unsigned holds the
// transaction; nothing that comes later is set.
type PayoutExported struct {
	Payout Payout `json:"payout"`
}

// PayoutSigned takes a payout's transaction, to be sent from now on.
type PayoutSigned struct {
	Number uint32 `json:"number"`
	Tx     []byte `json:"tx"`
	By     string `json:"by"`
}

// PayoutMined says that a payout is in a block.
type PayoutMined struct {
	Number uint32    `json:"number"`
	Height int32     `json:"height"`
	Block  ChainHash `json:"block"`
}

// PayoutUnmined takes a payout out of its block.
type PayoutUnmined struct {
	Number uint32 `json:"number"`
	Height int32  `json:"height"`
}

// PayoutConfirmed says that a payout has all its confirmations.
type PayoutConfirmed struct {
	Number uint32 `json:"number"`
}

// PayoutCancelled gives a payout up.
type PayoutCancelled struct {
	Number  uint32    `json:"number"`
	SpentBy ChainHash `json:"spent_by"` // zero: not signed, as far as is known
	By      string    `json:"by"`
	Reason  string    `json:"reason"`
}

// SaleClaimed puts sale N into a payout.
type SaleClaimed struct {
	N      uint32 `json:"n"`
	Payout uint32 `json:"payout"`
}

// SaleFreed takes sale N out of its payout.
type SaleFreed struct {
	N uint32 `json:"n"`
}

// RefundSettled says that BTC of an output were sent back.
type RefundSettled struct {
	N      uint32   `json:"n"`
	Out    Outpoint `json:"out"`
	BTC    Money    `json:"btc"` // satoshi
	TxHash string   `json:"tx_hash"`
	By     string   `json:"by"`
	Reason string   `json:"reason"`
}

func (*PayoutExported) kind() kind  { return kindPayoutExported }
func (*PayoutSigned) kind() kind    { return kindPayoutSigned }
func (*PayoutMined) kind() kind     { return kindPayoutMined }
func (*PayoutUnmined) kind() kind   { return kindPayoutUnmined }
func (*PayoutConfirmed) kind() kind { return kindPayoutConfirmed }
func (*PayoutCancelled) kind() kind { return kindPayoutCancelled }
func (*SaleClaimed) kind() kind     { return kindSaleClaimed }
func (*SaleFreed) kind() kind       { return kindSaleFreed }
func (*RefundSettled) kind() kind   { return kindRefundSettled }

func appendTx(dst, tx []byte) []byte {
	if len(tx) > MaxPayoutTx {
		panic(fmt.Sprintf("account: a transaction of %d bytes, %d are the limit", len(tx), MaxPayoutTx))
	}
	return append(binary.AppendUvarint(dst, uint64(len(tx))), tx...)
}

func (r *reader) tx() []byte {
	n := r.uvarint()
	if n > MaxPayoutTx {
		r.fail("transaction over the limit")
	}
	if r.err != nil || n == 0 {
		return nil
	}
	return append([]byte(nil), r.take(int(min(n, uint64(len(r.b)+1))))...)
}

func (e *PayoutExported) append(dst []byte) []byte {
	p := &e.Payout
	dst = p.appendTerms(binary.AppendUvarint(dst, uint64(p.Number)))
	return appendTx(dst, p.Unsigned)
}

func (e *PayoutExported) read(r *reader) {
	e.Payout = Payout{Number: r.uint32()}
	e.Payout.readTerms(r)
	e.Payout.Unsigned = r.tx()
	e.Payout.ChangedAt = e.Payout.ExportedAt
}

// appendTerms writes what never changes of a payout, but its transaction.
func (p *Payout) appendTerms(dst []byte) []byte {
	if len(p.Sales) > MaxPayoutSales || len(p.Coins) > MaxPayoutCoins {
		panic(fmt.Sprintf("account: a payout of %d sales and %d coins", len(p.Sales), len(p.Coins)))
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.Sales)))
	for _, sale := range p.Sales {
		dst = binary.AppendUvarint(append(dst, sale.User[:]...), uint64(sale.N))
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.Coins)))
	for i := range p.Coins {
		dst = appendPayoutCoin(dst, &p.Coins[i])
	}
	dst = appendMoney(appendMoney(dst, p.Fee), p.Change)
	dst = append(binary.AppendUvarint(dst, uint64(p.ChangeIndex)), p.TxID[:]...)
	return appendString(binary.AppendVarint(dst, int64(p.ExportedAt)), p.By)
}

func (p *Payout) readTerms(r *reader) {
	if n := r.count(MaxPayoutSales); n > 0 {
		p.Sales = make([]TransactionID, n)
		for i := range p.Sales {
			copy(p.Sales[i].User[:], r.take(len(UserID{})))
			p.Sales[i].N = r.uint32()
		}
	}
	if n := r.count(MaxPayoutCoins); n > 0 {
		p.Coins = make([]PayoutCoin, n)
		for i := range p.Coins {
			p.Coins[i] = r.payoutCoin()
		}
	}
	p.Fee, p.Change, p.ChangeIndex, p.TxID = r.money(), r.money(), r.uint32(), r.chainHash()
	p.ExportedAt, p.By = Time(r.varint()), r.string()
}

// count reads the length of a list, 0 where it is over a limit.
func (r *reader) count(limit uint64) uint64 {
	n := r.uvarint()
	if n > limit {
		r.fail("count over the limit")
	}
	if r.err != nil {
		return 0
	}
	return n
}

func (e *PayoutSigned) append(dst []byte) []byte {
	return appendString(appendTx(binary.AppendUvarint(dst, uint64(e.Number)), e.Tx), e.By)
}

func (e *PayoutSigned) read(r *reader) { e.Number, e.Tx, e.By = r.uint32(), r.tx(), r.string() }

func (e *PayoutMined) append(dst []byte) []byte {
	return append(appendHeight(binary.AppendUvarint(dst, uint64(e.Number)), e.Height), e.Block[:]...)
}

func (e *PayoutMined) read(r *reader) {
	e.Number, e.Height, e.Block = r.uint32(), r.height(), r.chainHash()
}

func (e *PayoutUnmined) append(dst []byte) []byte {
	return appendHeight(binary.AppendUvarint(dst, uint64(e.Number)), e.Height)
}

func (e *PayoutUnmined) read(r *reader) { e.Number, e.Height = r.uint32(), r.height() }

func (e *PayoutConfirmed) append(dst []byte) []byte {
	return binary.AppendUvarint(dst, uint64(e.Number))
}

func (e *PayoutConfirmed) read(r *reader) { e.Number = r.uint32() }

func (e *PayoutCancelled) append(dst []byte) []byte {
	dst = append(binary.AppendUvarint(dst, uint64(e.Number)), e.SpentBy[:]...)
	return appendString(appendString(dst, e.By), e.Reason)
}

func (e *PayoutCancelled) read(r *reader) {
	e.Number, e.SpentBy, e.By, e.Reason = r.uint32(), r.chainHash(), r.string(), r.string()
}

func (e *SaleClaimed) append(dst []byte) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(e.N)), uint64(e.Payout))
}

func (e *SaleClaimed) read(r *reader) { e.N, e.Payout = r.uint32(), r.uint32() }

func (e *SaleFreed) append(dst []byte) []byte { return binary.AppendUvarint(dst, uint64(e.N)) }

func (e *SaleFreed) read(r *reader) { e.N = r.uint32() }

func (e *RefundSettled) append(dst []byte) []byte {
	dst = appendMoney(appendOutpoint(binary.AppendUvarint(dst, uint64(e.N)), e.Out), e.BTC)
	return appendString(appendString(appendString(dst, e.TxHash), e.By), e.Reason)
}

func (e *RefundSettled) read(r *reader) {
	e.N, e.Out, e.BTC = r.uint32(), r.outpoint(), r.money()
	e.TxHash, e.By, e.Reason = r.string(), r.string(), r.string()
}

// append writes all payouts: their count, then each by number.
func (p *Payouts) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(p.List)))
	for _, p := range p.List {
		dst = appendTx(appendTx(p.appendTerms(dst), p.Unsigned), p.Tx)
		dst = append(appendHeight(dst, p.Height), p.Block[:]...)
		dst = append(appendBool(appendBool(dst, p.Confirmed), p.Cancelled), p.SpentBy[:]...)
		dst = appendString(binary.AppendVarint(dst, int64(p.ChangedAt)), p.Reason)
	}
	return dst
}

func readPayouts(r *reader) *Payouts {
	n := r.uvarint()
	if r.err == nil && (n == 0 || n > uint64(len(r.b))) {
		r.fail("payout count out of range")
	}
	all := &Payouts{}
	for i := uint64(1); i <= n && r.err == nil; i++ {
		p := &Payout{Number: uint32(i)}
		p.readTerms(r)
		p.Unsigned, p.Tx = r.tx(), r.tx()
		p.Height, p.Block = r.height(), r.chainHash()
		p.Confirmed, p.Cancelled, p.SpentBy = r.bool(), r.bool(), r.chainHash()
		p.ChangedAt, p.Reason = Time(r.varint()), r.string()
		all.List = append(all.List, p)
	}
	return all
}

// append writes the claims and the refunds, each list after its count.
func (o *Outgoing) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(o.Claims)))
	for _, c := range o.Claims {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(c.N)), uint64(c.Payout))
	}
	dst = binary.AppendUvarint(dst, uint64(len(o.Refunds)))
	for i := range o.Refunds {
		f := &o.Refunds[i]
		dst = appendMoney(appendOutpoint(binary.AppendUvarint(dst, uint64(f.N)), f.Out), f.BTC)
		dst = appendString(binary.AppendVarint(dst, int64(f.At)), f.TxHash)
		dst = appendString(appendString(dst, f.By), f.Reason)
	}
	return dst
}

func readOutgoing(r *reader) *Outgoing {
	o := &Outgoing{}
	for n := r.count(uint64(len(r.b))); n > 0 && r.err == nil; n-- {
		o.Claims = append(o.Claims, Claim{N: r.uint32(), Payout: r.uint32()})
	}
	for n := r.count(MaxRefunds); n > 0 && r.err == nil; n-- {
		o.Refunds = append(o.Refunds, Refund{
			N: r.uint32(), Out: r.outpoint(), BTC: r.money(), At: Time(r.varint()), TxHash: r.string(), By: r.string(), Reason: r.string(),
		})
	}
	if len(o.Claims) == 0 && len(o.Refunds) == 0 {
		return nil
	}
	return o
}
