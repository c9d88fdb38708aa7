package account

import (
	"fmt"
	"time"
)

// What stands between a user's value and whoever has got hold of a session or of an
// operator's key. The limits come with the commands, so that what was decided does not
// depend on how the service is configured later.

// The refusals of the safeguards.
const (
	CodeAddressNotUsable Code = "address_not_usable" // not in the book, or not yet to be used
	CodeDailyLimit       Code = "daily_limit"        // more than may leave the account in 24 hours
	CodeApprovalRequired Code = "approval_required"  // another operator has to approve first
	CodeSameOperator     Code = "same_operator"      // who completes is who approved
)

// Safeguards are what a withdrawal or a sale has to keep to.
type Safeguards struct {
	Address    string        // where it goes, in its canonical form
	CoolingOff time.Duration // of an address that is added now; 0: any address will do
	DailyLimit Money         // of what leaves in any 24 hours, without fees; 0: none
}

// admit checks that amount may leave the account at the time at.
func (a *Account) admit(s *Safeguards, amount Money, at Time) *Error {
	if s.CoolingOff > 0 {
		if err := a.AddressBook.admit(s, at); err != nil {
			return err
		}
	}
	if s.DailyLimit > 0 {
		return a.admitSpending(amount, s.DailyLimit, at)
	}
	return nil
}

func (b *AddressBook) admit(s *Safeguards, at Time) *Error {
	known, found := b.Find(s.Address)
	switch {
	case !found:
		return refuse(CodeAddressNotUsable, "this address is not in your address book; added now, it may be used from %s on", at.Add(s.CoolingOff))
	case at < known.UsableAt:
		err := refuse(CodeAddressNotUsable, "this address is new in your address book; it may be used from %s on", known.UsableAt)
		err.RetryAt = known.UsableAt
		return err
	}
	return nil
}

// ApproveWithdrawal is the first of two operators' word for a pending withdrawal or
// sale.
type ApproveWithdrawal struct {
	N      uint32
	By     string
	Reason string
}

// WithdrawalApproved says that an operator approved a pending withdrawal or sale, for
// another one to complete.
type WithdrawalApproved struct {
	N      uint32 `json:"n"`
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// Approvable reports whether t is of a type that operators approve.
func (t *Transaction) Approvable() bool { return t.Type == TypeWithdrawal || t.Type == TypeSell }

func (c *ApproveWithdrawal) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	t, err := a.open(c.N, 0)
	if err != nil {
		return nil, 0, err
	}
	if !t.Approvable() {
		return nil, 0, refuse(CodeNotFound, "there is no such withdrawal or sale")
	}
	if by := t.detail().ApprovedBy; by != "" {
		return nil, 0, refuse(CodeNoChange, "this %s is approved already, by %s", t.Type, by)
	}
	return []Event{&WithdrawalApproved{N: c.N, By: c.By, Reason: c.Reason}}, c.N, nil
}

// AwaitsApproval reports whether t can't be completed before an operator has approved
// it, where more than above takes two. 0: nothing does.
func (t *Transaction) AwaitsApproval(above Money) bool {
	return above > 0 && t.Approvable() && t.Status == Pending && t.Amount > above && t.detail().ApprovedBy == ""
}

// FourEyes refuses that by completes t or pays it out, where more than above takes two operators.
func (t *Transaction) FourEyes(above Money, by string) *Error {
	switch {
	case t.AwaitsApproval(above):
		return refuse(CodeApprovalRequired, "a %s of more than %s AITBC takes two operators: another one has to approve it first", t.Type, above)
	case above > 0 && t.Approvable() && t.Amount > above && t.detail().ApprovedBy == by:
		return refuse(CodeSameOperator, "a %s of more than %s AITBC takes two operators: %s has approved it, so another one has to complete it", t.Type, above, by)
	}
	return nil
}

func (e *WithdrawalApproved) apply(a *Account, _ Time) error {
	t, err := a.pending(e.N)
	if err != nil {
		return err
	}
	d := t.detail()
	if !t.Approvable() || d.ApprovedBy != "" || e.By == "" {
		return fmt.Errorf("an approval by %q of a %s that %q approved", e.By, t.Type, d.ApprovedBy)
	}
	d.ApprovedBy, d.Approval = e.By, e.Reason
	t.Detail = &d
	a.History.replace(e.N, t)
	return nil
}
