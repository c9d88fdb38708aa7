package bitcoin

import (
	"errors"
	"reflect"
	"slices"
	"testing"
)

// A consumer may stop between any two facts: these tests start a follower again from
// what it has then.

func TestFollowerTakesBackABlockThatWasHalfWritten(t *testing.T) {
	m, f := following(t)
	m.pay(script(0))
	m.mine(1)
	mustSync(t, m, f)
	written := newLedger()
	written.trail = append(written.trail, m.ref(1))
	written.take(f.Facts()[:1]) // the payment at 2, and not the tip

	f = NewFollower(written.config(FollowerConfig{Network: Regtest, Start: 1}))
	f.Watch(script(0))
	m.reorganise(1)
	mustSync(t, m, f) // the mempool has it, but what block 2 has is not known
	wantFacts(t, f)
	m.mine(0)
	mustSync(t, m, f)
	wantFacts(t, f, "tip 1", "removed 0@2", "tip 2", "seen 0")
}

// halfReorganised returns a chain of blocks 1, 2 and 3, with a payment in 2, of which
// 2 and 3 were replaced by blocks without it, and a ledger that learnt of the new 2
// and not that the payment is gone.
func halfReorganised(t *testing.T) (*model, *ledger) {
	t.Helper()
	m, f := newModel(), NewFollower(FollowerConfig{Network: Regtest, Start: 1})
	f.Watch(script(0))
	m.mine(0)
	m.pay(script(0))
	m.mine(1)
	m.mine(0)
	mustSync(t, m, f)
	written := newLedger()
	written.take(f.Facts())
	m.reorganise(2)
	m.mine(0)
	m.mine(0)
	mustSync(t, m, f)
	facts := f.Facts()
	if got, want := summary(facts), []string{"tip 2", "removed 0@2", "tip 3", "seen 0"}; !reflect.DeepEqual(got, want) {
		t.Fatalf("facts\n%q, want\n%q", got, want)
	}
	written.take(facts[:1])
	return m, written
}

// TestFollowerTakesBackWhatAHalfWrittenReorganisationLeft: the node then ends at the
// last block that was written, so there is none to read that would end the waiting.
func TestFollowerTakesBackWhatAHalfWrittenReorganisationLeft(t *testing.T) {
	for name, c := range map[string]struct {
		trail int // the last blocks that the restart knows
		start int32
		want  []string
	}{
		"from the first block":        {2, 1, []string{"tip 1", "removed 0@2", "tip 2", "seen 0"}},
		"from the first block's heir": {1, 2, []string{"removed 0@2", "tip 2", "seen 0"}},
		"from a later block":          {1, 1, []string{"removed 0@2", "seen 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			m, written := halfReorganised(t)
			m.reorganise(1)
			written.trail = written.trail[len(written.trail)-c.trail:]
			f := NewFollower(written.config(FollowerConfig{Network: Regtest, Start: c.start}))
			f.Watch(script(0))
			mustSync(t, m, f)
			facts := f.Facts()
			if got := summary(facts); !reflect.DeepEqual(got, c.want) {
				t.Errorf("facts\n%q, want\n%q", got, c.want)
			}
			written.take(facts)
			if want := m.want(map[string]bool{string(script(0)): true}, 1); !reflect.DeepEqual(written.outputs, want) {
				t.Errorf("the ledger holds\n%v, want\n%v", written.outputs, want)
			}
		})
	}
}

// TestFollowerFindsAPaymentAgainWhereTheChainComesBack: a reorganisation moved the
// payment to another block, that much was written, and then the old branch won.
func TestFollowerFindsAPaymentAgainWhereTheChainComesBack(t *testing.T) {
	for _, maxReorg := range []int{0, 2} { // 2: as many blocks are known as a restart takes
		m, f := newModel(), NewFollower(FollowerConfig{Network: Regtest, Start: 1, MaxReorg: maxReorg})
		f.Watch(script(0))
		m.mine(0)
		m.pay(script(0))
		m.mine(1)
		m.mine(0)
		mustSync(t, m, f)
		written := newLedger()
		written.take(f.Facts())
		old := slices.Clone(m.chain)
		m.reorganise(2)
		m.mine(1)
		m.mine(0)
		mustSync(t, m, f)
		written.take(f.Facts()[:1]) // the payment in the new 2, and not the tip

		m.chain = old
		m.mine(0)
		f = NewFollower(written.config(FollowerConfig{Network: Regtest, Start: 1, MaxReorg: maxReorg}))
		f.Watch(script(0))
		mustSync(t, m, f)
		written.take(f.Facts())
		if want := m.want(map[string]bool{string(script(0)): true}, 1); !reflect.DeepEqual(written.outputs, want) {
			t.Errorf("at most %d back: the ledger holds\n%v, want\n%v", maxReorg, written.outputs, want)
		}
	}
}

func TestFollowerThatReadsAgainWaitsForANodeThatComesBackEmpty(t *testing.T) {
	m, written := halfReorganised(t)
	whole := m.chain
	f := NewFollower(written.config(FollowerConfig{Network: Regtest, Start: 1}))
	f.Watch(script(0))
	m.chain = whole[:2]
	mustSync(t, m, f)
	if step, _ := f.Next(m.tip()); step != StepWait {
		t.Errorf("step %d at block 1 of 2, want StepWait", step)
	}
	wantFacts(t, f)
	m.chain = whole
	mustSync(t, m, f)
	wantFacts(t, f, "tip 1", "removed 0@2", "tip 2", "tip 3", "seen 0")
}

func TestFollowerThatReadsAgainRefusesAnotherChain(t *testing.T) {
	m, written := halfReorganised(t)
	// As a service does that begins at the oldest block it knows.
	f := NewFollower(written.config(FollowerConfig{Network: Regtest, Start: 1, MaxReorg: 1}))
	f.Watch(script(0))
	m.reorganise(3)
	for range 4 {
		m.mine(0)
	}
	if err := m.sync(f); !errors.Is(err, ErrForkTooDeep) {
		t.Fatalf("got %v, want ErrForkTooDeep", err)
	}
}
