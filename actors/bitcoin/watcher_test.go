package bitcoin_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
)

// testKey is an account's public key on test networks, of a seed that everybody knows.
const testKey = "vpub5YvMuJNjRSYon44z9QmCfdf8SqJRVNvz6m55Qy5iVjZQxDfUgtiQjnc7CC1fAbED2tAGCZRERUfvtn2DstZGU6HMns6dXXH2wujSc2wfi2x"

func keys(t *testing.T) *bitcoin.Keys {
	t.Helper()
	keys, err := bitcoin.ParseKeys(testKey, bitcoin.Regtest)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func address(t *testing.T, index uint32) string {
	t.Helper()
	a, err := keys(t).Address(index)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// consumer keeps what a Watcher reports, and waits for it.
type consumer struct {
	t  *testing.T
	mu sync.Mutex // guards what follows

	outputs map[wire.OutPoint]bitcoin.InBlock
	trail   []bitcoin.Ref
	removed []*bitcoin.Removed
	changed chan struct{} // closed and replaced after every change
}

func newConsumer(t *testing.T) *consumer {
	return &consumer{t: t, outputs: map[wire.OutPoint]bitcoin.InBlock{}, changed: make(chan struct{})}
}

func (c *consumer) take(_ context.Context, facts []bitcoin.Fact) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, fact := range facts {
		switch fact := fact.(type) {
		case *bitcoin.Seen:
			c.outputs[fact.Out] = bitcoin.InBlock{Output: fact.Output}
		case *bitcoin.InBlock:
			c.outputs[fact.Out] = *fact
		case *bitcoin.Removed:
			delete(c.outputs, fact.Out)
			c.removed = append(c.removed, fact)
		case *bitcoin.Tip:
			for len(c.trail) > 0 && c.trail[len(c.trail)-1].Height >= fact.Block.Height {
				c.trail = c.trail[:len(c.trail)-1]
			}
			c.trail = append(c.trail, fact.Block)
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

// until waits until done, which is called with the lock held.
func (c *consumer) until(what string, done func() bool) {
	c.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		c.mu.Lock()
		ok, changed := done(), c.changed
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			c.mu.Lock()
			defer c.mu.Unlock()
			c.t.Fatalf("not %s within 30 s: outputs %v", what, c.outputs)
		}
	}
}

// untilAt waits until an address has outputs, each at the wanted height or in the
// mempool (0), and the consumer is at the node's tip.
func (c *consumer) untilAt(n *bitcointest.Node, address string, heights ...int32) {
	c.t.Helper()
	tip := n.Tip()
	c.until(fmt.Sprintf("%s at %v", address, heights), func() bool {
		if len(c.trail) == 0 || c.trail[len(c.trail)-1] != tip {
			return false
		}
		wanted := map[int32]int{}
		for _, h := range heights {
			wanted[h]++
		}
		for _, o := range c.outputs {
			if o.Address == address {
				wanted[o.Block.Height]--
			}
		}
		for _, difference := range wanted {
			if difference != 0 {
				return false
			}
		}
		return true
	})
}

// watch follows a node from the consumer's place, until stop or the test's end.
func (c *consumer) watch(n *bitcointest.Node, addresses ...string) (w *bitcoin.Watcher, stop func()) {
	c.t.Helper()
	cfg := bitcoin.FollowerConfig{Network: bitcoin.Regtest, Start: 1}
	c.mu.Lock()
	cfg.Trail = append(cfg.Trail, c.trail...)
	for _, o := range c.outputs {
		cfg.Outputs = append(cfg.Outputs, o)
	}
	c.mu.Unlock()
	w = bitcoin.NewWatcher(bitcoin.WatcherConfig{
		Source: n.Node, Follower: bitcoin.NewFollower(cfg), Handle: c.take, Poll: 10 * time.Millisecond,
	})
	for _, a := range addresses {
		script, err := bitcoin.ScriptOf(a, bitcoin.Regtest)
		if err != nil {
			c.t.Fatal(err)
		}
		w.Watch(script)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	var ended sync.WaitGroup
	ended.Go(func() { err = w.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		ended.Wait()
		if err != nil {
			c.t.Error(err)
		}
	})
	c.t.Cleanup(stop)
	return w, stop
}

func TestWatcherSeesAPaymentConfirmAndReorganise(t *testing.T) {
	n, other := bitcointest.Start(t), bitcointest.Start(t)
	n.Generate(110)
	n.Connect(other)
	n.Disconnect(other)
	c := newConsumer(t)
	a, b := address(t, 0), address(t, 1)
	c.watch(n, a, b)

	coin := n.Wallet.Take()
	n.Wallet.Send(n.Wallet.Spend(coin, bitcointest.Payment{Address: a, Satoshi: 70_000}))
	c.untilAt(n, a, 0)
	n.Generate(3)
	c.untilAt(n, a, 111)
	n.Wallet.Pay(bitcointest.Payment{Address: a, Satoshi: 1000}, bitcointest.Payment{Address: b, Satoshi: 2000}, bitcointest.Payment{Address: a, Satoshi: 3000})
	n.Generate(1)
	c.untilAt(n, a, 111, 114, 114)
	c.untilAt(n, b, 114)

	// Another branch of five blocks spends the first payment's coin elsewhere. What
	// btcd keeps in its mempool then is its own affair.
	other.Wallet.Send(n.Wallet.Spend(coin, bitcointest.Payment{Address: b, Satoshi: 70_000}))
	other.Generate(5)
	n.Connect(other)
	c.until("all taken back", func() bool { return len(c.removed) == 4 })
	for _, r := range c.removed {
		if r.Block.Height != 111 && r.Block.Height != 114 {
			t.Errorf("taken back from block %v", r.Block)
		}
	}
	c.until("the other payment confirmed", func() bool {
		confirmed := 0
		for _, o := range c.outputs {
			if o.Block.Height != 0 && o.Address == b && o.BTC == 70_000 {
				confirmed++
			} else if o.Block.Height != 0 {
				t.Errorf("confirmed: %v", o)
			}
		}
		return confirmed == 1
	})
}

func TestWatcherFollowsANodeThatTakesItsBlocksBack(t *testing.T) {
	n := bitcointest.Start(t)
	n.Generate(101)
	c := newConsumer(t)
	a := address(t, 0)
	c.watch(n, a)
	n.Wallet.Pay(bitcointest.Payment{Address: a, Satoshi: 70_000})
	mined := n.Generate(3)
	c.untilAt(n, a, 102)
	n.Invalidate(mined[0])
	n.Generate(3) // btcd put the payment back into its mempool
	c.untilAt(n, a, 102)
	if len(c.removed) != 0 {
		t.Errorf("taken back, though it is in the new branch too: %v", c.removed)
	}
}

func TestWatcherFollowsTheLongerOfTwoChains(t *testing.T) {
	n, other := bitcointest.Start(t), bitcointest.Start(t)
	n.Generate(101)
	n.Connect(other)
	n.Disconnect(other)
	c := newConsumer(t)
	a := address(t, 0)
	_, stop := c.watch(n, a)

	tx := n.Wallet.Pay(bitcointest.Payment{Address: a, Satoshi: 70_000})
	n.Generate(3)
	c.untilAt(n, a, 102)
	stop()

	// The other branch has the payment two blocks later; the watcher is off meanwhile.
	other.Generate(2)
	other.Wallet.Send(tx)
	other.Generate(3)
	n.Connect(other)
	if got := n.Tip(); got.Height != 106 {
		t.Fatalf("the node is at %v", got)
	}
	c.watch(n, a)
	c.untilAt(n, a, 104)
	if len(c.removed) != 0 {
		t.Errorf("taken back, though both branches have it: %v", c.removed)
	}
}

func TestWatcherOutlivesItsNode(t *testing.T) {
	n, other := bitcointest.Start(t), bitcointest.Start(t)
	n.Generate(101)
	c := newConsumer(t)
	a := address(t, 0)
	w, _ := c.watch(n, a)
	n.Wallet.Pay(bitcointest.Payment{Address: a, Satoshi: 70_000})
	c.untilAt(n, a, 0)
	n.Generate(1)
	c.untilAt(n, a, 102)
	n.Connect(other)

	n.Kill()
	untilStatus(t, w, bitcoin.Connecting)
	if w.Status().Err == nil {
		t.Error("the status does not say why it is connecting")
	}
	n.Restart() // with an empty chain
	untilStatus(t, w, bitcoin.NodeBehind)
	other.Generate(1)
	n.Connect(other)
	c.untilAt(n, a, 102)
	untilStatus(t, w, bitcoin.Following)
	if len(c.removed) != 0 {
		t.Errorf("a node that came back empty took back %v", c.removed)
	}
}

// untilStatus polls, for a Watcher has no other way to tell.
func untilStatus(t *testing.T, w *bitcoin.Watcher, want bitcoin.State) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for w.Status().State != want {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%+v after 30 s, want %s", w.Status(), want)
		}
	}
}

// TestWatcherTakesAThousandPaymentsInOneBlock logs the time from the block to the
// last of them.
func TestWatcherTakesAThousandPaymentsInOneBlock(t *testing.T) {
	const payments, each = 1000, 100
	n := bitcointest.Start(t)
	n.Generate(101)
	k := keys(t)
	addresses := make([]string, payments)
	for i := range addresses {
		var err error
		if addresses[i], err = k.Address(uint32(i)); err != nil {
			t.Fatal(err)
		}
	}
	c := newConsumer(t)
	c.watch(n, addresses...)
	c.untilAt(n, addresses[0])
	for i := 0; i < payments; i += each {
		list := make([]bitcointest.Payment, each)
		for j := range list {
			list[j] = bitcointest.Payment{Address: addresses[i+j], Satoshi: int64(10_000 + i + j)}
		}
		n.Wallet.Pay(list...)
	}
	c.until("all seen", func() bool { return len(c.outputs) == payments })
	n.Generate(1)
	start := time.Now()
	c.until("all in a block", func() bool {
		var total account.Money
		for _, o := range c.outputs {
			if o.Block.Height == 102 {
				total += o.BTC
			}
		}
		return total == payments*10_000+payments*(payments-1)/2
	})
	t.Logf("%d payments, %s after the block was mined", payments, time.Since(start))
}
