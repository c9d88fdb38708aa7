package actors

import (
	"context"
	"fmt"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/persistence"
)

// Recover reads the journal into memory, starts it, and makes the exchange ready.
// progress is called now and then with the number of records read. An error names
// the record that does not fit; nothing is served then.
func (x *Exchange) Recover(ctx context.Context, progress func(records uint64)) error {
	var record account.Record
	var records uint64
	err := x.cfg.Journal.Replay(0, func(p persistence.Position, encoded []byte) error {
		if err := x.replay(&record, encoded); err != nil {
			return fmt.Errorf("frame %d, record %d: %w", p.Frame, p.Record, err)
		}
		if records++; records%progressEvery == 0 {
			progress(records)
			return ctx.Err()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := x.claimNames(); err != nil {
		return err
	}
	progress(records)
	if err := x.cfg.Journal.Start(); err != nil {
		return err
	}
	x.payments.start()
	return nil
}

const progressEvery = 1 << 16

// replay applies one record, exactly as its actor did.
func (x *Exchange) replay(record *account.Record, encoded []byte) error {
	if err := record.Decode(encoded); err != nil {
		return err
	}
	u, ok := x.directory.users.Load(record.User)
	if !ok {
		u = &user{id: record.User, account: account.New(record.User)}
		x.directory.users.Store(u.id, u)
	}
	if err := u.account.Apply(record); err != nil {
		return err
	}
	for _, event := range record.Events {
		x.observe(u, &u.account.State, event, record.At)
	}
	return nil
}

// claimNames publishes every account and gives it its names. Two accounts with
// one name are a broken invariant of the log.
func (x *Exchange) claimNames() error {
	for _, u := range x.created.from(0) {
		state := u.account.State
		for _, n := range []struct {
			claims nameClaims
			name   string
		}{
			{x.directory.wallets, state.Wallet},
			{x.directory.emails, fold(state.Email)},
			{x.directory.usernames, fold(state.Username)},
		} {
			if owner, taken := n.claims.LoadOrStore(n.name, u); taken {
				return fmt.Errorf("users %s and %s both have the name %q", owner.id, u.id, n.name)
			}
		}
		u.durable.Store(&state)
	}
	return nil
}
