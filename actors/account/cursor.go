package account

import "fmt"

// SystemID is the account of the exchange itself. It has no names, no session and
// no balance: its records keep the place in the chain up to which everything that
// was paid is in the log.
var SystemID = UserID{15: 1}

// MaxTrail is how many blocks are remembered: one more than a reorganisation may
// take back.
const MaxTrail = 145

// Trail is the last blocks that were followed. It is immutable once shared.
type Trail struct {
	First  int32       // height of the first hash
	Hashes []ChainHash // ascending, one each height
	Time   Time        // of the last block, as its miner has it
}

// AdvanceChain says that all facts of some blocks, ascending, are in the log. They
// follow those before, or take the place of those from First on.
type AdvanceChain struct{ Blocks Trail }

// ChainAdvanced is an event of the system account alone.
type ChainAdvanced struct {
	First  int32       `json:"first"`
	Hashes []ChainHash `json:"hashes"`
	Time   Time        `json:"time"`
}

func (c *AdvanceChain) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	if a.ID != SystemID {
		return nil, 0, refuse(CodeNotFound, "only the system account follows the chain")
	}
	advanced := &ChainAdvanced{First: c.Blocks.First, Hashes: c.Blocks.Hashes, Time: c.Blocks.Time}
	if !a.Exists() {
		return []Event{&Created{}, advanced}, 0, nil
	}
	return []Event{advanced}, 0, nil
}

func (e *ChainAdvanced) apply(a *Account, _ Time) error {
	if a.ID != SystemID || len(e.Hashes) == 0 || e.First < 0 {
		return fmt.Errorf("%d blocks from height %d", len(e.Hashes), e.First)
	}
	next := &Trail{First: e.First, Time: e.Time}
	if t := a.Trail; t != nil && e.First >= t.First && int(e.First-t.First) <= len(t.Hashes) {
		next.First = t.First
		next.Hashes = append(next.Hashes, t.Hashes[:e.First-t.First]...)
	}
	next.Hashes = append(next.Hashes, e.Hashes...)
	if over := len(next.Hashes) - MaxTrail; over > 0 {
		next.First += int32(over)
		next.Hashes = next.Hashes[over:]
	}
	a.Trail = next
	return nil
}
