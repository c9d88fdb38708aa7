package actors

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/mail"
)

// StartRecovery sends a code to the verified address of the session's user, who has
// lost their second factor, and says until when it holds.
func (x *Exchange) StartRecovery(s *Session) (email string, until account.Time, err error) {
	return x.sendCode(s, mail.RecoveryCode, func(hash account.Hash) account.Command {
		return &account.StartRecovery{Code: hash, Lifetime: emailCodeLifetime}
	})
}

// ConfirmRecovery begins the recovery by that code. A wrong one is an *account.Error.
func (x *Exchange) ConfirmRecovery(s *Session, code string) (*account.Recovery, error) {
	cancel, err := newCode(x.cfg.Random)
	if err != nil {
		return nil, err
	}
	receipt, err := x.do(s.user, &account.ConfirmRecovery{
		Code: hashCode(s.user.id, mail.RecoveryCode, code), Delay: x.cfg.RecoveryDelay, Cancel: cancel,
	}, nil)
	if err != nil {
		return nil, err
	}
	if r := receipt.State.Contact.Recovery; r != nil {
		return r, nil
	}
	return nil, wrongCode()
}

// Recovery returns the recovery of the user's second factor that is under way, nil if
// there is none.
func (s *Session) Recovery() *account.Recovery {
	if s.State.Contact == nil {
		return nil
	}
	return s.State.Contact.Recovery
}

// CancelRecovery stops it: by the code of a mail about it, or without one by a session
// that has shown a factor.
func (x *Exchange) CancelRecovery(s *Session, code string) error {
	if code != "" {
		if code = typedCode(code); len(code) == codeLength {
			code = code[:codeLength/2] + "-" + code[codeLength/2:]
		}
	}
	_, err := x.do(s.user, &account.CancelRecovery{Session: s.hash, Code: code}, nil)
	return err
}

// OperatorCancelRecovery stops a user's.
func (x *Exchange) OperatorCancelRecovery(id account.UserID, by string) (Receipt, error) {
	return x.operate(id, &account.CancelRecovery{By: by}, nil)
}

// recoveries reminds users of what is under way, and completes it when its time has
// come. Both are decided in the account: this only asks, often enough.
type recoveries struct {
	exchange *Exchange
	ctx      context.Context // done when the exchange closes
	cancel   context.CancelFunc
	finished sync.WaitGroup

	mu       sync.Mutex
	underWay map[account.UserID]*user // guarded by mu; those that have ended leave at the next look
}

func (r *recoveries) init(x *Exchange) {
	r.exchange, r.underWay = x, map[account.UserID]*user{}
	r.ctx, r.cancel = context.WithCancel(context.Background())
}

// index takes up the recoveries of users, for several parts of them at once.
func (r *recoveries) index(users []*user) {
	for _, u := range users {
		if c := u.durable.Load().Contact; c != nil && c.Recovery != nil {
			r.add(u)
		}
	}
}

// add is called in the journal's order; it does not block.
func (r *recoveries) add(u *user) {
	r.mu.Lock()
	r.underWay[u.id] = u
	r.mu.Unlock()
}

// start begins to look, after recovery of the log: once in a while that is short beside
// the delay.
func (r *recoveries) start() {
	every := max(10*time.Millisecond, min(time.Minute, r.exchange.cfg.RecoveryDelay/10))
	r.finished.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			r.look()
			select {
			case <-ticker.C:
			case <-r.ctx.Done():
				return
			}
		}
	})
}

func (r *recoveries) stop() {
	r.cancel()
	r.finished.Wait()
}

// look asks for what is due. What fails is asked for again at the next look.
func (r *recoveries) look() {
	now := r.exchange.now()
	r.mu.Lock()
	var due []order
	for id, u := range r.underWay {
		c := u.durable.Load().Contact
		switch {
		case c == nil || c.Recovery == nil:
			delete(r.underWay, id)
		case now >= c.Recovery.Until:
			due = append(due, order{u, &account.CompleteRecovery{}})
		case now >= c.Recovery.RemindedAt.Add(account.ReminderInterval):
			due = append(due, order{u, &account.RemindRecovery{}})
		}
	}
	r.mu.Unlock()
	for _, o := range due {
		if r.ctx.Err() != nil {
			return
		}
		if _, err := r.exchange.do(o.user, o.command, nil); err != nil {
			r.exchange.log.Warn("a recovery is not completed; an operator may have to look", slog.String("user_id", o.user.id.String()), slog.Any("error", err))
		}
	}
}
