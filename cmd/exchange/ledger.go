package main

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/local"
)

// ledger is every account of a stopped service, or of a copy, beside a tally that
// knows the events alone. It comes from the log where that has everything, and
// each account that a snapshot holds is then compared with what the log made of it
// at that record; from the newest valid snapshot and the log after it where the
// log's front has been given up.
type ledger struct {
	accounts map[account.UserID]*account.Account
	tally    account.Tally
	opening  big.Int // balances that the snapshot began with; 0 with the whole log

	log      local.ScanReport
	whole    bool // the log has every frame
	snapshot persistence.SnapshotInfo
	found    bool    // a valid snapshot
	invalid  []error // snapshots that are not valid

	kept     map[account.UserID]keptState // of the snapshot
	compared int                          // accounts of the snapshot that the log leads to
	decoder  account.Decoder
	record   account.Record
}

// keptState is what a snapshot says of one account.
type keptState struct {
	seq  uint64
	hash account.Hash
}

// errFirst ends a scan that only looks for the first frame.
var errFirst = errors.New("the first record")

// readLedger reads a data directory and changes nothing. visit, which may be nil,
// gets every record of the log, applied or not.
func readLedger(dir string, visit func(persistence.Position, *account.Record) error) (*ledger, error) {
	l := &ledger{accounts: map[account.UserID]*account.Account{}, kept: map[account.UserID]keptState{}}
	front, err := local.Scan(dir, 0, func(persistence.Position, []byte) error { return errFirst })
	if err != nil && !errors.Is(err, errFirst) {
		return nil, err
	}
	l.whole = front.First <= 1
	l.snapshot, l.found, l.invalid, err = local.ScanSnapshot(dir, 0, l.restore)
	switch {
	case err != nil:
		return nil, err
	case !l.whole && !l.found:
		return nil, fmt.Errorf("the log begins with frame %d, and no valid snapshot stands for the frames before: %w", front.First, errors.Join(l.invalid...))
	case !l.whole && front.First > l.snapshot.Next:
		return nil, fmt.Errorf("the snapshot ends with frame %d, and the log begins with frame %d", l.snapshot.Next-1, front.First)
	}
	l.log, err = local.Scan(dir, 0, func(p persistence.Position, encoded []byte) error {
		err := l.add(encoded)
		if err == nil && visit != nil {
			return visit(p, &l.record)
		}
		if err != nil {
			return fmt.Errorf("frame %d, record %d: %w", p.Frame, p.Record, err)
		}
		return nil
	})
	return l, err
}

// restore takes an account out of the snapshot: to go on from, or to compare with.
func (l *ledger) restore(entry []byte) error {
	state, err := account.DecodeState(entry)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if _, twice := l.kept[state.ID]; twice {
		return fmt.Errorf("snapshot: user %s is in it twice", state.ID)
	}
	kept := keptState{seq: state.Seq}
	if l.whole {
		kept.hash = state.StateHash()
	} else {
		l.accounts[state.ID] = account.Resume(state)
		l.opening.Add(&l.opening, big.NewInt(int64(state.Balance)))
	}
	l.kept[state.ID] = kept
	return nil
}

// add decodes a record and applies it, unless the snapshot has it already.
func (l *ledger) add(encoded []byte) error {
	if err := l.decoder.Decode(&l.record, encoded); err != nil {
		return err
	}
	kept, isKept := l.kept[l.record.User]
	if !l.whole && isKept && l.record.Seq <= kept.seq {
		return nil
	}
	a := l.accounts[l.record.User]
	if a == nil {
		a = account.New(l.record.User)
		l.accounts[a.ID] = a
	}
	if err := a.Apply(&l.record); err != nil {
		return err
	}
	l.tally.Add(&l.record)
	if l.whole && isKept && l.record.Seq == kept.seq {
		if a.StateHash() != kept.hash {
			return fmt.Errorf("user %s: the snapshot has another state after record %d than the log leads to", a.ID, a.Seq)
		}
		l.compared++
	}
	return nil
}

// faults says what of the snapshots is not in order.
func (l *ledger) faults() []string {
	var faults []string
	for _, err := range l.invalid {
		faults = append(faults, err.Error())
	}
	if missing := len(l.kept) - l.compared; l.whole && missing > 0 {
		faults = append(faults, fmt.Sprintf("the snapshot has %d accounts after records that are not in the log", missing))
	}
	return faults
}

// identity returns what the data is tied to, nil if it is not.
func (l *ledger) identity() *account.Identity {
	if a := l.accounts[account.SystemID]; a != nil {
		return a.Identity
	}
	return nil
}

// expected returns what all accounts together must hold.
func (l *ledger) expected() *big.Int {
	return new(big.Int).Add(&l.opening, l.tally.Balance())
}
