package account

import (
	"fmt"
	"slices"
	"testing"
)

// checkOutbox says what of o contradicts itself.
func checkOutbox(o *Outbox) error {
	if o == nil {
		return nil
	}
	states, last := map[NoticeState]int{}, uint32(0)
	for _, n := range o.Notices {
		if n.N <= last || n.N >= o.Next || (n.State == NoticeOpen) != (n.SettledAt == 0) || n.OpenedAt < n.At {
			return fmt.Errorf("after notice %d and before %d: %+v", last, o.Next, n)
		}
		last = n.N
		states[n.State]++
	}
	if states[NoticeOpen]+states[NoticeFailed] > MaxUndelivered || states[NoticeDelivered] > MaxDelivered || states[0] > 0 ||
		states[NoticeOpen] != o.count(NoticeOpen) || states[NoticeFailed] != o.count(NoticeFailed) || states[NoticeDelivered] != o.count(NoticeDelivered) {
		return fmt.Errorf("notices by state: %v", states)
	}
	return nil
}

// told gives c to a, and a notice of it to the outbox.
func told(t testing.TB, a *Account, c Command, now Time) *Record {
	t.Helper()
	d, err := a.Decide(c, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	a.QueueNotice(&d.Record, ChannelWebhook, "act", false, func(n uint32) string { return fmt.Sprintf(`{"n":%d}`, n) })
	apply(t, a, reread(t, &d.Record))
	return &d.Record
}

func deposit() Command { return &Deposit{Amount: 1} }

// numbers are those of the notices in a state.
func (o *Outbox) numbers(s NoticeState) (numbers []uint32) {
	for _, n := range o.Notices {
		if n.State == s {
			numbers = append(numbers, n.N)
		}
	}
	return numbers
}

func TestANoticeIsInTheRecordOfWhatItTells(t *testing.T) {
	a := opened(t, 5)
	r := told(t, a, deposit(), start+1)
	if len(r.Events) != 2 {
		t.Fatalf("%d events", len(r.Events))
	}
	n := a.Outbox.Notice(1)
	if n == nil || n.Body != `{"n":1}` || n.Channel != ChannelWebhook || n.State != NoticeOpen || n.At != start+1 || n.Name != "act" {
		t.Errorf("%+v", n)
	}
	if a.Outbox.Notice(2) != nil || (*Outbox)(nil).Notice(1) != nil {
		t.Error("there is a notice that nobody queued")
	}
}

func TestANoticeIsSettledOnceAndReplayed(t *testing.T) {
	a := opened(t, 5)
	told(t, a, deposit(), start)
	settle := &SettleNotice{N: 1, State: NoticeFailed, Attempts: 7, Problem: "503"}
	refused(t, a, &ReplayNotice{N: 1, By: "ops"}, nil, start, CodeNoChange)
	refused(t, a, &ReplayNotice{N: 2, By: "ops"}, nil, start, CodeNotFound)
	nothing(t, a, &SettleNotice{N: 2, State: NoticeDelivered})
	shared := a.State
	before := shared.StateHash()
	do(t, a, settle, start+5)
	nothing(t, a, settle)
	nothing(t, a, &SettleNotice{N: 1, State: NoticeDelivered})
	if n := a.Outbox.Notice(1); n.State != NoticeFailed || n.SettledAt != start+5 || n.Attempts != 7 || n.Problem != "503" {
		t.Errorf("%+v", n)
	}
	do(t, a, &ReplayNotice{N: 1, By: "ops"}, start+6)
	if n := a.Outbox.Notice(1); n.State != NoticeOpen || n.At != start || n.OpenedAt != start+6 || n.Attempts != 0 || n.Body != `{"n":1}` {
		t.Errorf("%+v", n)
	}
	if shared.StateHash() != before {
		t.Error("a shared state has changed")
	}
}

func TestAnOutboxIsBounded(t *testing.T) {
	a := opened(t, 5)
	for range MaxUndelivered + 3 {
		told(t, a, deposit(), start)
	}
	if open := a.Outbox.numbers(NoticeOpen); len(open) != MaxUndelivered || a.Outbox.Lost != 3 || a.Outbox.Next != MaxUndelivered+4 {
		t.Fatalf("%d open, %d lost, next is %d", len(open), a.Outbox.Lost, a.Outbox.Next)
	}
	// One that failed gives way to a new one, the oldest first.
	for _, n := range []uint32{5, 4} {
		do(t, a, &SettleNotice{N: n, State: NoticeFailed}, start)
	}
	told(t, a, deposit(), start)
	if failed := a.Outbox.numbers(NoticeFailed); !slices.Equal(failed, []uint32{5}) {
		t.Errorf("failed are %v", failed)
	}
	if a.Outbox.Lost != 3 || a.Outbox.Notice(MaxUndelivered+4) == nil {
		t.Errorf("%d are lost", a.Outbox.Lost)
	}
	// Of the delivered ones the last stay.
	for n := uint32(10); n < 10+MaxDelivered+5; n++ {
		do(t, a, &SettleNotice{N: n, State: NoticeDelivered, Attempts: 1}, start)
	}
	delivered := a.Outbox.numbers(NoticeDelivered)
	if len(delivered) != MaxDelivered || delivered[0] != 15 {
		t.Errorf("delivered are %v", delivered)
	}
	for a.Outbox.count(NoticeOpen) < MaxUndelivered {
		told(t, a, deposit(), start)
	}
	refused(t, a, &ReplayNotice{N: delivered[0], By: "ops"}, nil, start, CodeTooManyNotices)
	if err := checkInvariants(a); err != nil {
		t.Error(err)
	}
	if state, err := DecodeState(a.AppendState(nil)); err != nil || state.StateHash() != a.StateHash() {
		t.Errorf("written and read: %v", err)
	}
}

func TestWhenAllAccountsHaveTooManyANoticeIsLost(t *testing.T) {
	a := opened(t, 5)
	d, err := a.Decide(deposit(), nil, start)
	if err != nil {
		t.Fatal(err)
	}
	a.QueueNotice(&d.Record, ChannelMail, "act", true, func(uint32) string { t.Error("a body is made"); return "" })
	a.QueueNotice(&d.Record, ChannelMail, "act", false, func(n uint32) string { return fmt.Sprint(n) })
	apply(t, a, reread(t, &d.Record))
	if a.Outbox.Lost != 1 || a.Outbox.Notice(2).Body != "2" {
		t.Errorf("%+v", a.Outbox)
	}
}

func TestRecordsOfNoticesThatDoNotFitAreRefused(t *testing.T) {
	for name, e := range map[string]Event{
		"another number":       &NoticeQueued{N: 3, Channel: ChannelWebhook},
		"no channel":           &NoticeQueued{N: 2},
		"a lost one's number":  &NoticeLost{N: 1},
		"settled, unknown":     &NoticeSettled{N: 2, State: NoticeDelivered},
		"settled as open":      &NoticeSettled{N: 1, State: NoticeOpen},
		"a replay of an open":  &NoticeReplayed{N: 1},
		"a replay of nothing":  &NoticeReplayed{N: 9},
		"settled as something": &NoticeSettled{N: 1, State: numNoticeStates},
	} {
		a := opened(t, 5)
		told(t, a, deposit(), start)
		if err := a.Apply(&Record{User: a.ID, Seq: a.Seq + 1, At: start, Events: []Event{e}}); err == nil {
			t.Errorf("%s is applied", name)
		}
	}
}

func TestANoticeIDHasOneForm(t *testing.T) {
	id := NoticeID{testUser, 12}
	if got, err := ParseNoticeID(id.String()); err != nil || got != id {
		t.Errorf("%s is read as %v, %v", id, got, err)
	}
	transaction := TransactionID(id).String()
	for _, s := range []string{"", "-n1", transaction, transaction + "-n1", id.String() + "0000000000", id.String()[:33] + "n012"} {
		if _, err := ParseNoticeID(s); err == nil {
			t.Errorf("%q is an id", s)
		}
	}
}
