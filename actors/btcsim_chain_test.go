package actors_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
)

// btcPaid is a transaction of a payer, and what it takes to make another of it.
type btcPaid struct {
	tx          *wire.MsgTx
	coins       []bitcointest.Coin
	payments    []bitcointest.Payment
	fee         int64
	replaceable bool
}

// template is a block that gets its reward to the payer.
func (s *btcSim) template() bitcointest.Template {
	at := time.Now()
	if s.random.IntN(8) == 0 { // a miner's clock
		at = at.Add(time.Duration(s.random.IntN(600)-300) * time.Second)
	}
	return bitcointest.Template{Time: at, Reward: s.payer.Script}
}

// mineBlock mines what take chooses; nil: all.
func (s *btcSim) mineBlock(take func(*wire.MsgTx) bool) {
	t := s.template()
	t.Take = take
	block := s.node.Mine(t)
	s.count.blocks++
	s.note("block %d of %d transactions", s.node.Tip().Height, len(block.Transactions)-1)
	s.noteFinal()
}

// some leaves each transaction out with a chance of one in n.
func (s *btcSim) some(n int) func(*wire.MsgTx) bool {
	return func(*wire.MsgTx) bool { return s.random.IntN(n) > 0 }
}

// mine mines a few blocks, full, empty or in between.
func (s *btcSim) mine() error {
	if s.behind {
		s.catchUp()
	}
	for range 1 + s.random.IntN(3) {
		switch s.random.IntN(5) {
		case 0:
			s.mineBlock(func(*wire.MsgTx) bool { return false })
		case 1:
			s.mineBlock(s.some(2))
		default:
			s.mineBlock(nil)
		}
		if s.random.IntN(2) == 0 {
			s.pause(time.Duration(1+s.random.IntN(12)) * time.Second)
			s.settleQuietly()
		}
	}
	return nil
}

// noteFinal remembers what has all its confirmations.
func (s *btcSim) noteFinal() {
	tip, wanted := s.node.Tip().Height, s.life().wanted()
	for i, block := range s.node.Chain(s.base + 1) {
		if tip-(s.base+1+int32(i))+1 < wanted {
			return
		}
		for _, tx := range block.Transactions[1:] {
			s.final[tx.TxHash()] = true
		}
	}
}

// reorganise replaces some blocks: most of the time fewer than confirm, now and then
// more. What was in them comes again, later, never, or as something else.
func (s *btcSim) reorganise() error {
	if s.behind {
		return nil
	}
	tip := s.node.Tip().Height
	depth := 1
	switch s.random.IntN(8) {
	case 0, 1, 2:
		depth += s.random.IntN(int(s.life().wanted()))
	case 3, 4:
		depth += s.random.IntN(6)
	}
	depth = min(depth, int(tip-s.base))
	if depth < 1 {
		return nil
	}
	s.noteFinal()
	s.count.reorgs++
	var extra []*wire.MsgTx
	never := map[chainhash.Hash]bool{}
	for _, block := range s.node.Chain(tip - int32(depth) + 1) {
		for _, tx := range block.Transactions[1:] {
			id := tx.TxHash()
			s.taint(tx)
			switch s.random.IntN(6) {
			case 0:
				never[id] = true
			case 1:
				never[id] = true
				if other := s.conflict(tx); other != nil {
					extra = append(extra, other)
				}
			}
		}
	}
	branch := make([]bitcointest.Template, depth+1+s.random.IntN(2))
	full := s.random.IntN(2) == 0
	for i := range branch {
		branch[i] = s.template()
		branch[i].Take = func(tx *wire.MsgTx) bool { return !never[tx.TxHash()] && (full || s.random.IntN(3) > 0) }
		if i == 0 {
			branch[i].Extra = extra
		}
	}
	s.node.Reorganise(depth, branch...)
	s.note("the last %d blocks of %d are replaced by %d; %d transactions stay out, %d others come in", depth, tip, len(branch), len(never), len(extra))
	s.noteFinal()
	return nil
}

// conflict spends what a transaction spent on something else.
func (s *btcSim) conflict(tx *wire.MsgTx) *wire.MsgTx {
	id := tx.TxHash()
	for _, p := range s.paid {
		if p.tx.TxHash() == id {
			return s.other(p, p.fee+int64(s.random.IntN(5_000)))
		}
	}
	for _, h := range s.held {
		if h.tx.TxHash() == id {
			for _, other := range s.held {
				if other.tx.TxHash() != id && sharesInput(other.tx, tx) {
					return other.tx
				}
			}
		}
	}
	return nil
}

func sharesInput(a, b *wire.MsgTx) bool {
	return slices.ContainsFunc(a.TxIn, func(x *wire.TxIn) bool {
		return slices.ContainsFunc(b.TxIn, func(y *wire.TxIn) bool { return x.PreviousOutPoint == y.PreviousOutPoint })
	})
}

// taint notes which sales a transaction concerns that was final and is taken back.
func (s *btcSim) taint(tx *wire.MsgTx) {
	if !s.final[tx.TxHash()] {
		return
	}
	s.count.deep++
	s.blame("a transaction that was final was taken back")
	for _, out := range tx.TxOut {
		s.tainted[s.addressOf(out.PkScript)] = true
	}
	for _, p := range s.papers {
		if sharesInput(p.packet.UnsignedTx, tx) {
			for _, out := range p.packet.UnsignedTx.TxOut {
				s.tainted[s.addressOf(out.PkScript)] = true
			}
		}
	}
}

func (s *btcSim) blame(why string) {
	if s.blamed == "" {
		s.blamed = why
	}
}

// evict makes the network forget transactions that are in no block.
func (s *btcSim) evict() error {
	for _, tx := range s.node.Pool() {
		if s.random.IntN(2) == 0 {
			s.note("%s is forgotten", tx.TxHash())
			s.node.Evict(tx.TxHash())
		}
	}
	return nil
}

// turn stops the node, or starts it again.
func (s *btcSim) turn() error {
	s.down = !s.down
	s.note("the node is down: %t", s.down)
	s.node.SetDown(s.down)
	if s.down {
		s.pause(time.Duration(1+s.random.IntN(100)) * time.Second)
	}
	return nil
}

// fallBehind has the node know less than it did.
func (s *btcSim) fallBehind() error {
	blocks := min(1+s.random.IntN(3), int(s.node.Tip().Height-s.base))
	if s.behind || blocks < 1 {
		return nil
	}
	s.note("the node falls behind by %d blocks", blocks)
	s.node.FallBehind(blocks)
	s.behind = true
	s.pause(time.Duration(1+s.random.IntN(60)) * time.Second)
	return nil
}

func (s *btcSim) catchUp() {
	s.note("the node catches up")
	s.node.CatchUp()
	s.behind = false
}

// wait lets time pass: moments, minutes, or until quotes are over.
func (s *btcSim) wait() error {
	s.resend()
	s.pause([]time.Duration{time.Second, 15 * time.Second, time.Minute, 4 * time.Minute, 11 * time.Minute}[s.random.IntN(5)])
	return nil
}

// pay pays one or two payments, that are open, over, or not even in the log any more.
func (s *btcSim) pay() error {
	if len(s.payments) == 0 {
		return nil
	}
	var payments []bitcointest.Payment
	for range 1 + s.random.IntN(2)*s.random.IntN(2) {
		p := s.payments[s.random.IntN(len(s.payments))]
		if recent := len(s.payments) - 4; recent > 0 && s.random.IntN(3) > 0 {
			p = s.payments[recent+s.random.IntN(4)]
		}
		if p.lost && s.random.IntN(2) == 0 {
			continue
		}
		amount := int64(p.btc)
		switch s.random.IntN(8) {
		case 0:
			amount = amount * int64(50+s.random.IntN(50)) / 100
		case 1:
			amount = amount * int64(101+s.random.IntN(110)) / 100
		case 2:
			amount = []int64{294, 546, 1_000}[s.random.IntN(3)]
		case 3:
			first := amount * int64(1+s.random.IntN(98)) / 100
			payments = append(payments, bitcointest.Payment{Address: p.address, Satoshi: max(294, first)})
			amount -= first
		case 4:
			amount = amount * int64(950+s.random.IntN(55)) / 1000
		}
		payments = append(payments, bitcointest.Payment{Address: p.address, Satoshi: max(294, amount)})
	}
	if len(payments) > 0 {
		s.payWith(payments, s.random.IntN(2) == 0)
	}
	return nil
}

// payWith sends payments in one transaction of the payer.
func (s *btcSim) payWith(payments []bitcointest.Payment, replaceable bool) {
	coins := s.node.Unspent(s.payer.Script)
	if len(coins) == 0 {
		return
	}
	p := &btcPaid{coins: coins[:1], payments: payments, fee: int64(300 + s.random.IntN(2_000)), replaceable: replaceable}
	p.tx = s.payer.Spend(p.coins, p.fee, replaceable, payments...)
	s.hand(p)
}

// hand gives a payer's transaction to the network.
func (s *btcSim) hand(p *btcPaid) {
	s.paid = append(s.paid, p)
	s.count.paid++
	s.note("a payer sends %s: %v, replaceable %t: %s", p.tx.TxHash(), p.payments, p.replaceable, said(s.node.Submit(p.tx)))
}

// other is another transaction of the same coins: for other amounts, for less, or to
// nobody.
func (s *btcSim) other(p *btcPaid, fee int64) *wire.MsgTx {
	o := &btcPaid{coins: p.coins, fee: fee, replaceable: p.replaceable}
	if s.random.IntN(3) > 0 {
		for _, payment := range p.payments {
			switch s.random.IntN(3) {
			case 0:
				payment.Satoshi = max(294, payment.Satoshi*int64(20+s.random.IntN(150))/100)
			case 1:
				if len(p.payments) > 1 {
					continue
				}
			}
			o.payments = append(o.payments, payment)
		}
	}
	o.tx = s.payer.Spend(o.coins, o.fee, o.replaceable, o.payments...)
	s.paid = append(s.paid, o)
	return o.tx
}

// replace replaces a payer's transaction that is in no block.
func (s *btcSim) replace() error {
	pool := s.node.Pool()
	var open []*btcPaid
	for _, p := range s.paid {
		id := p.tx.TxHash()
		if slices.ContainsFunc(pool, func(tx *wire.MsgTx) bool { return tx.TxHash() == id }) {
			open = append(open, p)
		}
	}
	if len(open) == 0 {
		return nil
	}
	p := open[s.random.IntN(len(open))]
	tx := s.other(p, 2*p.fee+int64(1_000+s.random.IntN(5_000)))
	err := s.node.Submit(tx)
	s.note("a payer replaces %s by %s: %s", p.tx.TxHash(), tx.TxHash(), said(err))
	if err == nil {
		s.count.replaced++
	}
	return nil
}

// resend has payers send again what the network has forgotten, now and then.
func (s *btcSim) resend() {
	for _, p := range s.paid {
		if s.random.IntN(4) == 0 {
			_ = s.node.Submit(p.tx) // most are in a block, or can't be any more
		}
	}
}

// received is what the best chain has paid to each address.
type received struct {
	sum     account.Money
	outputs []receivedOutput
}

type receivedOutput struct {
	out    account.Outpoint
	btc    account.Money
	height int32
}

// addressOf is bitcoin.AddressOf, which takes its time.
func (s *btcSim) addressOf(script []byte) string {
	address, known := s.addresses[string(script)]
	if !known {
		address = bitcoin.AddressOf(script, bitcoin.Regtest)
		s.addresses[string(script)] = address
	}
	return address
}

func (o receivedOutput) String() string {
	return fmt.Sprintf("%s with %s BTC at %d", o.out, o.btc, o.height)
}

// truth reads the best chain.
func (s *btcSim) truth() map[string]*received {
	all := map[string]*received{}
	for i, block := range s.node.Chain(s.base + 1) {
		for _, tx := range block.Transactions[1:] {
			id := account.ChainHash(tx.TxHash())
			for j, out := range tx.TxOut {
				address := s.addressOf(out.PkScript)
				r := all[address]
				if r == nil {
					r = &received{}
					all[address] = r
				}
				r.sum += account.Money(out.Value)
				r.outputs = append(r.outputs, receivedOutput{account.Outpoint{TxID: id, Index: uint32(j)}, account.Money(out.Value), s.base + 1 + int32(i)})
			}
		}
	}
	return all
}
