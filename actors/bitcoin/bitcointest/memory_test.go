package bitcointest_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
)

// memory is a MemoryNode with a wallet that has mined on it, and the exchange's way to it.
type memory struct {
	*bitcointest.MemoryNode
	t      *testing.T
	client *bitcoin.Node
	wallet *bitcointest.MemoryWallet
	at     time.Time
}

func newMemory(t *testing.T, blocks int) *memory {
	t.Helper()
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &memory{
		MemoryNode: bitcointest.NewMemoryNode(), t: t, wallet: bitcointest.NewMemoryWallet("miner"),
		at: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	var err error
	m.client, err = bitcoin.NewNode(bitcoin.NodeConfig{
		Network: bitcoin.Regtest, URL: "http://node", User: "test", PassFile: password, Transport: m.MemoryNode,
	})
	if err != nil {
		t.Fatal(err)
	}
	m.generate(blocks)
	return m
}

// template is a block of all that the mempool has.
func (m *memory) template() bitcointest.Template {
	m.at = m.at.Add(10 * time.Minute)
	return bitcointest.Template{Time: m.at, Reward: m.wallet.Script}
}

func (m *memory) generate(blocks int) {
	for range blocks {
		m.Mine(m.template())
	}
}

func (m *memory) coin() bitcointest.Coin { return m.Unspent(m.wallet.Script)[0] }

// pay is a transaction of one coin to a script that nobody has.
func (m *memory) pay(coin bitcointest.Coin, fee int64, replaceable bool) *wire.MsgTx {
	return m.wallet.Spend([]bitcointest.Coin{coin}, fee, replaceable, bitcointest.Payment{Address: stranger.Address, Satoshi: 70_000})
}

var stranger = bitcointest.NewMemoryWallet("stranger")

func (m *memory) submit(tx *wire.MsgTx) {
	m.t.Helper()
	if err := m.Submit(tx); err != nil {
		m.t.Fatal(err)
	}
}

func (m *memory) has(txs ...*wire.MsgTx) {
	m.t.Helper()
	var got, want []chainhash.Hash
	for _, tx := range m.Pool() {
		got = append(got, tx.TxHash())
	}
	for _, tx := range txs {
		want = append(want, tx.TxHash())
	}
	if !slices.Equal(got, want) {
		m.t.Errorf("the mempool has %v, want %v", got, want)
	}
}

func refusedBy(err error) int {
	var refused *bitcoin.RPCError
	if !errors.As(err, &refused) {
		return 0
	}
	return refused.Code
}

func TestAReplacementPaysMoreThanAllThatItReplaces(t *testing.T) {
	m := newMemory(t, 101)
	coin := m.coin()
	first := m.pay(coin, 1_000, true)
	m.submit(first)
	child := m.wallet.Spend([]bitcointest.Coin{{Out: wire.OutPoint{Hash: first.TxHash(), Index: 1}, Satoshi: first.TxOut[1].Value}}, 5_000, false)
	m.submit(child)
	for _, fee := range []int64{500, 2_000, 6_000} { // more than the first alone, and not than both
		if err := m.Submit(m.pay(coin, fee, true)); refusedBy(err) != bitcoin.CodeVerifyRejected {
			t.Errorf("a replacement for a fee of %d: %v", fee, err)
		}
	}
	m.has(first, child)
	second := m.pay(coin, 7_000, false)
	m.submit(second)
	m.has(second)
	if err := m.Submit(m.pay(coin, 100_000, true)); refusedBy(err) != bitcoin.CodeVerifyRejected {
		t.Errorf("what does not signal is replaced: %v", err)
	}
	m.generate(1)
	m.has()
	if err := m.Submit(first); refusedBy(err) != -25 {
		t.Errorf("a coin is spent twice: %v", err)
	}
	if err := m.Submit(second); refusedBy(err) != bitcoin.CodeAlreadyInChain {
		t.Errorf("a mined transaction: %v", err)
	}
}

func TestAReorganisationGivesTransactionsBackThatAreStillValid(t *testing.T) {
	m := newMemory(t, 103)
	coins := m.Unspent(m.wallet.Script)
	kept, dropped := m.pay(coins[0], 1_000, false), m.pay(coins[1], 1_000, true)
	m.submit(kept)
	m.submit(dropped)
	m.generate(1)
	if coins := m.Unspent(stranger.Script); len(coins) != 2 {
		t.Fatalf("%v", coins)
	}
	old := m.Tip()
	conflict := m.pay(coins[1], 2_000, true)
	branch := []bitcointest.Template{m.template(), m.template()}
	branch[0].Take = func(*wire.MsgTx) bool { return false }
	branch[0].Extra = []*wire.MsgTx{conflict}
	branch[1].Take = branch[0].Take
	m.Reorganise(1, branch...)
	m.has(kept)
	if _, found := m.Height(kept.TxHash()); found {
		t.Error("a transaction is still where it was")
	}
	if height, found := m.Height(conflict.TxHash()); !found || height != old.Height {
		t.Errorf("the other transaction is at %d, %t", height, found)
	}
	if tip := m.Tip(); tip.Height != old.Height+1 || tip.Hash == old.Hash {
		t.Errorf("the tip is %v, it was %v", tip, old)
	}
	if _, err := m.client.Block(t.Context(), old.Hash); err != nil {
		t.Errorf("the block that was taken back: %v", err)
	}
	m.generate(1)
	if coins := m.Unspent(stranger.Script); len(coins) != 2 {
		t.Errorf("%v", coins)
	}
}

func TestACoinbaseThatAReorganisationTookTakesItsSpenderAlong(t *testing.T) {
	m := newMemory(t, 101)
	tx := m.pay(m.coin(), 1_000, false)
	m.submit(tx)
	m.Reorganise(101, slices.Repeat([]bitcointest.Template{m.template()}, 102)...)
	m.has()
	if err := m.Submit(tx); refusedBy(err) != -25 {
		t.Errorf("%v", err)
	}
}

func TestANodeThatFallsBehindCatchesUp(t *testing.T) {
	m := newMemory(t, 101)
	tx := m.pay(m.coin(), 1_000, false)
	m.submit(tx)
	m.generate(2)
	tip := m.Tip()
	m.FallBehind(2)
	info, err := m.client.Check(t.Context())
	if err != nil || info.Tip.Height != 101 || info.Headers != 103 || !info.Syncing {
		t.Errorf("behind: %+v, %v", info, err)
	}
	if _, err := m.client.Block(t.Context(), tip.Hash); !bitcoin.IsNotFound(err) {
		t.Errorf("a block that it has not: %v", err)
	}
	m.CatchUp()
	if got, err := m.client.Info(t.Context()); err != nil || got.Tip != tip || got.Syncing {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestACallTakesItsTimeAndFailsWhereTheNodeGoesDownMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, 101)
		m.Latency = func(string, string) time.Duration { return 2 * time.Second }
		start := time.Now()
		if _, err := m.client.Info(t.Context()); err != nil || time.Since(start) != 2*time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		tx := m.pay(m.coin(), 1_000, false)
		sent := make(chan error)
		go func() { sent <- m.client.Send(context.Background(), tx) }()
		time.Sleep(1500 * time.Millisecond)
		m.SetDown(true)
		if err := <-sent; err == nil {
			t.Error("an answer from a node that is down")
		}
		m.has(tx) // carried out all the same
	})
}

func TestACoinThatTheMempoolSpendsIsNotUnspent(t *testing.T) { // in Bitcoin Core; btcd still says that it is
	m := newMemory(t, 101)
	coin := m.coin()
	m.submit(m.pay(coin, 1_000, false))
	if u, err := m.client.Unspent(t.Context(), coin.Out); err != nil || u.Found {
		t.Errorf("%+v, %v", u, err)
	}
}

// TestAMemoryNodeAnswersAsBtcdDoes tells both of the same, and asks both.
func TestAMemoryNodeAnswersAsBtcdDoes(t *testing.T) {
	m, real := newMemory(t, 102), bitcointest.Start(t)
	real.Generate(102)
	type side struct {
		client *bitcoin.Node
		pay    func(coin bitcointest.Coin) *wire.MsgTx
		coins  [3]bitcointest.Coin // two that can be spent, and one that can't yet
		tip    bitcoin.Ref
	}
	// The wallets differ, and so do the coins' scripts.
	unspent := func(s *side, out wire.OutPoint) any {
		u, err := s.client.Unspent(t.Context(), out)
		return []any{u.Found, u.Confirmations, u.Coinbase, len(u.Script), err}
	}
	sides := [2]side{
		{client: m.client, tip: m.Tip(), pay: func(coin bitcointest.Coin) *wire.MsgTx {
			return m.wallet.Spend([]bitcointest.Coin{coin}, bitcointest.Fee, false, bitcointest.Payment{Address: stranger.Address, Satoshi: 70_000})
		}},
		{client: real.Node, tip: real.Tip(), pay: func(coin bitcointest.Coin) *wire.MsgTx {
			return real.Wallet.Spend(coin, bitcointest.Payment{Address: stranger.Address, Satoshi: 70_000})
		}},
	}
	copy(sides[0].coins[:], m.Unspent(m.wallet.Script))
	young := m.Chain(102)[0].Transactions[0]
	sides[0].coins[2] = bitcointest.Coin{Out: wire.OutPoint{Hash: young.TxHash()}, Satoshi: young.TxOut[0].Value}
	for i := range sides[1].coins {
		sides[1].coins[i] = real.Wallet.TakeAt(201)
	}
	sides[1].coins[2] = real.Wallet.TakeAt(300)
	ctx := t.Context()
	for _, c := range []struct {
		name string
		ask  func(*side) any
	}{
		{"tip", func(s *side) any {
			info, err := s.client.Check(ctx)
			return []any{info.Tip.Height, info.Tip == s.tip, info.Headers, info.Pruned, err}
		}},
		{"a height that is not there", func(s *side) any { _, err := s.client.BlockHash(ctx, 103); return refusedBy(err) != 0 }},
		{"a block that is not there", func(s *side) any { _, err := s.client.Block(ctx, chainhash.Hash{1}); return refusedBy(err) }},
		{"a transaction that is not there", func(s *side) any { _, err := s.client.Transaction(ctx, chainhash.Hash{1}); return refusedBy(err) }},
		{"an output that is not there", func(s *side) any { return unspent(s, wire.OutPoint{}) }},
		{"a reward", func(s *side) any { return unspent(s, s.coins[0].Out) }},
		{"a reward that is too young", func(s *side) any { return refusedBy(s.client.Send(ctx, s.pay(s.coins[2]))) != 0 }},
		{"send", func(s *side) any { return s.client.Send(ctx, s.pay(s.coins[0])) }},
		{"send again", func(s *side) any { return s.client.Send(ctx, s.pay(s.coins[0])) }},
		{"mempool", func(s *side) any { ids, err := s.client.Mempool(ctx); return []any{len(ids), err} }},
		{"an unconfirmed transaction", func(s *side) any {
			tx, confirmations, err := s.client.Confirmed(ctx, s.pay(s.coins[0]).TxHash())
			return []any{len(tx.TxOut), confirmations, err}
		}},
		{"an output of the mempool", func(s *side) any {
			return unspent(s, wire.OutPoint{Hash: s.pay(s.coins[0]).TxHash()})
		}},
		{"its script", func(s *side) any {
			var out struct {
				Value        float64
				ScriptPubKey struct{ Hex string }
			}
			err := s.client.Call(ctx, &out, "gettxout", s.pay(s.coins[0]).TxHash().String(), 0, true)
			return []any{out.Value, out.ScriptPubKey.Hex == hex.EncodeToString(stranger.Script), err}
		}},
		{"a second spender", func(s *side) any {
			other := s.pay(bitcointest.Coin{Out: s.coins[0].Out, Satoshi: s.coins[0].Satoshi - 1})
			return refusedBy(s.client.Send(ctx, other)) != 0
		}},
		{"mine", func(s *side) any {
			if s == &sides[0] {
				m.generate(1)
			} else {
				real.Generate(1)
			}
			return nil
		}},
		{"a confirmed transaction", func(s *side) any {
			tx, confirmations, err := s.client.Confirmed(ctx, s.pay(s.coins[0]).TxHash())
			return []any{len(tx.TxOut), confirmations, err}
		}},
		{"send what is mined", func(s *side) any { return s.client.Send(ctx, s.pay(s.coins[0])) }},
		{"the output of what is mined", func(s *side) any {
			return unspent(s, wire.OutPoint{Hash: s.pay(s.coins[0]).TxHash()})
		}},
		{"an unknown method", func(s *side) any { return refusedBy(s.client.Call(ctx, nil, "nothing")) }},
	} {
		memory, btcd := c.ask(&sides[0]), c.ask(&sides[1])
		if got, want := describe(memory), describe(btcd); got != want {
			t.Errorf("%s: %s, btcd says %s", c.name, got, want)
		}
	}
}

func describe(v any) string { return fmt.Sprintf("%+v", v) }
