package bitcoin

import (
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
)

// out is output i of a transaction.
func out(tx *wire.MsgTx, i uint32) wire.OutPoint {
	return wire.OutPoint{Hash: tx.TxHash(), Index: i}
}

func TestFollowerReportsASpendOfACoinFromMempoolToBlock(t *testing.T) {
	m, f := following(t)
	coin := out(m.pay(script(99)), 0)
	mustSync(t, m, f)
	f.WatchCoin(coin)
	wantFacts(t, f)
	m.spend([]wire.OutPoint{coin}, script(98)) // lock time 4: of the first block, of pay twice
	mustSync(t, m, f)
	wantFacts(t, f, "spent 5")
	m.mine(2)
	mustSync(t, m, f)
	wantFacts(t, f, "spent 5@2", "tip 2")
	m.reorganise(1)
	m.drop(1) // and what spends it
	node := *m
	mustSync(t, &node, f)
	wantFacts(t, f) // the new branch is not as high yet
	m.mine(0)
	mustSync(t, m, f)
	wantFacts(t, f, "unspent@2", "tip 2")
}

func TestFollowerFollowsAChainOfSpendsWithinABlockAndInAnyOrderOfTheMempool(t *testing.T) {
	for _, isBackward := range []bool{false, true} {
		m, f := following(t)
		m.isBackward = isBackward
		f.WatchOwn(script(50))
		first := m.pay(script(0))
		second := m.spend([]wire.OutPoint{out(first, 0)}, script(50))
		m.spend([]wire.OutPoint{out(second, 0)}, script(99))
		mustSync(t, m, f)
		facts := f.Facts()
		got := map[string]int{}
		for _, line := range summary(facts) {
			got[line]++
		}
		if got["seen 0"] == 0 || got["spent 5"] == 0 || got["spent 6"] == 0 {
			t.Errorf("backward %t: facts %q", isBackward, summary(facts))
		}
		m.mine(3)
		mustSync(t, m, f)
		wantFacts(t, f, "block 0@2", "spent 5@2", "spent 6@2", "tip 2")
	}
}

func TestFollowerFindsInTheMempoolWhatSpendsACoinThatIsWatchedLater(t *testing.T) {
	m, f := following(t)
	coin := out(m.pay(script(99)), 0)
	m.spend([]wire.OutPoint{coin}, script(0))
	mustSync(t, m, f)
	wantFacts(t, f, "seen 0")
	f.WatchCoin(coin)
	mustSync(t, m, f)
	wantFacts(t, f, "seen 0", "spent 5")
	m.drop(2)
	mustSync(t, m, f)
	wantFacts(t, f, "removed 0@0", "unspent@0")
}

func TestFollowerTakesBackASpendThatItWasToldOfAtTheStart(t *testing.T) {
	m, f := following(t)
	coin := out(m.pay(script(99)), 0)
	m.mine(1)
	f.WatchCoin(coin)
	m.spend([]wire.OutPoint{coin}, script(98))
	m.mine(1)
	mustSync(t, m, f)
	written := newLedger()
	written.take(f.Facts())

	f = NewFollower(written.config(FollowerConfig{Network: Regtest, Start: 1}))
	f.WatchCoin(coin)
	m.reorganise(1)
	m.drop(1)
	m.mine(0)
	m.mine(0)
	mustSync(t, m, f)
	wantFacts(t, f, "unspent@3", "tip 3", "tip 4")
}

func TestFollowerForgetsACoinWhoseSpendIsBuried(t *testing.T) {
	m := newModel()
	f := NewFollower(FollowerConfig{Network: Regtest, Start: 1, MaxReorg: 20})
	f.Watch(script(0))
	last := out(m.pay(script(0)), 0)
	for range 200 {
		last = out(m.spend([]wire.OutPoint{last}, script(0)), 0)
		m.mine(2)
	}
	mustSync(t, m, f)
	if len(f.coins) > 21+16+1 || len(f.blocks) > 2*(21+16) {
		t.Errorf("remembers %d coins and %d findings", len(f.coins), len(f.blocks))
	}
}
