package actors

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"time"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/actors/secondfactor"
)

// Copy says that the journal's data are a copy on which no service has run.
type Copy struct {
	ID    account.CopyID
	Taken time.Time // zero if unknown: when the last record was written counts
}

// margin is how many numbers a start on a copy skips: so many, and so many more for each
// period since the copy was made. What the margin has to cover grows with that time, and
// a second start on the same copy, which knows nothing of the first, gets beyond what
// that has given out in the meantime.
type margin struct {
	least, most uint32
	period      time.Duration
}

// The margins. Each is above what an exchange gives out in that time: to one account in
// the case of transactions and notices. Skipped addresses are watched for ever, which
// costs some 200 bytes of memory each and some 40 µs at every start, hence the most of theirs.
var (
	indexMargin       = margin{least: 10_000, most: 100_000, period: 10 * time.Second}
	transactionMargin = margin{least: 1_000_000, most: 50_000_000, period: time.Second / 10}
	noticeMargin      = transactionMargin
	payoutMargin      = margin{least: 1_000, most: 100_000, period: time.Minute}
)

// givenBackBelow is how far below the next index one may be that was given back, by whoever
// was refused a payment, and given out after the copy was made: the log has it not.
const givenBackBelow = 10_000

// after is the margin for a copy of a certain age.
func (m margin) after(age time.Duration) uint32 {
	return uint32(min(int64(m.most), int64(m.least)+int64(max(0, age)/m.period)))
}

// noteRestore notes that the data are a copy, and what is skipped for that, before
// anything else can happen. A stop between this and the end of the copy's mark does it
// once: the copy has a name.
func (x *Exchange) noteRestore() error {
	next, before := x.nextIndex(), x.takenOver()
	x.restores = before
	if c := x.cfg.Copy; c != nil {
		age := x.cfg.Now().Sub(x.copyTaken())
		command := &account.RestoreLog{
			Restore: account.Restore{
				Copy: c.ID, Transactions: transactionMargin.after(age), Notices: noticeMargin.after(age), Payouts: payoutMargin.after(age),
				TOTPStep: secondfactor.LastTOTPStep(x.cfg.Now()),
			},
			Range: account.IndexRange{From: x.firstUnknown(next), To: min(max(next+indexMargin.after(age), x.cfg.FirstIndex), bitcoin.MaxIndex+1)},
		}
		if _, err := x.do(x.cursor, command, nil); err != nil {
			return fmt.Errorf("the data are a copy, and that can't be noted: %w", err)
		}
		if x.restores = x.takenOver(); x.restores > before {
			x.log.Warn("RESTORED: these data are a copy; what may have been given out since it was made is skipped, and every session has ended",
				slog.String("copy", hex.EncodeToString(c.ID[:])), slog.Time("taken", x.copyTaken()), slog.Int("restores", int(x.restores)),
				slog.Int("transactions", int(command.Transactions)), slog.Int("notices", int(command.Notices)),
				slog.Int("next_payout", int(x.payouts.nextNumber())), slog.Int("first_index", int(command.Range.From)), slog.Int("next_index", int(command.Range.To)))
		}
		next = x.nextIndex()
	}
	switch first := x.cfg.FirstIndex; {
	case first > next:
		if _, err := x.do(x.cursor, &account.SkipIndexes{Range: account.IndexRange{From: next, To: first}}, nil); err != nil {
			return fmt.Errorf("the addresses below index %d can't be skipped: %w", first, err)
		}
		x.log.Warn("addresses are skipped, as was asked for; what is paid to them goes to nobody", slog.Int("first_index", int(next)), slog.Int("next_index", int(first)))
	case first != 0 && first < next:
		x.log.Info("the first index that was asked for has no effect: addresses up to a higher one were given out or skipped", slog.Int("asked_for", int(first)), slog.Int("next_index", int(next)))
	}
	return nil
}

// firstUnknown is the first index below next that may have been given out and is not in the
// log. Those of the log's payments are not skipped: see unassigned.resume.
func (x *Exchange) firstUnknown(next uint32) uint32 {
	var skipped uint32
	if state := x.cursor.durable.Load(); state != nil {
		skipped = state.Restored.NextIndex()
	}
	return max(skipped, next-min(next, givenBackBelow))
}

// takenOver is how many restores are in the log.
func (x *Exchange) takenOver() uint32 {
	if state := x.cursor.durable.Load(); state != nil {
		return state.Restores
	}
	return 0
}

// nextIndex is above the index of every address that was given out or skipped. It is
// known until the chain has started.
func (x *Exchange) nextIndex() uint32 {
	next := x.payments.resume.NextIndex
	if state := x.cursor.durable.Load(); state != nil {
		next = max(next, state.Restored.NextIndex())
		if key := state.Identity.Key(); key != nil {
			next = max(next, key.External)
		}
	}
	return next
}

// copyTaken is when the copy was made, or before that.
func (x *Exchange) copyTaken() time.Time {
	if taken := x.cfg.Copy.Taken; !taken.IsZero() {
		return taken
	}
	var last account.Time
	if state := x.cursor.durable.Load(); state != nil {
		last = state.UpdatedAt
	}
	for _, u := range x.created.from(0) {
		last = max(last, u.durable.Load().UpdatedAt)
	}
	if last == 0 {
		return x.cfg.Now() // nothing was ever given out
	}
	return last.Std()
}

// takeOver has the account of an actor take over what the restores since its last record
// skipped, in a record of its own. It reports whether c may go on; if not, c is answered.
func (a *userActor) takeOver(c *call) bool {
	x := a.exchange
	if !a.account.Exists() { // its first record says it
		return true
	}
	sum := x.cursor.durable.Load().Restored.Since(a.account.Restores)
	// No later one was used: a clock that was ahead when the restore was noted, and is
	// right by now, locks nobody out.
	sum.TOTPStep = min(sum.TOTPStep, secondfactor.LastTOTPStep(x.cfg.Now()))
	over := x.newCall(&account.TakeOverRestores{Number: x.restores, Transactions: sum.Transactions, Notices: sum.Notices, TOTPStep: sum.TOTPStep})
	over.user, over.requester, over.patient = a.user, nobody{}, true
	over.wait(x.overdue.ticks.Load())
	x.begin(a.user) // which does not wait: c is under way
	if err := a.execute(over); err != nil {
		c.fail(err)
		return false
	}
	return true
}

// nobody waits for an outcome.
type nobody struct{}

// Outcome implements Requester.
func (nobody) Outcome(Receipt, error) {}
