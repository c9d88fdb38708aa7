package account

import (
	"fmt"
	"slices"
)

// A backup that is started again knows nothing of what happened since it was made: of
// what was given out, and of what was ended. The system account keeps that it was
// restored, and what was skipped then; each account takes it over before its next
// change, so that it gives out nothing again, and nothing that was ended lives again.

// CopyID names a copy of the data. It is random.
type CopyID [16]byte

// Restore is one start on a copy of the data. The numbers are how many of each are
// skipped, because they may have been given out since the copy was made.
type Restore struct {
	Copy         CopyID
	At           Time
	Transactions uint32 // of each account
	Notices      uint32 // of each account
	Payouts      uint32
	TOTPStep     uint64 // the last step of an authenticator app that may have been used
}

// IndexRange is addresses of the exchange's key, from index From on and below To, that
// may have been given out to somebody this log does not know. Nobody is given one.
type IndexRange struct {
	From uint32 `json:"from"`
	To   uint32 `json:"to"`
}

// Restored is what restored backups left behind. It is immutable once it is shared.
type Restored struct {
	List    []Restore    // oldest first
	Ranges  []IndexRange // ascending
	Outputs []*UnassignedOutput

	payouts *numbering
}

// copy returns a Restored that may be changed, for one change.
func (r *Restored) copy() *Restored {
	if r == nil {
		return &Restored{}
	}
	c := *r
	return &c
}

// Since returns what the restores after the first so many have skipped together, and
// the latest step of an authenticator app. r may be nil.
func (r *Restored) Since(number uint32) (sum Restore) {
	if r == nil {
		return sum
	}
	for _, one := range r.List[min(int(number), len(r.List)):] {
		sum.Transactions = addClamped(sum.Transactions, one.Transactions)
		sum.Notices = addClamped(sum.Notices, one.Notices)
		sum.TOTPStep = max(sum.TOTPStep, one.TOTPStep)
	}
	return sum
}

func addClamped(a, b uint32) uint32 { return a + min(b, 1<<32-1-a) }

// NextIndex returns the index above all that were skipped. r may be nil.
func (r *Restored) NextIndex() uint32 {
	if r == nil || len(r.Ranges) == 0 {
		return 0
	}
	return r.Ranges[len(r.Ranges)-1].To
}

// NextPayout returns the number of the next payout of the system account.
func (s *State) NextPayout() uint32 {
	n := uint32(0)
	if s.Payouts != nil {
		n = uint32(len(s.Payouts.List))
	}
	if s.Restored == nil {
		return n + 1
	}
	return s.Restored.payouts.number(n + 1)
}

// LogRestored says that the service was started on a copy of its data. It is an event of
// the system account alone.
type LogRestored struct {
	Number       uint32 `json:"number"` // among the restores of this log, from 1
	Copy         CopyID `json:"copy"`
	Transactions uint32 `json:"transactions"`
	Notices      uint32 `json:"notices"`
	Payouts      uint32 `json:"payouts"`
	TOTPStep     uint64 `json:"totp_step"`
}

// AccountRestored takes over what the restores up to number Number skipped for an
// account. It ends what may have been ended since the backup was made: every session,
// an e-mail code and a recovery. Of a new account it is the second event.
type AccountRestored struct {
	Number       uint32 `json:"number"`
	Transactions uint32 `json:"transactions"`
	Notices      uint32 `json:"notices"`
	TOTPStep     uint64 `json:"totp_step"`
}

// IndexesSkipped says that the addresses of a range are given to nobody from now on. It
// is an event of the system account alone.
type IndexesSkipped IndexRange

func (*LogRestored) kind() kind     { return kindLogRestored }
func (*AccountRestored) kind() kind { return kindAccountRestored }
func (*IndexesSkipped) kind() kind  { return kindIndexesSkipped }

// RestoreLog notes a start on a copy, once for each. Range may be empty.
type RestoreLog struct {
	Restore
	Range IndexRange
}

// SkipIndexes gives addresses to nobody.
type SkipIndexes struct{ Range IndexRange }

// TakeOverRestores has an account take over the restores up to number Number.
type TakeOverRestores AccountRestored

func (c *RestoreLog) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	if a.ID != SystemID {
		return nil, 0, refuse(CodeNotFound, "only the system account is restored")
	}
	r := a.Restored.copy()
	if slices.ContainsFunc(r.List, func(one Restore) bool { return one.Copy == c.Copy }) {
		return nil, 0, nil // a stop came before the copy was marked as started
	}
	events := a.systemEvents(&LogRestored{
		Number: uint32(len(r.List)) + 1, Copy: c.Copy,
		Transactions: c.Transactions, Notices: c.Notices, Payouts: c.Payouts, TOTPStep: c.TOTPStep,
	})
	if c.Range.From < c.Range.To {
		skipped := IndexesSkipped(c.Range)
		events = append(events, &skipped)
	}
	return events, 0, nil
}

func (c *SkipIndexes) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	if a.ID != SystemID {
		return nil, 0, refuse(CodeNotFound, "only the system account skips addresses")
	}
	if c.Range.From >= c.Range.To || c.Range.From < a.Restored.NextIndex() {
		return nil, 0, nil
	}
	skipped := IndexesSkipped(c.Range)
	return a.systemEvents(&skipped), 0, nil
}

// systemEvents are events of the system account, which the first of them makes.
func (a *Account) systemEvents(events ...Event) []Event {
	if a.Exists() {
		return events
	}
	return append([]Event{&Created{}}, events...)
}

func (c *TakeOverRestores) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	if a.ID == SystemID || c.Number <= a.Restores {
		return nil, 0, nil
	}
	e := AccountRestored(*c)
	return []Event{&e}, 0, nil
}

func (e *LogRestored) apply(a *Account, at Time) error {
	r := a.Restored.copy()
	if a.ID != SystemID || int(e.Number) != len(r.List)+1 {
		return fmt.Errorf("restore %d after %d", e.Number, len(r.List))
	}
	payouts := 0
	if a.Payouts != nil {
		payouts = len(a.Payouts.List)
	}
	r.payouts = r.payouts.skip(uint32(payouts), e.Payouts)
	r.List = append(slices.Clip(r.List), Restore{
		Copy: e.Copy, At: at, Transactions: e.Transactions, Notices: e.Notices, Payouts: e.Payouts, TOTPStep: e.TOTPStep,
	})
	a.Restored, a.Restores = r, e.Number
	return nil
}

func (e *AccountRestored) apply(a *Account, _ Time) error {
	if a.ID == SystemID || e.Number <= a.Restores {
		return fmt.Errorf("restore %d after %d", e.Number, a.Restores)
	}
	a.Restores, a.Sessions = e.Number, nil
	a.History.skip(e.Transactions)
	if e.Notices > 0 {
		a.Outbox = a.Outbox.copy()
		a.Outbox.Next = addClamped(a.Outbox.Next, e.Notices)
	}
	if a.Contact != nil {
		c := a.contact()
		c.Recovery = nil // which may have been stopped since
		c.endCode()
		a.Contact = c
	}
	if a.Factors != nil {
		f := *a.Factors
		f.Elevated = nil
		if f.TOTP != nil && f.TOTP.Step < e.TOTPStep {
			app := *f.TOTP
			app.Step = e.TOTPStep
			f.TOTP = &app
		}
		a.Factors = &f
	}
	return nil
}

func (e *IndexesSkipped) apply(a *Account, _ Time) error {
	r := a.Restored.copy()
	if a.ID != SystemID || e.From >= e.To || e.From < r.NextIndex() {
		return fmt.Errorf("addresses from %d up to %d are skipped after those below %d", e.From, e.To, r.NextIndex())
	}
	r.Ranges = append(slices.Clip(r.Ranges), IndexRange(*e))
	a.Restored = r
	return nil
}
