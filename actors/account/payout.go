package account

import (
	"cmp"
	"fmt"
	"slices"
)

// A payout is one Bitcoin transaction that pays sales. The system account keeps what
// was exported, signed and mined, so that nothing is paid twice; a user's account
// keeps which of its sales are in one, so that nobody ends them by hand meanwhile.

// Limits of a payout. They keep it within one record and one request.
const (
	MaxPayoutSales = 200
	MaxPayoutCoins = 100
	MaxPayoutTx    = 64 << 10 // bytes
)

// CodeInPayout: a sale is in a payout, which alone ends it.
const CodeInPayout Code = "in_payout"

// CodePayoutState: the payout is past what was asked of it, or not there yet.
const CodePayoutState Code = "payout_state"

// PayoutStatus says where a payout stands.
type PayoutStatus string

// The states of a payout.
const (
	PayoutIsExported  PayoutStatus = "exported"  // waits for its signatures
	PayoutIsSigned    PayoutStatus = "signed"    // is sent until a block has it
	PayoutIsMined     PayoutStatus = "mined"     // in a block of the best chain
	PayoutIsConfirmed PayoutStatus = "confirmed" // for good
	PayoutIsCancelled PayoutStatus = "cancelled" // its sales are free again
)

// PayoutCoin is an output that a payout spends.
type PayoutCoin struct {
	Out    Outpoint `json:"Out"`
	BTC    Money    `json:"BTC"`    // satoshi
	Change bool     `json:"Change"` // received on the change chain of the exchange's key
	Index  uint32   `json:"Index"`  // of its address
}

// Payout is immutable once it is shared.
type Payout struct {
	Number      uint32          `json:"Number"`      // from 1
	Sales       []TransactionID `json:"Sales"`       // one output each, in this order; the change comes last
	Coins       []PayoutCoin    `json:"Coins"`       // one input each, in this order
	Fee         Money           `json:"Fee"`         // satoshi
	Change      Money           `json:"Change"`      // satoshi; 0 if there is no such output
	ChangeIndex uint32          `json:"ChangeIndex"` // of the change address, never that of another payout
	TxID        ChainHash       `json:"TxID"`        // the same before and after signing
	Unsigned    []byte          `json:"Unsigned"`    // the transaction as it was exported; nil once confirmed
	Tx          []byte          `json:"Tx"`          // what is sent, with its signatures; nil before and once confirmed
	Replaced    ChainHash       `json:"Replaced"`    // the transaction in Tx; zero for the exported one
	ExportedAt  Time            `json:"ExportedAt"`
	By          string          `json:"By"`     // who exported it
	Height      int32           `json:"Height"` // of its block; 0 in none
	Block       ChainHash       `json:"Block"`
	PaidBy      ChainHash       `json:"PaidBy"` // the transaction in Block; zero for the exported one
	Confirmed   bool            `json:"Confirmed"`
	Cancelled   bool            `json:"Cancelled"`
	SpentBy     ChainHash       `json:"SpentBy"` // the transaction that took a coin of it for good; zero where none is known
	ChangedAt   Time            `json:"ChangedAt"`
	Reason      string          `json:"Reason"` // why it was cancelled
}

// Status returns where p stands. What the chain says comes first: a payout that was
// cancelled and is mined all the same is mined.
func (p *Payout) Status() PayoutStatus {
	switch {
	case p.Confirmed:
		return PayoutIsConfirmed
	case p.Height > 0:
		return PayoutIsMined
	case p.Cancelled:
		return PayoutIsCancelled
	case p.Tx != nil:
		return PayoutIsSigned
	}
	return PayoutIsExported
}

// Payouts are all there were, by number from 1. It is immutable once shared.
type Payouts struct{ List []*Payout }

// At returns payout number n.
func (p *Payouts) At(n uint32) (*Payout, bool) {
	if p == nil {
		return nil, false
	}
	i, ok := p.place(n)
	if !ok {
		return nil, false
	}
	return p.List[i], true
}

// place returns where payout number n is, or would be: a restored backup skips numbers.
func (p *Payouts) place(n uint32) (int, bool) {
	return slices.BinarySearchFunc(p.List, n, func(p *Payout, n uint32) int { return cmp.Compare(p.Number, n) })
}

// ByTx returns the payout with a transaction's id.
func (p *Payouts) ByTx(id ChainHash) (*Payout, bool) {
	if p == nil {
		return nil, false
	}
	for i := len(p.List) - 1; i >= 0; i-- {
		if p.List[i].TxID == id {
			return p.List[i], true
		}
	}
	return nil, false
}

// with returns p and one more, or another in the place of one.
func (p *Payouts) with(changed *Payout) *Payouts {
	if p == nil {
		return &Payouts{List: []*Payout{changed}}
	}
	list := slices.Clone(p.List)
	if i, ok := p.place(changed.Number); ok {
		list[i] = changed
	} else {
		list = append(list, changed)
	}
	return &Payouts{List: list}
}

// ExportPayout records a payout before it is handed out. Its Number, ExportedAt and
// ChangedAt are set here.
type ExportPayout struct{ Payout Payout }

// SignPayout records the signed transaction before it is sent.
type SignPayout struct {
	Number uint32
	Tx     []byte
	By     string
}

// MinePayout says that a payout's transaction is in a block of the best chain.
type MinePayout struct {
	TxID   ChainHash
	Height int32
	Block  ChainHash
}

// UnminePayout takes MinePayout back.
type UnminePayout struct {
	TxID   ChainHash
	Height int32
	Block  ChainHash
}

// ConfirmPayout says that a payout has all its confirmations.
type ConfirmPayout struct{ Number uint32 }

// CancelPayout gives a payout up: one that is not signed, or one of whose coins
// SpentBy has taken.
type CancelPayout struct {
	Number  uint32
	SpentBy ChainHash // zero: none is known
	By      string
	Reason  string
}

func (a *Account) payout(n uint32) (*Payout, *Error) {
	p, ok := a.Payouts.At(n)
	if !ok {
		return nil, refuse(CodeNotFound, "there is no payout %d", n)
	}
	return p, nil
}

// live reports whether p may still pay, as far as is decided.
func (p *Payout) live() bool { return !p.Cancelled || p.Height > 0 || p.Confirmed }

func (c *ExportPayout) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if a.ID != SystemID {
		return nil, 0, refuse(CodeNotFound, "only the system account pays out")
	}
	p := c.Payout
	p.Number, p.ExportedAt, p.ChangedAt = a.NextPayout(), at, at
	if a.Payouts != nil {
		for _, other := range a.Payouts.List {
			if !other.live() {
				continue
			}
			paidBy, _ := a.PayoutTxs.At(other.PaidBy) // which may spend and pay less than was exported
			isOver := other.Confirmed && paidBy != nil
			for _, coin := range p.Coins {
				if !isOver && slices.ContainsFunc(other.Coins, func(o PayoutCoin) bool { return o.Out == coin.Out }) {
					return nil, 0, refuse(CodePayoutState, "output %s is spent by payout %d", coin.Out, other.Number)
				}
			}
			for _, sale := range p.Sales {
				if slices.Contains(other.Sales, sale) && !(isOver && !paidBy.Sale(sale)) {
					return nil, 0, refuse(CodeInPayout, "sale %s is in payout %d", sale, other.Number)
				}
			}
		}
	}
	events := []Event{&PayoutExported{Payout: p}}
	if !a.Exists() {
		events = append([]Event{&Created{}}, events...)
	}
	return events, 0, nil
}

func (c *SignPayout) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	p, err := a.payout(c.Number)
	if err != nil {
		return nil, 0, err
	}
	switch p.Status() {
	case PayoutIsExported:
		return []Event{&PayoutSigned{Number: c.Number, Tx: c.Tx, By: c.By}}, 0, nil
	case PayoutIsCancelled:
		return nil, 0, refuse(CodePayoutState, "payout %d was cancelled, and its sales may be in another one", c.Number)
	}
	return nil, 0, nil // it was imported before
}

func (c *MinePayout) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	if tx, known := a.PayoutTxs.At(c.TxID); known {
		if tx.Height == c.Height && tx.Block == c.Block {
			return nil, 0, nil
		}
		return []Event{&PayoutTxMined{TxID: c.TxID, Height: c.Height, Block: c.Block}}, 0, nil
	}
	p, ok := a.Payouts.ByTx(c.TxID)
	if !ok || (p.Height == c.Height && p.Block == c.Block && p.MinedTx() == c.TxID) {
		return nil, 0, nil
	}
	return []Event{&PayoutMined{Number: p.Number, Height: c.Height, Block: c.Block}}, 0, nil
}

func (c *UnminePayout) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	if tx, known := a.PayoutTxs.At(c.TxID); known {
		if tx.Height == 0 || tx.Height != c.Height || tx.Block != c.Block {
			return nil, 0, nil
		}
		return []Event{&PayoutTxUnmined{TxID: c.TxID, Height: c.Height}}, 0, nil
	}
	p, ok := a.Payouts.ByTx(c.TxID)
	if !ok || p.Height == 0 || p.Height != c.Height || p.Block != c.Block || p.MinedTx() != c.TxID {
		return nil, 0, nil
	}
	return []Event{&PayoutUnmined{Number: p.Number, Height: c.Height}}, 0, nil
}

func (c *ConfirmPayout) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	p, err := a.payout(c.Number)
	if err != nil {
		return nil, 0, err
	}
	if p.Confirmed {
		return nil, 0, nil
	}
	if p.Height == 0 {
		return nil, 0, refuse(CodePayoutState, "payout %d is in no block", c.Number)
	}
	if p.PaidBy != (ChainHash{}) {
		return nil, 0, refuse(CodePayoutState, "payout %d is paid by %s, which is confirmed by itself", c.Number, p.PaidBy)
	}
	return []Event{&PayoutConfirmed{Number: c.Number}}, 0, nil
}

func (c *CancelPayout) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	p, err := a.payout(c.Number)
	if err != nil {
		return nil, 0, err
	}
	switch status := p.Status(); {
	case status == PayoutIsExported:
	case status == PayoutIsSigned && c.SpentBy != ChainHash{}:
	case status == PayoutIsCancelled && c.SpentBy != ChainHash{} && p.SpentBy == ChainHash{}:
	case status == PayoutIsCancelled && c.SpentBy != ChainHash{} && p.SpentBy == c.SpentBy:
		return nil, 0, nil
	case status == PayoutIsSigned:
		return nil, 0, refuse(CodePayoutState, "payout %d is signed and may be paid at any time: it can be cancelled once another transaction has spent one of its inputs; say which", c.Number)
	default:
		return nil, 0, refuse(CodePayoutState, "payout %d is %s already", c.Number, status)
	}
	return []Event{&PayoutCancelled{Number: c.Number, SpentBy: c.SpentBy, By: c.By, Reason: c.Reason}}, 0, nil
}

func (e *PayoutExported) apply(a *Account, _ Time) error {
	p := e.Payout
	next := a.NextPayout()
	if a.ID != SystemID || p.Number != next || len(p.Sales) == 0 || len(p.Coins) == 0 || p.Fee < 0 || p.Change < 0 {
		return fmt.Errorf("payout %d of %d sales, want payout %d", p.Number, len(p.Sales), next)
	}
	a.Payouts = a.Payouts.with(&p)
	return nil
}

// changePayout returns a copy of a payout, to be changed and put back.
func (a *Account) changePayout(n uint32, at Time) (*Payout, error) {
	p, ok := a.Payouts.At(n)
	if !ok {
		return nil, fmt.Errorf("no payout %d", n)
	}
	changed := *p
	changed.ChangedAt = at
	return &changed, nil
}

func (e *PayoutSigned) apply(a *Account, at Time) error {
	p, err := a.changePayout(e.Number, at)
	if err != nil {
		return err
	}
	if p.Tx != nil || p.Confirmed || len(e.Tx) == 0 {
		return fmt.Errorf("payout %d is %s, and signed", e.Number, p.Status())
	}
	p.Tx = e.Tx
	a.Payouts = a.Payouts.with(p)
	return nil
}

func (e *PayoutMined) apply(a *Account, at Time) error {
	p, err := a.changePayout(e.Number, at)
	if err != nil {
		return err
	}
	if e.Height <= 0 {
		return fmt.Errorf("payout %d in a block at height %d", e.Number, e.Height)
	}
	p.Height, p.Block, p.PaidBy = e.Height, e.Block, ChainHash{}
	a.Payouts = a.Payouts.with(p)
	return nil
}

func (e *PayoutUnmined) apply(a *Account, at Time) error {
	p, err := a.changePayout(e.Number, at)
	if err != nil {
		return err
	}
	if p.Height == 0 || p.Height != e.Height {
		return fmt.Errorf("payout %d is %s at height %d, and taken out of height %d", e.Number, p.Status(), p.Height, e.Height)
	}
	p.Height, p.Block = 0, ChainHash{}
	a.Payouts = a.Payouts.with(p)
	return nil
}

func (e *PayoutConfirmed) apply(a *Account, at Time) error {
	p, err := a.changePayout(e.Number, at)
	if err != nil {
		return err
	}
	if p.Height == 0 || p.Confirmed {
		return fmt.Errorf("payout %d is %s, and confirmed", e.Number, p.Status())
	}
	p.Confirmed, p.Unsigned, p.Tx, p.Replaced = true, nil, nil, ChainHash{}
	a.Payouts = a.Payouts.with(p)
	return nil
}

func (e *PayoutCancelled) apply(a *Account, at Time) error {
	p, err := a.changePayout(e.Number, at)
	if err != nil {
		return err
	}
	if p.Height != 0 || p.Confirmed {
		return fmt.Errorf("payout %d is %s, and cancelled", e.Number, p.Status())
	}
	p.Cancelled, p.SpentBy, p.Reason = true, e.SpentBy, e.Reason
	a.Payouts = a.Payouts.with(p)
	return nil
}
