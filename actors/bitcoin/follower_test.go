package bitcoin

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/btcsuite/btcd/wire/v2"
	"pgregory.net/rapid"
)

// script is the i-th of many output scripts: a public key's hash (BIP-141).
func script(i int) []byte {
	s := make([]byte, 22)
	s[1] = 20
	s[2], s[3], s[4] = byte(i), byte(i>>8), byte(i>>16)
	return s
}

// summary spells facts shortly: "seen 2" and "block 2@5" for payments to script 2.
func summary(facts []Fact) (lines []string) {
	name := func(o Output) string {
		for i := range 256 {
			if AddressOf(script(i), Regtest) == o.Address {
				return fmt.Sprint(i)
			}
		}
		return o.Address
	}
	for _, fact := range facts {
		switch fact := fact.(type) {
		case *Seen:
			lines = append(lines, "seen "+name(fact.Output))
		case *InBlock:
			lines = append(lines, fmt.Sprintf("block %s@%d", name(fact.Output), fact.Block.Height))
		case *Removed:
			lines = append(lines, fmt.Sprintf("removed %s@%d", name(fact.Output), fact.Block.Height))
		case *Spent:
			lines = append(lines, fmt.Sprintf("spent %d", fact.Tx.LockTime))
		case *SpentInBlock:
			lines = append(lines, fmt.Sprintf("spent %d@%d", fact.Tx.LockTime, fact.Block.Height))
		case *SpentRemoved:
			lines = append(lines, fmt.Sprintf("unspent@%d", fact.Block.Height))
		case *Tip:
			lines = append(lines, fmt.Sprintf("tip %d", fact.Block.Height))
		}
	}
	return lines
}

func wantFacts(t *testing.T, f *Follower, want ...string) {
	t.Helper()
	if got := summary(f.Facts()); !reflect.DeepEqual(got, want) {
		t.Errorf("facts\n%q, want\n%q", got, want)
	}
}

// following returns a follower of three scripts at the tip of a model.
func following(t *testing.T) (*model, *Follower) {
	t.Helper()
	m := newModel()
	f := NewFollower(FollowerConfig{Network: Regtest, Start: 1})
	for i := range 3 {
		f.Watch(script(i))
	}
	m.mine(0)
	mustSync(t, m, f)
	wantFacts(t, f, "tip 1")
	return m, f
}

func mustSync(t *testing.T, m *model, f *Follower) {
	t.Helper()
	if err := m.sync(f); err != nil {
		t.Fatal(err)
	}
}

func TestFollowerReportsAPaymentFromMempoolToBlock(t *testing.T) {
	m, f := following(t)
	m.pay(script(0), script(99), script(2))
	mustSync(t, m, f)
	wantFacts(t, f, "seen 0", "seen 2")
	mustSync(t, m, f)
	wantFacts(t, f)
	m.mine(1)
	m.pay(script(1))
	m.mine(1) // never seen in the mempool
	mustSync(t, m, f)
	wantFacts(t, f, "block 0@2", "block 2@2", "tip 2", "block 1@3", "tip 3")
}

func TestFollowerTakesBackWhatVanishesFromTheMempool(t *testing.T) {
	m, f := following(t)
	m.pay(script(0))
	mustSync(t, m, f)
	m.drop(1)
	mustSync(t, m, f)
	wantFacts(t, f, "seen 0", "removed 0@0")
}

func TestFollowerOfAReorganisationTakesBackOnlyWhatTheNewBranchLacks(t *testing.T) {
	m, f := following(t)
	for i := range 3 {
		m.pay(script(i))
		m.mine(1)
	}
	mustSync(t, m, f)
	wantFacts(t, f, "block 0@2", "tip 2", "block 1@3", "tip 3", "block 2@4", "tip 4")

	m.reorganise(3)
	m.drop(1) // 0 is spent elsewhere
	m.mine(0) // 2
	m.mine(1) // 3: 1 again, at its height
	m.mine(0) // 4, as high as the old branch: 2 is back in the mempool
	mustSync(t, m, f)
	got := summary(f.Facts())
	// 0 and 2 go in the order of their ids.
	if want := []string{"tip 2", "block 1@3", "tip 3", "removed 0@2", "removed 2@4", "tip 4", "seen 2"}; !reflect.DeepEqual(got, want) {
		want[3], want[4] = want[4], want[3]
		if !reflect.DeepEqual(got, want) {
			t.Errorf("facts\n%q, want\n%q", got, want)
		}
	}
}

func TestFollowerHoldsItsFactsUntilTheNewBranchIsAsHigh(t *testing.T) {
	m, f := following(t)
	m.pay(script(0))
	m.mine(1)
	m.mine(0)
	mustSync(t, m, f)
	f.Facts()

	node := *m // a node that reports a tip below the old one
	m.reorganise(2)
	m.mine(0)
	mustSync(t, m, f)
	wantFacts(t, f)
	if f.Tip() != node.tip() {
		t.Fatalf("a shorter chain led to %v", f.Tip())
	}
	m.mine(1)
	m.mine(0)
	mustSync(t, m, f)
	wantFacts(t, f, "tip 2", "block 0@3", "tip 3", "tip 4")
}

func TestFollowerWaitsForANodeThatComesBackEmpty(t *testing.T) {
	m, f := following(t)
	m.pay(script(0))
	m.mine(1)
	mustSync(t, m, f)
	f.Facts()
	whole := m.chain
	for height := 1; height < len(whole); height++ {
		m.chain = whole[:height]
		mustSync(t, m, f)
		wantFacts(t, f)
	}
	m.chain = whole
	m.mine(0)
	mustSync(t, m, f)
	wantFacts(t, f, "tip 3")
}

func TestFollowerRefusesAnotherChain(t *testing.T) {
	m := newModel()
	f := NewFollower(FollowerConfig{Network: Regtest, Start: 1, MaxReorg: 5})
	for range 10 {
		m.mine(0)
	}
	mustSync(t, m, f)
	m.reorganise(5)
	for range 6 {
		m.mine(0)
	}
	mustSync(t, m, f) // as deep as allowed
	m.reorganise(6)
	for range 9 {
		m.mine(0)
	}
	at := f.Tip()
	if err := m.sync(f); !errors.Is(err, ErrForkTooDeep) {
		t.Fatalf("got %v, want ErrForkTooDeep", err)
	}
	if f.Tip() != at {
		t.Errorf("moved from %v to %v", at, f.Tip())
	}
}

func TestFollowerForgetsWhatIsBuried(t *testing.T) {
	m := newModel()
	f := NewFollower(FollowerConfig{Network: Regtest, Start: 1, MaxReorg: 20})
	f.Watch(script(0))
	for range 200 {
		m.pay(script(0))
		m.mine(1)
	}
	mustSync(t, m, f)
	if len(f.trail) > 21 || len(f.blocks) > 21+16 {
		t.Errorf("remembers %d blocks and %d outputs", len(f.trail), len(f.blocks))
	}
}

// TestFollowerAgreesWithAnyChain lets a chain do anything, restarts the follower from
// what its consumer wrote, at times an older state than the last, and compares.
func TestFollowerAgreesWithAnyChain(t *testing.T) {
	for range 10 { // the rarest faults need a thousand tries
		agreeWithAnyChain(t)
	}
}

func agreeWithAnyChain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := rapid.Int32Range(1, 2).Draw(t, "start")
		cfg := FollowerConfig{Network: Regtest, Start: start, MaxReorg: 12}
		watched := map[string]bool{}
		for i := range 4 {
			watched[string(script(i))] = true
		}
		own := string(script(4))          // receives coins, and nobody's payments
		coins := map[wire.OutPoint]bool{} // to be watched
		m, written := newModel(), newLedger()
		m.isBackward = rapid.Bool().Draw(t, "backward")
		begin := func(l *ledger) *Follower {
			f := NewFollower(l.config(cfg))
			for s := range watched {
				f.Watch([]byte(s))
			}
			f.WatchOwn([]byte(own))
			for coin := range coins {
				f.WatchCoin(coin)
			}
			unspent, scripts := m.unspent()
			for i, coin := range unspent {
				if string(scripts[i]) == own {
					f.WatchCoin(coin) // which no fact told of, but whoever starts it knows
				}
			}
			return f
		}
		older := written.clone()
		f := begin(written)
		// What the chain does, in any order, and how far the ledger is, are independent.
		t.Repeat(map[string]func(*rapid.T){
			"pay": func(t *rapid.T) {
				var scripts [][]byte
				for range rapid.IntRange(1, 3).Draw(t, "outputs") {
					scripts = append(scripts, script(rapid.IntRange(0, 6).Draw(t, "script")))
				}
				m.pay(scripts...)
			},
			"spend": func(t *rapid.T) {
				unspent, scripts := m.unspent()
				if len(unspent) == 0 {
					return
				}
				i := rapid.IntRange(0, len(unspent)-1).Draw(t, "coin")
				// Where a block may lie below the first, it can't be left to the follower to find its coins.
				s, told := string(scripts[i]), start > 1 || rapid.Bool().Draw(t, "told")
				if told {
					f.WatchCoin(unspent[i])
				}
				if told || watched[s] || s == own {
					coins[unspent[i]] = true
				}
				m.spend([]wire.OutPoint{unspent[i], {Index: m.count}}, script(rapid.IntRange(0, 6).Draw(t, "script")))
			},
			"mine": func(t *rapid.T) { m.mine(rapid.IntRange(0, 3).Draw(t, "transactions")) },
			"drop": func(t *rapid.T) { m.drop(1) },
			"reorganise": func(t *rapid.T) {
				// Two in a row take back no more than MaxReorg, those that a restart adds included.
				depth := rapid.IntRange(1, 3).Draw(t, "depth")
				m.reorganise(depth)
				m.drop(rapid.IntRange(0, 2).Draw(t, "lost"))
				for range depth + rapid.IntRange(-1, 2).Draw(t, "more") {
					m.mine(rapid.IntRange(0, 3).Draw(t, "transactions"))
				}
			},
			"keep": func(t *rapid.T) { older = written.clone() },
			"follow": func(t *rapid.T) {
				if err := m.sync(f); err != nil {
					t.Fatal(err)
				}
				written.take(f.Facts())
			},
			"crash": func(t *rapid.T) {
				// The last facts are lost, from anywhere on.
				if err := m.sync(f); err != nil {
					t.Fatal(err)
				}
				facts := f.Facts()
				written.take(facts[:rapid.IntRange(0, len(facts)).Draw(t, "written")])
				f = begin(written)
			},
			"go back": func(t *rapid.T) {
				// All outputs are known, but the place in the chain is an older one.
				if m.tip().Height-older.top() < 4 {
					written.trail = older.clone().trail
				}
				f = begin(written)
			},
			"compare": func(t *rapid.T) {
				if m.tip().Height < start || m.tip().Height < f.Tip().Height || f.settleAt > m.tip().Height {
					return // the node is behind
				}
				if err := m.sync(f); err != nil {
					t.Fatal(err)
				}
				written.take(f.Facts())
				if got, want := written.outputs, m.want(watched, start); !reflect.DeepEqual(got, want) {
					t.Fatalf("at %v the ledger holds\n%v, want\n%v", m.tip(), got, want)
				}
				if got, want := written.spends, m.wantSpends(coins, start); !reflect.DeepEqual(got, want) {
					t.Fatalf("at %v the ledger holds the spends\n%v, want\n%v", m.tip(), got, want)
				}
				if got := written.trail[len(written.trail)-1]; got != m.tip() {
					t.Fatalf("the ledger is at %v, want %v", got, m.tip())
				}
			},
		})
	})
}

func (l *ledger) top() int32 {
	if len(l.trail) == 0 {
		return 0
	}
	return l.trail[len(l.trail)-1].Height
}

func BenchmarkFollowerBlock(b *testing.B) {
	m := newModel()
	const watched, payments = 100_000, 1000
	for i := range payments {
		m.pay(script(i), script(watched+i))
	}
	for i := range 2000 {
		m.pay(script(watched+i), script(watched+i))
	}
	m.mine(len(m.pool))
	f := NewFollower(FollowerConfig{Network: Regtest, Start: 1})
	for i := range watched {
		f.Watch(script(i))
	}
	b.ReportAllocs()
	for b.Loop() {
		f.trail = nil
		f.Block(1, m.chain[1])
		if facts := f.Facts(); len(facts) != payments+1 {
			b.Fatalf("%d facts", len(facts))
		}
	}
}
