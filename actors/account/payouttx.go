package account

import (
	"fmt"
	"slices"
)

// A payout is paid by whichever transaction spends its coins and pays its sales: the
// exported one, one whose fee the signer raised, or one that somebody else made. The
// exported one is in the payout; every other one that is known is here.

// Limits of a known transaction: it is described no further than that.
const (
	MaxTxCoins = 10_000 // inputs and outputs of ours
	MaxTxSales = 1_000
)

// PaidSale says which output of a transaction pays a sale.
type PaidSale struct {
	Sale  TransactionID `json:"sale"`
	Index uint32        `json:"index"` // of the output
}

// PayoutTx is a transaction, on the network or signed to be sent, that spends coins of
// payouts. It is immutable once it is shared.
type PayoutTx struct {
	ID        ChainHash    `json:"id"`
	Payout    uint32       `json:"payout"` // that it pays, in whole or in part; 0 if it pays no sale
	Spends    []Outpoint   `json:"spends"` // coins of ours
	Pays      []PaidSale   `json:"pays"`   // each sale and each output once
	Change    []PayoutCoin `json:"change"` // outputs to addresses of ours
	Fee       Money        `json:"fee"`    // satoshi; 0 if that is not known
	SeenAt    Time         `json:"seen_at"`
	Height    int32        `json:"height"` // of its block; 0 in none
	Block     ChainHash    `json:"block"`
	Confirmed bool         `json:"confirmed"` // has all confirmations
}

// Sale reports whether t pays a sale.
func (t *PayoutTx) Sale(id TransactionID) bool {
	return slices.ContainsFunc(t.Pays, func(p PaidSale) bool { return p.Sale == id })
}

// PayoutTxs are all that are known, in the order in which they became so. It is
// immutable once shared.
type PayoutTxs struct{ List []*PayoutTx }

// At returns the transaction with an id.
func (p *PayoutTxs) At(id ChainHash) (*PayoutTx, bool) {
	if p != nil {
		for i := len(p.List) - 1; i >= 0; i-- {
			if p.List[i].ID == id {
				return p.List[i], true
			}
		}
	}
	return nil, false
}

// with returns p and one more, or another in the place of one.
func (p *PayoutTxs) with(changed *PayoutTx) *PayoutTxs {
	if p == nil {
		return &PayoutTxs{List: []*PayoutTx{changed}}
	}
	list := slices.Clone(p.List)
	if i := slices.IndexFunc(list, func(t *PayoutTx) bool { return t.ID == changed.ID }); i >= 0 {
		list[i] = changed
	} else {
		list = append(list, changed)
	}
	return &PayoutTxs{List: list}
}

// MinedTx returns the transaction of p that is, or was last, in a block.
func (p *Payout) MinedTx() ChainHash {
	if p.PaidBy != (ChainHash{}) {
		return p.PaidBy
	}
	return p.TxID
}

// RecordPayoutTx notes a transaction before anything else follows from it.
type RecordPayoutTx struct{ Tx PayoutTx }

// AdoptPayout records a payout that the chain shows and the log does not have, and its
// transaction, with signatures; nil where it is over the limit.
type AdoptPayout struct {
	Payout Payout
	Tx     PayoutTx
	Raw    []byte
}

// ReplacePayout records a signed transaction, to be sent in the place of those before.
type ReplacePayout struct {
	Number uint32
	TxID   ChainHash
	Raw    []byte
	Tx     *PayoutTx // nil for the exported one
	By     string
}

// ConfirmPayoutTx says that a transaction, not an exported one, has all confirmations.
type ConfirmPayoutTx struct{ TxID ChainHash }

// UnspendPayout takes back what spent a coin of a cancelled payout: the chain has lost it.
type UnspendPayout struct{ Number uint32 }

func (c *RecordPayoutTx) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if _, known := a.PayoutTxs.At(c.Tx.ID); known {
		return nil, 0, nil
	}
	if _, err := a.payout(c.Tx.Payout); c.Tx.Payout != 0 && err != nil {
		return nil, 0, err
	}
	tx := c.Tx
	tx.SeenAt = at
	return []Event{&PayoutTxSeen{Tx: tx}}, 0, nil
}

func (c *AdoptPayout) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	if a.ID != SystemID {
		return nil, 0, refuse(CodeNotFound, "only the system account pays out")
	}
	if _, known := a.PayoutTxs.At(c.Tx.ID); known {
		return nil, 0, nil
	}
	var events []Event
	if !a.Exists() {
		events = append(events, &Created{})
	}
	p, tx := c.Payout, c.Tx
	p.Number, p.ExportedAt, p.ChangedAt = a.NextPayout(), at, at
	tx.Payout, tx.SeenAt = p.Number, at
	events = append(events, &PayoutExported{Payout: p})
	if len(c.Raw) > 0 {
		events = append(events, &PayoutSigned{Number: p.Number, Tx: c.Raw, By: p.By})
	}
	return append(events, &PayoutTxSeen{Tx: tx}), 0, nil
}

func (c *ReplacePayout) decide(a *Account, at Time) ([]Event, uint32, *Error) {
	p, err := a.payout(c.Number)
	if err != nil {
		return nil, 0, err
	}
	if s := p.Status(); s != PayoutIsExported && s != PayoutIsSigned {
		return nil, 0, refuse(CodePayoutState, "payout %d is %s, and can't be replaced any more", c.Number, s)
	}
	var events []Event
	if _, known := a.PayoutTxs.At(c.TxID); !known && c.Tx != nil {
		tx := *c.Tx
		tx.Payout, tx.SeenAt = c.Number, at
		events = append(events, &PayoutTxSeen{Tx: tx})
	}
	if p.Tx != nil && p.SentTx() == c.TxID {
		return events, 0, nil
	}
	return append(events, &PayoutReplaced{Number: c.Number, TxID: c.TxID, Tx: c.Raw, By: c.By}), 0, nil
}

// SentTx returns the transaction that is sent, once p is signed.
func (p *Payout) SentTx() ChainHash {
	if p.Replaced != (ChainHash{}) {
		return p.Replaced
	}
	return p.TxID
}

func (c *ConfirmPayoutTx) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	tx, known := a.PayoutTxs.At(c.TxID)
	switch {
	case !known:
		return nil, 0, refuse(CodeNotFound, "there is no transaction %s", c.TxID)
	case tx.Confirmed:
		return nil, 0, nil
	case tx.Height == 0:
		return nil, 0, refuse(CodePayoutState, "transaction %s is in no block", c.TxID)
	}
	events := []Event{&PayoutTxConfirmed{TxID: c.TxID}}
	if p, ok := a.Payouts.At(tx.Payout); ok && p.PaidBy == tx.ID && p.Height > 0 && !p.Confirmed {
		events = append(events, &PayoutConfirmed{Number: p.Number})
	}
	return events, 0, nil
}

func (c *UnspendPayout) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	p, err := a.payout(c.Number)
	if err != nil {
		return nil, 0, err
	}
	if p.SpentBy == (ChainHash{}) {
		return nil, 0, nil
	}
	return []Event{&PayoutUnspent{Number: c.Number}}, 0, nil
}

func (e *PayoutTxSeen) apply(a *Account, _ Time) error {
	_, known := a.PayoutTxs.At(e.Tx.ID)
	if _, ok := a.Payouts.At(e.Tx.Payout); a.ID != SystemID || known || (e.Tx.Payout != 0 && !ok) {
		return fmt.Errorf("transaction %s of payout %d is seen; known: %t", e.Tx.ID, e.Tx.Payout, known)
	}
	tx := e.Tx
	a.PayoutTxs = a.PayoutTxs.with(&tx)
	return nil
}

func (e *PayoutReplaced) apply(a *Account, at Time) error {
	p, err := a.changePayout(e.Number, at)
	if err != nil {
		return err
	}
	if p.Confirmed || len(e.Tx) == 0 {
		return fmt.Errorf("payout %d is %s, and replaced", e.Number, p.Status())
	}
	if _, known := a.PayoutTxs.At(e.TxID); !known && e.TxID != p.TxID {
		return fmt.Errorf("payout %d is replaced by %s, which is not known", e.Number, e.TxID)
	}
	p.Tx, p.Replaced = e.Tx, e.TxID
	if e.TxID == p.TxID {
		p.Replaced = ChainHash{}
	}
	a.Payouts = a.Payouts.with(p)
	return nil
}

// changeTx returns a copy of a transaction, to be changed and put back.
func (a *Account) changeTx(id ChainHash) (*PayoutTx, error) {
	tx, ok := a.PayoutTxs.At(id)
	if !ok {
		return nil, fmt.Errorf("no transaction %s", id)
	}
	changed := *tx
	return &changed, nil
}

func (e *PayoutTxMined) apply(a *Account, at Time) error {
	tx, err := a.changeTx(e.TxID)
	if err != nil {
		return err
	}
	if e.Height <= 0 {
		return fmt.Errorf("transaction %s in a block at height %d", e.TxID, e.Height)
	}
	tx.Height, tx.Block = e.Height, e.Block
	a.PayoutTxs = a.PayoutTxs.with(tx)
	p, err := a.changePayout(tx.Payout, at)
	if err != nil || (p.Height > 0 && p.MinedTx() != tx.ID) { // another one of it is in a block already
		return nil
	}
	p.Height, p.Block, p.PaidBy = e.Height, e.Block, tx.ID
	a.Payouts = a.Payouts.with(p)
	return nil
}

func (e *PayoutTxUnmined) apply(a *Account, at Time) error {
	tx, err := a.changeTx(e.TxID)
	if err != nil {
		return err
	}
	if tx.Height == 0 || tx.Height != e.Height {
		return fmt.Errorf("transaction %s is at height %d, and taken out of height %d", e.TxID, tx.Height, e.Height)
	}
	tx.Height, tx.Block, tx.Confirmed = 0, ChainHash{}, false
	a.PayoutTxs = a.PayoutTxs.with(tx)
	p, err := a.changePayout(tx.Payout, at)
	if err != nil || p.Height == 0 || p.PaidBy != tx.ID {
		return nil
	}
	p.Height, p.Block = 0, ChainHash{}
	if !p.Confirmed {
		p.PaidBy = ChainHash{}
	}
	a.Payouts = a.Payouts.with(p)
	return nil
}

func (e *PayoutTxConfirmed) apply(a *Account, _ Time) error {
	tx, err := a.changeTx(e.TxID)
	if err != nil {
		return err
	}
	if tx.Height == 0 || tx.Confirmed {
		return fmt.Errorf("transaction %s at height %d is confirmed", e.TxID, tx.Height)
	}
	tx.Confirmed = true
	a.PayoutTxs = a.PayoutTxs.with(tx)
	return nil
}

func (e *PayoutUnspent) apply(a *Account, at Time) error {
	p, err := a.changePayout(e.Number, at)
	if err != nil {
		return err
	}
	if p.SpentBy == (ChainHash{}) {
		return fmt.Errorf("payout %d is spent by nothing", e.Number)
	}
	p.SpentBy = ChainHash{}
	a.Payouts = a.Payouts.with(p)
	return nil
}
