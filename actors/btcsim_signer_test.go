package actors_test

import (
	"context"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/psbt/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
)

// btcPaper is a payout that was exported, as the signer has it: whatever becomes of the
// payout, the signer may sign it.
type btcPaper struct {
	number uint32
	text   string
	packet *psbt.Packet // to be read only
	at     account.Time
	sales  int // outputs but for the change
}

// btcHeld is a transaction that a signer has signed: a payout, or something of its coins.
type btcHeld struct {
	number   uint32
	tx       *wire.MsgTx
	signed   string       // the PSBT
	exported account.Time // the payout, or the last of them
}

// takePapers gives signers what was exported.
func (s *btcSim) takePapers() {
	payouts, _, _ := s.x.Payouts(0, 1000)
	for _, p := range slices.Backward(payouts) {
		id := p.TxID
		if p.Unsigned == nil || slices.ContainsFunc(s.papers, func(paper *btcPaper) bool { return paper.packet.UnsignedTx.TxHash() == [32]byte(id) }) {
			continue
		}
		text, err := s.x.PSBT(p.Number)
		if err != nil {
			s.note("payout %d: %s", p.Number, said(err))
			continue
		}
		s.papers = append(s.papers, &btcPaper{number: p.Number, text: text, packet: parsePacket(text), at: p.ExportedAt, sales: len(p.Sales)})
		s.note("a signer gets payout %d: %s spends %v and pays %d sales", p.Number, id, coinNames(p.Coins), len(p.Sales))
	}
}

func coinNames(coins []account.PayoutCoin) (names []string) {
	for _, c := range coins {
		names = append(names, c.Out.String()[:8])
	}
	return names
}

func parsePacket(text string) *psbt.Packet {
	packet, err := psbt.NewFromRawBytes(strings.NewReader(text), true)
	if err != nil {
		panic(err)
	}
	return packet
}

// paper is one that a signer has: most of the time one of the last.
func (s *btcSim) paper() *btcPaper {
	if n := len(s.papers); n > 0 {
		if n > 3 && s.random.IntN(3) > 0 {
			return s.papers[n-3+s.random.IntN(3)]
		}
		return s.papers[s.random.IntN(n)]
	}
	return nil
}

// signPacket signs a payout, or what was made of it, and keeps it.
func (s *btcSim) signPacket(p *btcPaper, packet *psbt.Packet) *btcHeld {
	bitcointest.SignPacket(s.t, packet, txscript.SigHashAll)
	bitcointest.SignPacketSecond(s.t, packet, txscript.SigHashAll)
	signed, err := packet.B64Encode()
	if err != nil {
		panic(err)
	}
	if err := psbt.MaybeFinalizeAll(packet); err != nil {
		panic(err)
	}
	tx, err := psbt.Extract(packet)
	if err != nil {
		panic(err)
	}
	h := &btcHeld{number: p.number, tx: tx, signed: signed, exported: p.at}
	if !slices.ContainsFunc(s.held, func(other *btcHeld) bool { return other.tx.TxHash() == tx.TxHash() }) {
		s.held = append(s.held, h)
	}
	return h
}

// send hands what was signed to the network at once, or holds it back.
func (s *btcSim) send(what string, h *btcHeld) error {
	if s.random.IntN(4) == 0 {
		s.note("a signer %s payout %d as %s, and holds it back", what, h.number, h.tx.TxHash())
		return nil
	}
	s.note("a signer %s payout %d as %s, and sends it: %s", what, h.number, h.tx.TxHash(), said(s.node.Submit(h.tx)))
	return nil
}

// sign signs a payout and broadcasts it past the exchange.
func (s *btcSim) sign() error {
	p := s.paper()
	if p == nil {
		return nil
	}
	return s.send("signs", s.signPacket(p, parsePacket(p.text)))
}

// bump raises the fee of a payout, out of the change.
func (s *btcSim) bump() error {
	p := s.paper()
	if p == nil || len(p.packet.UnsignedTx.TxOut) == p.sales {
		return nil
	}
	packet := parsePacket(p.text)
	change := packet.UnsignedTx.TxOut[p.sales]
	change.Value -= int64(500 * (1 + s.random.IntN(40)))
	if change.Value < bitcoin.DustLimit {
		return nil
	}
	return s.send("raises the fee of", s.signPacket(p, packet))
}

// drop leaves payees out of a payout; what they would have got is change, or fee.
func (s *btcSim) drop() error {
	p := s.paper()
	if p == nil || p.sales < 2 {
		return nil
	}
	packet := parsePacket(p.text)
	tx := packet.UnsignedTx
	i := s.random.IntN(p.sales)
	value := tx.TxOut[i].Value
	tx.TxOut, packet.Outputs = slices.Delete(tx.TxOut, i, i+1), slices.Delete(packet.Outputs, i, i+1)
	if len(tx.TxOut) == p.sales { // there is change
		tx.TxOut[p.sales-1].Value += max(0, value-int64(s.random.IntN(20_000)))
	}
	return s.send("drops a payee of", s.signPacket(p, packet))
}

// merge makes one transaction of two payouts, whose coins are others.
func (s *btcSim) merge() error {
	p, other := s.paper(), s.paper()
	if p == nil || p == other || sharesInput(p.packet.UnsignedTx, other.packet.UnsignedTx) || sharesOutput(p.packet.UnsignedTx, other.packet.UnsignedTx) {
		return nil
	}
	packet, more := parsePacket(p.text), parsePacket(other.text)
	packet.UnsignedTx.TxIn = append(packet.UnsignedTx.TxIn, more.UnsignedTx.TxIn...)
	packet.UnsignedTx.TxOut = append(packet.UnsignedTx.TxOut, more.UnsignedTx.TxOut...)
	packet.Inputs, packet.Outputs = append(packet.Inputs, more.Inputs...), append(packet.Outputs, more.Outputs...)
	s.note("a signer merges payouts %d and %d", p.number, other.number)
	both := *p
	both.at = max(p.at, other.at)
	return s.send("merges another into", s.signPacket(&both, packet))
}

func sharesOutput(a, b *wire.MsgTx) bool {
	return slices.ContainsFunc(a.TxOut, func(x *wire.TxOut) bool {
		return slices.ContainsFunc(b.TxOut, func(y *wire.TxOut) bool { return string(x.PkScript) == string(y.PkScript) })
	})
}

// spendElsewhere spends a coin of a payout on something that pays no sale.
func (s *btcSim) spendElsewhere() error {
	p := s.paper()
	if p == nil {
		return nil
	}
	packet := parsePacket(p.text)
	i := s.random.IntN(len(packet.Inputs))
	value := packet.Inputs[i].WitnessUtxo.Value
	packet.UnsignedTx.TxIn, packet.Inputs = packet.UnsignedTx.TxIn[i:i+1], packet.Inputs[i:i+1]
	out := wire.NewTxOut(value-int64(2_000+s.random.IntN(40_000)), bitcointest.NewMemoryWallet("cold").Script)
	packet.UnsignedTx.TxOut, packet.Outputs = []*wire.TxOut{out}, []psbt.POutput{{}}
	if out.Value < bitcoin.DustLimit {
		return nil
	}
	return s.send("spends elsewhere a coin of", s.signPacket(p, packet))
}

// broadcast sends something that was signed at some time.
func (s *btcSim) broadcast() error {
	if len(s.held) == 0 {
		return nil
	}
	h := s.held[s.random.IntN(len(s.held))]
	s.note("a signer sends %s, of payout %d: %s", h.tx.TxHash(), h.number, said(s.node.Submit(h.tx)))
	return nil
}

// export makes a payout of what is free to go.
func (s *btcSim) export() error {
	rate, by := int64(1+s.random.IntN(20)), s.operator()
	s.launch("export", func(ctx context.Context, x *actors.Exchange) string {
		_, _, err := x.ExportPayout(ctx, rate, by)
		return said(err)
	})
	s.count.exports++
	return nil
}

// importPayout gives a signed payout to the exchange: the payout as it was exported, or
// what became of it.
func (s *btcSim) importPayout() error {
	p := s.paper()
	if p == nil {
		return nil
	}
	signed := ""
	for _, h := range s.held {
		if h.number == p.number && s.random.IntN(3) == 0 {
			signed = h.signed
		}
	}
	if signed == "" {
		signed = s.signPacket(p, parsePacket(p.text)).signed
	}
	by := s.operator()
	s.launch("import of payout "+parsePacket(signed).UnsignedTx.TxHash().String(), func(ctx context.Context, x *actors.Exchange) string {
		_, sendErr, err := x.SignPayout(ctx, p.number, signed, by)
		if err == nil && sendErr != nil {
			return "done, and not sent: " + said(sendErr)
		}
		return said(err)
	})
	s.count.imports++
	return nil
}

// cancelPayout gives a payout up, with or without the transaction that took a coin of it.
func (s *btcSim) cancelPayout() error {
	payouts, _, _ := s.x.Payouts(0, 1000)
	if len(payouts) == 0 {
		return nil
	}
	p := payouts[s.random.IntN(min(4, len(payouts)))]
	var spentBy account.ChainHash
	if s.random.IntN(2) == 0 {
		spentBy = s.spenderOf(&p.Payout)
	}
	by := s.operator()
	s.launch("cancellation of payout", func(ctx context.Context, x *actors.Exchange) string {
		_, err := x.CancelPayout(ctx, p.Number, spentBy, by, "given up")
		return said(err)
	})
	s.note("payout %d, spent by %s", p.Number, spentBy)
	s.count.cancels++
	return nil
}

// spenderOf returns a transaction of the chain that took a coin of a payout, or, if there
// is none, of anything else.
func (s *btcSim) spenderOf(p *account.Payout) account.ChainHash {
	for _, block := range s.node.Chain(s.base + 1) {
		for _, tx := range block.Transactions[1:] {
			for _, in := range tx.TxIn {
				for _, c := range p.Coins {
					if in.PreviousOutPoint == (wire.OutPoint{Hash: [32]byte(c.Out.TxID), Index: c.Out.Index}) {
						return account.ChainHash(tx.TxHash())
					}
				}
			}
		}
	}
	if len(s.paid) > 0 {
		return account.ChainHash(s.paid[s.random.IntN(len(s.paid))].tx.TxHash())
	}
	return account.ChainHash{}
}
