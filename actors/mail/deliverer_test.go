package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// outbox is one in memory.
type outbox struct {
	messages []*entry
	broken   error
}

type entry struct {
	Message
	due     time.Time
	settled bool
	outcome Outcome
}

func (o *outbox) Due(now time.Time, limit int) (due []Message, err error) {
	for _, e := range o.messages {
		if !e.settled && !now.Before(e.due) && len(due) < limit {
			due = append(due, e.Message)
		}
	}
	return due, nil
}

func (o *outbox) Settle(id string, outcome Outcome) error {
	if o.broken != nil {
		return o.broken
	}
	for _, e := range o.messages {
		if e.ID == id {
			e.Tries++
			e.outcome, e.due, e.settled = outcome, outcome.Retry, outcome.Retry.IsZero()
		}
	}
	return nil
}

// deliver runs a Deliverer for that long, of a clock that costs no time.
func deliver(t *testing.T, o *outbox, send func(*Message) error, span time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), span)
	defer cancel()
	d := &Deliverer{Outbox: o, Logger: slog.New(slog.DiscardHandler), Send: func(_ context.Context, m *Message) error { return send(m) }}
	d.Run(ctx)
}

func add(o *outbox, n int) {
	for i := range n {
		m := message(NewLogin)
		m.ID, m.Created = fmt.Sprint(i), time.Now()
		o.messages = append(o.messages, &entry{Message: *m})
	}
}

func TestAllThatIsDueIsSentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := new(outbox)
		add(o, 3*batch+1)
		sent := map[string]int{}
		deliver(t, o, func(m *Message) error { sent[m.ID]++; return nil }, time.Minute)
		for _, e := range o.messages {
			if sent[e.ID] != 1 || !e.outcome.Sent {
				t.Errorf("message %s: sent %d times, %+v", e.ID, sent[e.ID], e.outcome)
			}
		}
	})
}

func TestAMessageIsTriedLessAndLessOftenForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := new(outbox)
		add(o, 1)
		start := time.Now()
		var tries []time.Duration
		deliver(t, o, func(*Message) error { tries = append(tries, time.Since(start)); return errors.New("no server") }, 3*giveUp)
		for i := 1; i < len(tries); i++ {
			gap, want := tries[i]-tries[i-1], min(firstRetry<<(i-1), lastRetry)
			if gap < want || gap > want+idle {
				t.Errorf("try %d after %s, want %s", i, gap, want)
			}
		}
		if last := tries[len(tries)-1]; last > giveUp || last < giveUp-2*lastRetry {
			t.Errorf("the last of %d tries after %s", len(tries), last)
		}
		if e := o.messages[0]; !e.settled || e.outcome.Sent || e.outcome.Problem != "no server" {
			t.Errorf("%+v", e.outcome)
		}
	})
}

func TestWhatIsRejectedIsNotTriedAgainAndHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := new(outbox)
		add(o, 3)
		tries := 0
		deliver(t, o, func(m *Message) error {
			tries++
			if m.ID == "0" {
				return fmt.Errorf("%w: 550", ErrRejected)
			}
			return nil
		}, giveUp)
		if tries != 3 || !o.messages[0].settled || o.messages[0].outcome.Sent || !o.messages[2].outcome.Sent {
			t.Errorf("%d tries, %+v, %+v", tries, o.messages[0].outcome, o.messages[2].outcome)
		}
	})
}

func TestAnOutboxThatCantBeWrittenStopsTheRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{broken: errors.New("disk full")}
		add(o, 5)
		tries := 0
		deliver(t, o, func(*Message) error { tries++; return nil }, idle/2)
		if tries != 1 {
			t.Errorf("%d messages were sent that could not be settled, want 1", tries)
		}
	})
}

func TestAMessageThatWasBeingSentAtTheStopIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := new(outbox)
		add(o, 1)
		ctx, cancel := context.WithCancel(t.Context())
		d := &Deliverer{Outbox: o, Logger: slog.New(slog.DiscardHandler), Send: func(ctx context.Context, _ *Message) error {
			cancel()
			return ctx.Err()
		}}
		d.Run(ctx)
		if o.messages[0].Tries != 0 {
			t.Error("the stop counts as a failed try")
		}
	})
}

func TestEveryKindHasASubjectAndAText(t *testing.T) {
	for _, kind := range []Kind{VerifyAddress, NewLogin, Withdrawal, AddressAdded, FactorChanged, RecoveryRequested} {
		subject, text, err := message(kind).Render("AITBC")
		if err != nil || !strings.HasPrefix(subject, "AITBC: ") || !strings.Contains(text, "Änne") || strings.Contains(text, "<no value>") {
			t.Errorf("%s: %q, %v\n%s", kind, subject, err, text)
		}
		for line := range strings.Lines(text) {
			if len(line) > 100 {
				t.Errorf("%s has a long line: %s", kind, line)
			}
		}
	}
}

func TestAValueCantBecomeAHeaderOrAnotherRecipient(t *testing.T) {
	for name, change := range map[string]func(*Message){
		"no address":            func(m *Message) { m.To = "" },
		"header in the address": func(m *Message) { m.To = "anna@mail.example\r\nBcc: eve@evil.example" },
		"two addresses":         func(m *Message) { m.To = "anna@mail.example, eve@evil.example" },
		"a name":                func(m *Message) { m.To = "Anna <anna@mail.example>" },
		"a long address":        func(m *Message) { m.To = strings.Repeat("a", 300) + "@mail.example" },
		"header in the subject": func(m *Message) { m.Fields.Change = "x\nBcc: eve@evil.example" },
		"header in the name":    func(m *Message) { m.Fields.Username = "x\r\n\r\n.\r\nMAIL FROM:<eve@evil.example>" },
		"header in the id":      func(m *Message) { m.ID = "x\nBcc: eve@evil.example" },
		"not UTF-8":             func(m *Message) { m.Fields.Client = "\xFF" },
		"a long field":          func(m *Message) { m.Fields.To = strings.Repeat("x", maxField+1) },
		"an unknown kind":       func(m *Message) { m.Kind = "../secret" },
	} {
		m := message(FactorChanged)
		change(m)
		if subject, _, err := m.Render("AITBC"); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %q, %v", name, subject, err)
		}
	}
}

// FuzzCheckAddress: an address that is taken is one, alone, without a line end.
func FuzzCheckAddress(f *testing.F) {
	f.Add("anna@mail.example")
	f.Add("\"a b\"@x")
	f.Fuzz(func(t *testing.T, address string) {
		if CheckAddress(address) == nil && (strings.ContainsAny(address, "\r\n<>,; \x00") || strings.Count(address, "@") != 1) {
			t.Errorf("%q is taken", address)
		}
	})
}
