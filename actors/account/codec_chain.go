package account

import (
	"encoding/binary"
	"fmt"
)

// PaymentAddressed is PaymentCreated with an address derived from the exchange's
// extended public key. No two have the same Index.
type PaymentAddressed struct {
	Amount    Money  `json:"amount"`
	BTC       Money  `json:"btc"` // satoshi to pay, BTCFee included
	BTCFee    Money  `json:"btc_fee"`
	Index     uint32 `json:"index"`
	Address   string `json:"address"`
	ExpiresAt Time   `json:"expires_at"`
	Notes     string `json:"notes"`
}

// OutputSeen says that an output to payment N is in the mempool.
type OutputSeen struct {
	N   uint32   `json:"n"`
	Out Outpoint `json:"out"`
	BTC Money    `json:"btc"` // satoshi
	At  Time     `json:"at"`
}

// OutputConfirmed says that an output to payment N is in a block.
type OutputConfirmed struct {
	N      uint32    `json:"n"`
	Out    Outpoint  `json:"out"`
	BTC    Money     `json:"btc"` // satoshi
	Height int32     `json:"height"`
	Block  ChainHash `json:"block"`
	At     Time      `json:"at"`
}

// OutputRemoved takes an output out of its block, or with no Height, out of the
// mempool.
type OutputRemoved struct {
	N      uint32   `json:"n"`
	Out    Outpoint `json:"out"`
	Height int32    `json:"height"`
}

// PaymentCredited credits Amount more for payment N. Outs are all the outputs that
// count from now on.
type PaymentCredited struct {
	N      uint32     `json:"n"`
	Amount Money      `json:"amount"`
	Outs   []Outpoint `json:"outs"`
}

// RefundQueued sets aside a part of an output for the operator to send back.
type RefundQueued struct {
	N   uint32   `json:"n"`
	Out Outpoint `json:"out"`
	BTC Money    `json:"btc"` // satoshi
}

// CreditReversed freezes Amount: the chain took back an output that it was
// credited for. The balance stays; withdrawals and sales must leave as much.
type CreditReversed struct {
	N      uint32   `json:"n"`
	Out    Outpoint `json:"out"`
	Amount Money    `json:"amount"`
}

// FreezeLifted frees Amount again: by "chain", because Outs are confirmed again,
// or by an operator.
type FreezeLifted struct {
	N      uint32     `json:"n"`
	Amount Money      `json:"amount"`
	Outs   []Outpoint `json:"outs"`
	By     string     `json:"by"`
	Reason string     `json:"reason"`
}

func (*PaymentAddressed) kind() kind { return kindPaymentAddressed }
func (*OutputSeen) kind() kind       { return kindOutputSeen }
func (*OutputConfirmed) kind() kind  { return kindOutputConfirmed }
func (*OutputRemoved) kind() kind    { return kindOutputRemoved }
func (*PaymentCredited) kind() kind  { return kindPaymentCredited }
func (*RefundQueued) kind() kind     { return kindRefundQueued }
func (*CreditReversed) kind() kind   { return kindCreditReversed }
func (*FreezeLifted) kind() kind     { return kindFreezeLifted }
func (*ChainAdvanced) kind() kind    { return kindChainAdvanced }

func appendOutpoint(dst []byte, o Outpoint) []byte {
	return binary.AppendUvarint(append(dst, o.TxID[:]...), uint64(o.Index))
}

func (r *reader) outpoint() (o Outpoint) {
	o.TxID = r.chainHash()
	o.Index = r.uint32()
	return o
}

func (r *reader) chainHash() (h ChainHash) {
	copy(h[:], r.take(len(h)))
	return h
}

// height reads a block's height, which fits in 31 bits.
func (r *reader) height() int32 {
	v := r.uvarint()
	if v > 1<<31-1 {
		r.fail("height out of range")
	}
	return int32(v)
}

func appendHeight(dst []byte, height int32) []byte {
	if height < 0 {
		panic(fmt.Sprintf("account: height %d", height))
	}
	return binary.AppendUvarint(dst, uint64(height))
}

func appendOutpoints(dst []byte, outs []Outpoint) []byte {
	if len(outs) > MaxOutputs {
		panic(fmt.Sprintf("account: %d outputs, %d are the limit", len(outs), MaxOutputs))
	}
	dst = binary.AppendUvarint(dst, uint64(len(outs)))
	for _, o := range outs {
		dst = appendOutpoint(dst, o)
	}
	return dst
}

func (r *reader) outpoints() []Outpoint {
	n := r.uvarint()
	if n > MaxOutputs {
		r.fail("output count over the limit")
	}
	if r.err != nil || n == 0 {
		return nil
	}
	outs := make([]Outpoint, n)
	for i := range outs {
		outs[i] = r.outpoint()
	}
	return outs
}

func (e *PaymentAddressed) append(dst []byte) []byte {
	dst = appendMoney(dst, e.Amount)
	dst = appendMoney(dst, e.BTC)
	dst = appendMoney(dst, e.BTCFee)
	dst = binary.AppendUvarint(dst, uint64(e.Index))
	dst = appendString(dst, e.Address)
	dst = binary.AppendVarint(dst, int64(e.ExpiresAt))
	return appendString(dst, e.Notes)
}

func (e *PaymentAddressed) read(r *reader) {
	e.Amount, e.BTC, e.BTCFee, e.Index = r.money(), r.money(), r.money(), r.uint32()
	e.Address, e.ExpiresAt, e.Notes = r.string(), Time(r.varint()), r.string()
}

func (e *OutputSeen) append(dst []byte) []byte {
	dst = appendOutpoint(binary.AppendUvarint(dst, uint64(e.N)), e.Out)
	return binary.AppendVarint(appendMoney(dst, e.BTC), int64(e.At))
}

func (e *OutputSeen) read(r *reader) {
	e.N, e.Out, e.BTC, e.At = r.uint32(), r.outpoint(), r.money(), Time(r.varint())
}

func (e *OutputConfirmed) append(dst []byte) []byte {
	dst = appendOutpoint(binary.AppendUvarint(dst, uint64(e.N)), e.Out)
	dst = appendHeight(appendMoney(dst, e.BTC), e.Height)
	dst = append(dst, e.Block[:]...)
	return binary.AppendVarint(dst, int64(e.At))
}

func (e *OutputConfirmed) read(r *reader) {
	e.N, e.Out, e.BTC = r.uint32(), r.outpoint(), r.money()
	e.Height, e.Block, e.At = r.height(), r.chainHash(), Time(r.varint())
}

func (e *OutputRemoved) append(dst []byte) []byte {
	return appendHeight(appendOutpoint(binary.AppendUvarint(dst, uint64(e.N)), e.Out), e.Height)
}

func (e *OutputRemoved) read(r *reader) { e.N, e.Out, e.Height = r.uint32(), r.outpoint(), r.height() }

func (e *PaymentCredited) append(dst []byte) []byte {
	return appendOutpoints(appendMoney(binary.AppendUvarint(dst, uint64(e.N)), e.Amount), e.Outs)
}

func (e *PaymentCredited) read(r *reader) {
	e.N, e.Amount, e.Outs = r.uint32(), r.money(), r.outpoints()
}

func (e *RefundQueued) append(dst []byte) []byte {
	return appendMoney(appendOutpoint(binary.AppendUvarint(dst, uint64(e.N)), e.Out), e.BTC)
}

func (e *RefundQueued) read(r *reader) { e.N, e.Out, e.BTC = r.uint32(), r.outpoint(), r.money() }

func (e *CreditReversed) append(dst []byte) []byte {
	return appendMoney(appendOutpoint(binary.AppendUvarint(dst, uint64(e.N)), e.Out), e.Amount)
}

func (e *CreditReversed) read(r *reader) { e.N, e.Out, e.Amount = r.uint32(), r.outpoint(), r.money() }

func (e *FreezeLifted) append(dst []byte) []byte {
	dst = appendMoney(binary.AppendUvarint(dst, uint64(e.N)), e.Amount)
	return appendString(appendString(appendOutpoints(dst, e.Outs), e.By), e.Reason)
}

func (e *FreezeLifted) read(r *reader) {
	e.N, e.Amount, e.Outs, e.By, e.Reason = r.uint32(), r.money(), r.outpoints(), r.string(), r.string()
}

func (e *ChainAdvanced) append(dst []byte) []byte {
	return (&Trail{e.First, e.Hashes, e.Time}).append(dst)
}

func (e *ChainAdvanced) read(r *reader) {
	if t := readTrail(r); t != nil {
		e.First, e.Hashes, e.Time = t.First, t.Hashes, t.Time
	}
}

func (t *Trail) append(dst []byte) []byte {
	if len(t.Hashes) > MaxTrail {
		panic(fmt.Sprintf("account: %d blocks, %d are the limit", len(t.Hashes), MaxTrail))
	}
	dst = appendHeight(dst, t.First)
	dst = binary.AppendVarint(dst, int64(t.Time))
	dst = binary.AppendUvarint(dst, uint64(len(t.Hashes)))
	for i := range t.Hashes {
		dst = append(dst, t.Hashes[i][:]...)
	}
	return dst
}

func readTrail(r *reader) *Trail {
	t := &Trail{First: r.height(), Time: Time(r.varint())}
	n := r.uvarint()
	if n == 0 || n > MaxTrail {
		r.fail("block count out of range")
	}
	if r.err != nil {
		return nil
	}
	t.Hashes = make([]ChainHash, n)
	for i := range t.Hashes {
		t.Hashes[i] = r.chainHash()
	}
	return t
}

// The flags of a packed output.
const (
	outputGone = 1 << iota
	outputCounted
	outputReversed
	outputFlagsEnd
)

// appendReceived packs what a payment has received: credited, frozen, and the
// outputs after their count, each as outpoint, amount, time (signed), height, block
// if it has a height, refunded, flags (1 byte).
func appendReceived(dst []byte, d *Detail) []byte {
	dst = appendMoney(appendMoney(dst, d.Credited), d.Frozen)
	dst = binary.AppendUvarint(dst, uint64(len(d.Outputs)))
	for i := range d.Outputs {
		o := &d.Outputs[i]
		dst = appendMoney(appendOutpoint(dst, o.Out), o.BTC)
		dst = appendHeight(binary.AppendVarint(dst, int64(o.At)), o.Height)
		if o.Height > 0 {
			dst = append(dst, o.Block[:]...)
		}
		dst = appendMoney(dst, o.Refunded)
		var flags byte
		for bit, set := range [...]bool{o.Gone, o.Counted, o.Reversed} {
			if set {
				flags |= 1 << bit
			}
		}
		dst = append(dst, flags)
	}
	return dst
}

func (r *reader) output() (o Output) {
	o.Out, o.BTC, o.At, o.Height = r.outpoint(), r.money(), Time(r.varint()), r.height()
	if o.Height > 0 {
		o.Block = r.chainHash()
	}
	o.Refunded = r.money()
	flags := r.byte()
	if flags >= outputFlagsEnd || o.Refunded > o.BTC {
		r.fail("unknown state of an output")
	}
	o.Gone, o.Counted, o.Reversed = flags&outputGone != 0, flags&outputCounted != 0, flags&outputReversed != 0
	return o
}

// viewReceived checks what appendReceived wrote and keeps the outputs packed.
func (v *packedView) viewReceived(r *reader) {
	v.detail.Credited, v.detail.Frozen = r.money(), r.money()
	outputs := r.b
	n := r.uvarint()
	if n > MaxOutputs {
		r.fail("output count over the limit")
	}
	for i := uint64(0); i < n && r.err == nil; i++ {
		r.output()
	}
	if r.err == nil {
		v.outputs = outputs[:len(outputs)-len(r.b)]
	}
}

func unpackOutputs(packed []byte) []Output {
	if packed == nil {
		return nil
	}
	r := reader{b: packed}
	n := r.uvarint()
	if n == 0 {
		return nil
	}
	outputs := make([]Output, n)
	for i := range outputs {
		outputs[i] = r.output()
	}
	return outputs
}

// incoming is what a completed transaction that brings value in has brought.
func (v *packedView) incoming() Money {
	if v.Type == TypeBuy && v.hasDetail && v.detail.Credited != 0 {
		return v.detail.Credited
	}
	return v.Amount
}

// frozen is the part of it that is frozen.
func (v *packedView) frozen() Money {
	if v.hasDetail {
		return v.detail.Frozen
	}
	return 0
}
