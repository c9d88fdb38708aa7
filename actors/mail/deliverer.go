package mail

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// The rule for trying again: after a minute, two, four, and so on up to an hour, until
// a day has passed. Then a notice is of no use.
const (
	firstRetry = time.Minute
	lastRetry  = time.Hour
	giveUp     = 24 * time.Hour
	batch      = 16 // messages asked for at once
	idle       = 30 * time.Second
)

// MaxQueued is how many messages an Outbox holds. At the limit it refuses: a change
// whose notice can't be kept is better refused than made in silence.
const MaxQueued = 100_000

// Outbox holds messages until they are settled. What it says is durable. Its methods
// are called from the Deliverer's goroutine.
type Outbox interface {
	// Due returns at most limit messages whose time has come at now, oldest first.
	Due(now time.Time, limit int) ([]Message, error)
	// Settle says what came of trying a message, and returns once that is durable.
	Settle(id string, outcome Outcome) error
}

// Outcome is what came of trying a message.
type Outcome struct {
	Sent    bool
	Retry   time.Time // when to try again; the zero time for never
	Problem string    // why it was not sent
}

// Deliverer sends what is due. One goroutine runs it.
type Deliverer struct {
	Outbox Outbox
	Send   func(context.Context, *Message) error // Sender.Send
	Logger *slog.Logger
	Wake   <-chan struct{} // after a message was added
}

// Run delivers until ctx is done. What is being sent then is settled first.
func (d *Deliverer) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.Wake:
		case <-timer.C:
		}
		for d.round(ctx) {
		}
		timer.Reset(idle)
	}
}

// round tries the messages that are due, and reports whether there may be more.
func (d *Deliverer) round(ctx context.Context) (more bool) {
	due, err := d.Outbox.Due(time.Now(), batch)
	if err != nil {
		d.Logger.Error("outbox can't be read", slog.Any("error", err))
		return false
	}
	for i := range due {
		if ctx.Err() != nil {
			return false
		}
		m := &due[i]
		outcome := d.try(ctx, m)
		if ctx.Err() != nil && !outcome.Sent {
			return false // stopped, not failed: the next start tries it
		}
		if err := d.Outbox.Settle(m.ID, outcome); err != nil {
			d.Logger.Error("outbox can't be written", slog.String("message", m.ID), slog.Any("error", err))
			return false
		}
	}
	return len(due) == batch
}

func (d *Deliverer) try(ctx context.Context, m *Message) Outcome {
	err := d.Send(ctx, m)
	if err == nil {
		return Outcome{Sent: true}
	}
	now := time.Now()
	retry := now.Add(min(firstRetry<<min(m.Tries, 10), lastRetry))
	if errors.Is(err, ErrRejected) || errors.Is(err, ErrMessage) || retry.Sub(m.Created) > giveUp {
		d.Logger.Error("e-mail not sent, given up", slog.String("message", m.ID), slog.String("kind", string(m.Kind)), slog.Int("tries", m.Tries+1), slog.Any("error", err))
		return Outcome{Problem: err.Error()}
	}
	d.Logger.Warn("e-mail not sent, will be tried again", slog.String("message", m.ID), slog.Time("at", retry), slog.Any("error", err))
	return Outcome{Retry: retry, Problem: err.Error()}
}
