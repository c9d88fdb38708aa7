package account

import (
	"fmt"
	"slices"
)

// UnassignedOutput is an output to an address of the exchange that this log has given to
// nobody: to whom it was given is not known any more. It is credited to nobody; an
// operator settles it by name. Once shared it is never written.
type UnassignedOutput struct {
	Out       Outpoint
	Index     uint32 // of its address
	Address   string
	BTC       Money // satoshi
	At        Time  // when it was first known
	Height    int32 // of its block; 0 in the mempool, or in none any more
	Block     ChainHash
	Gone      bool   // the chain took it back
	SettledAt Time   // 0 while it waits
	TxHash    string // of the Bitcoin transaction that settled it; "" for none
	By        string // who settled it
	Reason    string
}

// Unassigned returns where an output is among Outputs, or -1. r may be nil.
func (r *Restored) Unassigned(out Outpoint) int {
	if r == nil {
		return -1
	}
	return slices.IndexFunc(r.Outputs, func(o *UnassignedOutput) bool { return o.Out == out })
}

// UnassignedOutputMoved says that an unassigned output is in a block, with no Height in
// the mempool, or gone. It may be the first that is known of it.
type UnassignedOutputMoved struct {
	Out     Outpoint  `json:"out"`
	Index   uint32    `json:"index"`
	Address string    `json:"address"`
	BTC     Money     `json:"btc"` // satoshi
	Height  int32     `json:"height"`
	Block   ChainHash `json:"block"`
	Gone    bool      `json:"gone"`
}

// UnassignedOutputSettled says what an operator has done about an unassigned output.
type UnassignedOutputSettled struct {
	Out    Outpoint `json:"out"`
	TxHash string   `json:"tx_hash"`
	By     string   `json:"by"`
	Reason string   `json:"reason"`
}

func (*UnassignedOutputMoved) kind() kind   { return kindUnassignedOutputMoved }
func (*UnassignedOutputSettled) kind() kind { return kindUnassignedOutputSettled }

// MoveUnassigned says where an output to an address of a skipped range is: as
// SeeOutput, ConfirmOutput and RemoveOutput do for a payment's. With Gone, Height and
// Block say where it was.
type MoveUnassigned UnassignedOutputMoved

// SettleUnassigned is the operator's word that an unassigned output has been dealt with.
type SettleUnassigned struct {
	Out    Outpoint
	TxHash string // "" for none
	By     string
	Reason string
}

func (c *MoveUnassigned) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	i := a.Restored.Unassigned(c.Out)
	e := UnassignedOutputMoved(*c)
	if i < 0 {
		if c.Gone {
			return nil, 0, nil
		}
		return []Event{&e}, 0, nil
	}
	known := a.Restored.Outputs[i]
	same := known.Height == c.Height && known.Block == c.Block
	switch {
	case c.Gone:
		if known.Gone || !same { // it is in another block by now
			return nil, 0, nil
		}
		e.Height, e.Block = 0, ChainHash{}
	case known.Gone:
	case same, c.Height == 0: // a mempool may have what a block has
		return nil, 0, nil
	}
	return []Event{&e}, 0, nil
}

func (c *SettleUnassigned) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	i := a.Restored.Unassigned(c.Out)
	if i < 0 {
		return nil, 0, refuse(CodeNotFound, "there is no unassigned output %s", c.Out)
	}
	switch o := a.Restored.Outputs[i]; {
	case o.SettledAt == 0:
	case o.By == c.By && o.TxHash == c.TxHash && o.Reason == c.Reason: // said again
		return nil, 0, nil
	default:
		return nil, 0, refuse(CodeNoChange, "output %s was settled by %s at %s", c.Out, o.By, o.SettledAt)
	}
	e := UnassignedOutputSettled(*c)
	return []Event{&e}, 0, nil
}

// withUnassigned returns r with an output in the place of the i-th, or after all.
func (r *Restored) withUnassigned(i int, o *UnassignedOutput) *Restored {
	r = r.copy()
	if i < 0 {
		r.Outputs = append(slices.Clip(r.Outputs), o)
		return r
	}
	r.Outputs = slices.Clone(r.Outputs)
	r.Outputs[i] = o
	return r
}

func (e *UnassignedOutputMoved) apply(a *Account, at Time) error {
	i := a.Restored.Unassigned(e.Out)
	if a.ID != SystemID || (i < 0 && e.Gone) || (e.Gone && e.Height != 0) {
		return fmt.Errorf("unassigned output %s at height %d, gone: %t", e.Out, e.Height, e.Gone)
	}
	o := UnassignedOutput{Out: e.Out, Index: e.Index, Address: e.Address, BTC: e.BTC, At: at}
	if i >= 0 {
		o = *a.Restored.Outputs[i]
	}
	o.Height, o.Block, o.Gone = e.Height, e.Block, e.Gone
	a.Restored = a.Restored.withUnassigned(i, &o)
	return nil
}

func (e *UnassignedOutputSettled) apply(a *Account, at Time) error {
	i := a.Restored.Unassigned(e.Out)
	if i < 0 || a.Restored.Outputs[i].SettledAt != 0 || e.By == "" {
		return fmt.Errorf("unassigned output %s is not there, is settled already, or by nobody", e.Out)
	}
	o := *a.Restored.Outputs[i]
	o.SettledAt, o.TxHash, o.By, o.Reason = max(at, 1), e.TxHash, e.By, e.Reason
	a.Restored = a.Restored.withUnassigned(i, &o)
	return nil
}
