package actors

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// maxUnwritten is how many blocks may be followed before their places go into the
// log, while more follow at once.
const maxUnwritten = 100

// maxAtOnce is how many commands are sent before their outcome is waited for.
const maxAtOnce = 4096

// retryAfter is how long it takes to try again what the journal had no room for.
const retryAfter = 100 * time.Millisecond

// index returns what the chain has to know of users' payments, and notes their
// addresses and refunds. Recovery calls it for several parts of the users at once.
func (p *payments) index(users []*user) (r Resume) {
	for _, u := range users {
		state := u.durable.Load()
		if state.Counts.Of(account.TypeBuy, 0) == 0 {
			continue
		}
		for n, t := range state.History.Backward(1, state.History.Last(), account.TypeBuy, 0) {
			d := t.Detail
			follows := p.follows(d)
			if follows {
				p.byAddress.Store(d.To, account.TransactionID{User: u.id, N: n})
				r.Addresses = append(r.Addresses, d.To)
			}
			if d.Derived {
				r.NextIndex = max(r.NextIndex, d.Index+1)
			}
			for i := range d.Outputs {
				o := &d.Outputs[i]
				if o.Refunded > 0 {
					p.exchange.refunds.note(state, n, o)
				}
				if d.Derived && follows {
					r.Coins = append(r.Coins, wireOut(o.Out))
				}
				if !o.Gone && o.Height > 0 && follows && !d.Derived { // as high as what was final needs
					raise(&p.tip, o.Height+p.exchange.termsOf(&t).Confirmations-1)
				}
				if !o.Gone && follows {
					r.Outputs = append(r.Outputs, bitcoin.InBlock{
						Output: bitcoin.Output{Out: wireOut(o.Out), BTC: o.BTC, Address: d.To},
						Block:  bitcoin.Ref{Height: o.Height, Hash: [32]byte(o.Block)},
					})
				}
			}
			p.trackAtStart(account.TransactionID{User: u.id, N: n}, &t)
		}
	}
	return r
}

// raise makes tip no less than height.
func raise(tip *atomic.Int32, height int32) {
	for before := tip.Load(); before < height && !tip.CompareAndSwap(before, height); before = tip.Load() {
	}
}

// goOn starts the chain where the log says.
func (p *payments) goOn() {
	if cursor := p.exchange.cursor.durable.Load(); cursor != nil && cursor.Trail != nil {
		for i, hash := range cursor.Trail.Hashes {
			p.resume.Trail = append(p.resume.Trail, bitcoin.Ref{Height: cursor.Trail.First + int32(i), Hash: [32]byte(hash)})
		}
		p.tip.Store(p.resume.Trail[len(p.resume.Trail)-1].Height)
	}
	resume := p.resume
	resume.Keys = p.exchange.keys
	if key := p.exchange.Identity().Key(); key != nil { // those below are the last key's
		resume.NextIndex = max(resume.NextIndex, key.External)
	}
	p.resume = Resume{}
	if _, err := p.exchange.payouts.payer(); err == nil && p.exchange.unassigned.restored() != nil {
		p.finished.Go(func() { p.startChain(resume) }) // addresses take a while, in which all but buying goes on
	} else {
		p.startChain(resume)
	}
	// A stop may have come between an output's last confirmation and the credit.
	p.finished.Add(1)
	go func() {
		defer p.finished.Done()
		if p.settle(p.allUnsettled()) == nil {
			_ = p.exchange.payouts.settle(p.ctx)
		}
	}()
}

// startChain starts the chain, unless the exchange closes.
func (p *payments) startChain(resume Resume) {
	resume.join(p.exchange.unassigned.resume())
	resume.join(p.exchange.payouts.resume())
	resume.Coins = slices.DeleteFunc(resume.Coins, p.exchange.payouts.isBuried(resume))
	p.starting.Lock()
	defer p.starting.Unlock()
	if p.ctx.Err() == nil {
		p.exchange.cfg.Chain.Start(resume, p.handle)
	}
}

// handle is the chain's Handle. First all facts of users are made durable, then
// what follows from them, and last the place in the chain: a stop in between
// repeats facts, which changes nothing, and loses none.
func (p *payments) handle(ctx context.Context, facts []bitcoin.Fact, blocks bool) error {
	if err := p.stepBack(ctx, facts); err != nil {
		return err
	}
	// Nothing is assessed while what it rests on changes.
	p.settling.Lock()
	defer p.settling.Unlock()
	touched, err := p.record(ctx, facts)
	if err != nil {
		return err
	}
	if err := p.exchange.payouts.record(ctx, facts); err != nil {
		return err
	}
	for _, fact := range facts {
		if tip, ok := fact.(*bitcoin.Tip); ok {
			p.follow(tip)
		}
	}
	if blocks && len(p.blocks.Hashes) < maxUnwritten {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, id := range touched {
			p.remember(id, true)
		}
		return nil
	}
	if len(p.blocks.Hashes) > 0 {
		touched = append(touched, p.allUnsettled()...)
	}
	if err := p.settleLocked(touched); err != nil {
		return err
	}
	if err := p.exchange.payouts.settle(ctx); err != nil {
		return err
	}
	if len(p.blocks.Hashes) == 0 {
		return nil
	}
	if !p.isSimulated() { // a simulated chain has nothing to go on from
		if err := p.sendAll(ctx, []order{{p.exchange.cursor, &account.AdvanceChain{Blocks: p.blocks}}}); err != nil {
			return err
		}
	}
	p.blocks = account.Trail{}
	p.tellUnsettled()
	return nil
}

// stepBack takes the place in the chain back below the blocks that outputs are
// about to be removed from. An account forgets where a removed output was, so a stop
// after the removal must leave no place that has its block: where that branch is the
// best one again by the next start, nobody would read the block anew.
func (p *payments) stepBack(ctx context.Context, facts []bitcoin.Fact) error {
	cursor := p.exchange.cursor.durable.Load()
	if cursor == nil || cursor.Trail == nil { // simulated, or before the first block
		return nil
	}
	t := cursor.Trail
	keep := len(t.Hashes)
	for _, fact := range facts {
		var block bitcoin.Ref
		switch removed := fact.(type) {
		case *bitcoin.Removed:
			block = removed.Block
		case *bitcoin.SpentRemoved:
			block = removed.Block
		}
		if i := int(block.Height - t.First); block.Height > 0 && i >= 0 && i < keep && t.Hashes[i] == account.ChainHash(block.Hash) {
			keep = i
		}
	}
	if keep == len(t.Hashes) {
		return nil
	}
	back := account.Trail{First: t.First + int32(keep) - 1, Hashes: []account.ChainHash{{}}, Time: t.Time}
	if keep > 0 { // else the block below was never followed, and no block has the hash of zeros
		back.Hashes[0] = t.Hashes[keep-1]
	}
	return p.sendAll(ctx, []order{{p.exchange.cursor, &account.AdvanceChain{Blocks: back}}})
}

func (p *payments) isSimulated() bool {
	_, is := p.exchange.cfg.Chain.(*SimulatedChain)
	return is
}

// follows reports whether the chain is the one that a payment is made on. What is
// simulated pays to no address of a real key, and no real chain to a simulated address,
// whatever the data was started as.
func (p *payments) follows(d *account.Detail) bool {
	return p.exchange.cfg.Chain != nil && d.Derived != p.isSimulated()
}

// follow notes a block. The caller holds settling.
func (p *payments) follow(tip *bitcoin.Tip) {
	b := &p.blocks
	if next := b.First + int32(len(b.Hashes)); len(b.Hashes) > 0 && tip.Block.Height != next {
		if keep := tip.Block.Height - b.First; keep > 0 && keep < int32(len(b.Hashes)) {
			b.Hashes = b.Hashes[:keep] // a reorganisation
		} else {
			b.Hashes = nil
		}
	}
	if len(b.Hashes) == 0 {
		b.First = tip.Block.Height
	}
	b.Hashes = append(b.Hashes, account.ChainHash(tip.Block.Hash))
	if len(b.Hashes) > account.MaxTrail {
		b.First, b.Hashes = b.First+1, b.Hashes[1:]
	}
	b.Time = account.TimeOf(tip.Time)
	p.tip.Store(tip.Block.Height)
}

// record makes facts durable, and returns the payments that they are about.
func (p *payments) record(ctx context.Context, facts []bitcoin.Fact) (touched []account.TransactionID, err error) {
	orders := make([]order, 0, len(facts))
	seen := make(map[account.TransactionID]struct{}, len(facts))
	add := func(o *bitcoin.Output, command func(n uint32, out account.Outpoint) account.Command) {
		id, known := p.byAddress.Load(o.Address)
		if !known {
			return // an address that was never given out: its payment was refused
		}
		u, _ := p.exchange.directory.find(id.User)
		orders = append(orders, order{u, command(id.N, account.Outpoint{TxID: account.ChainHash(o.Out.Hash), Index: o.Out.Index})})
		if _, twice := seen[id]; !twice {
			seen[id] = struct{}{}
			touched = append(touched, id)
		}
	}
	now := p.exchange.now()
	for _, fact := range facts {
		if o, is := p.exchange.unassigned.take(fact); is {
			orders = append(orders, o)
		}
		switch f := fact.(type) {
		case *bitcoin.Seen:
			add(&f.Output, func(n uint32, out account.Outpoint) account.Command {
				return &account.SeeOutput{N: n, Out: out, BTC: f.BTC, At: now}
			})
		case *bitcoin.InBlock:
			add(&f.Output, func(n uint32, out account.Outpoint) account.Command {
				return &account.ConfirmOutput{
					N: n, Out: out, BTC: f.BTC, Height: f.Block.Height, Block: account.ChainHash(f.Block.Hash),
					At: min(now, account.TimeOf(f.Time)),
				}
			})
		case *bitcoin.Removed:
			add(&f.Output, func(n uint32, out account.Outpoint) account.Command {
				return &account.RemoveOutput{N: n, Out: out, Height: f.Block.Height, Block: account.ChainHash(f.Block.Hash)}
			})
		}
	}
	return touched, p.sendAll(ctx, orders)
}

// order is a command for a user.
type order struct {
	user    *user
	command account.Command
}

// sendAll gives the commands to their users and returns when the outcome of all is
// durable. What the journal had no room for is sent again, and all that came with
// it, so that the order stays. A refusal is final, and logged. It fails only where
// the exchange closes or the journal is gone.
func (p *payments) sendAll(ctx context.Context, orders []order) error {
	for len(orders) > maxAtOnce {
		if err := p.sendAll(ctx, orders[:maxAtOnce]); err != nil {
			return err
		}
		orders = orders[maxAtOnce:]
	}
	x := p.exchange
	for len(orders) > 0 {
		var failed error
		calls := make([]*call, len(orders))
		for i, o := range orders {
			calls[i] = x.newCall(o.command)
			calls[i].patient = true
			x.post(calls[i], o.user, nil)
		}
		for i, c := range calls {
			<-c.done
			_, err := x.collect(c)
			var refused *account.Error
			switch {
			case err == nil:
			case errors.As(err, &refused):
				if p.exchange.payouts.isAlarming(orders[i]) {
					x.log.Error("ALERT: the chain pays a sale that can't take it any more: the user has both, or the exchange paid twice",
						slog.String("sale", saleOf(orders[i]).String()), slog.String("command", account.CommandName(orders[i].command)), slog.Any("error", err))
				} else if refused.Code != account.CodeNotPending && refused.Code != account.CodeNoChange {
					x.log.Error("ALERT: a payment cannot be settled; an operator has to", slog.String("user_id", orders[i].user.id.String()),
						slog.String("command", account.CommandName(orders[i].command)), slog.Any("error", err))
				}
			default:
				failed = err
			}
		}
		if failed == nil {
			return nil
		}
		if err := x.cfg.Journal.Err(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.ctx.Done():
			return p.ctx.Err()
		case <-time.After(retryAfter):
		}
	}
	return nil
}

func accountOut(o wire.OutPoint) account.Outpoint {
	return account.Outpoint{TxID: account.ChainHash(o.Hash), Index: o.Index}
}

func wireOut(o account.Outpoint) wire.OutPoint {
	return wire.OutPoint{Hash: [32]byte(o.TxID), Index: o.Index}
}

// alert tells the operator what needs one. It is called in the journal's order.
func (p *payments) alert(id account.TransactionID, event account.Event) {
	log := p.exchange.log
	switch e := event.(type) {
	case *account.CreditReversed:
		id.N = e.N
		p.frozen.Add(1)
		log.Error("ALERT: a reorganisation took back a credited payment; the amount is frozen", slog.String("payment_id", id.String()),
			slog.String("output", e.Out.String()), slog.String("amount", e.Amount.String()))
	case *account.FreezeLifted:
		id.N = e.N
		log.Warn("a frozen amount is free again", slog.String("payment_id", id.String()),
			slog.String("amount", e.Amount.String()), slog.String("by", e.By))
	case *account.RefundQueued:
		id.N = e.N
		p.refunds.Add(1)
		log.Warn("a refund is due", slog.String("payment_id", id.String()), slog.String("output", e.Out.String()), slog.String("btc", e.BTC.String()))
	}
}
