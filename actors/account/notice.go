package account

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Limits of an Outbox.
const (
	// MaxUndelivered is how many notices of one account may be open at once. One more is
	// lost: it takes a number, so that the receiver can tell, and is counted.
	MaxUndelivered = 4096
	// MaxFailed is how many notices may be open or failed before one more takes the place
	// of the oldest that failed.
	MaxFailed = 256
	// MaxDelivered is how many delivered notices of one account stay readable, for the
	// log of deliveries and to be replayed. The oldest goes.
	MaxDelivered = 16
)

// Channel is a way to tell somebody of a notice. The numbers are in the log.
type Channel uint8

// The channels.
const (
	ChannelWebhook Channel = 1 // to the operator's systems
	ChannelMail    Channel = 2 // to the user

	numChannels = 3
)

var channelNames = [numChannels]string{"", "webhook", "mail"}

func (c Channel) String() string {
	if c == 0 || c >= numChannels {
		return fmt.Sprintf("channel(%d)", uint8(c))
	}
	return channelNames[c]
}

// NoticeState is where a notice stands. The numbers are in the log.
type NoticeState uint8

// The states of a notice. A replay makes any of them open again.
const (
	NoticeOpen      NoticeState = 1 // to be delivered
	NoticeDelivered NoticeState = 2
	NoticeFailed    NoticeState = 3 // given up

	numNoticeStates = 4
)

var noticeStateNames = [numNoticeStates]string{"", "open", "delivered", "failed"}

func (s NoticeState) String() string {
	if s == 0 || s >= numNoticeStates {
		return fmt.Sprintf("state(%d)", uint8(s))
	}
	return noticeStateNames[s]
}

// Notice is something that others are to be told. Once shared it is never written.
type Notice struct {
	N         uint32 // among the account's, from 1
	Channel   Channel
	State     NoticeState
	Name      string // what happened, such as payment.credited
	Body      string // JSON, fixed for all attempts
	At        Time   // when it happened
	OpenedAt  Time   // when it was queued, or last replayed
	SettledAt Time   // when it was delivered or given up; zero while it is open
	Attempts  uint32 // that settled it; 0 while it is open
	Problem   string // why it was given up
}

// Outbox is what others are to be told of an account, and what they were told last.
// It is immutable once it is shared.
type Outbox struct {
	Next    uint32    // number of the next notice
	Lost    uint32    // notices that found no place
	Notices []*Notice // by number

	states [numNoticeStates]int // how many of them are in each
}

// Notice returns notice n, nil if there is none or it is not kept any more.
func (o *Outbox) Notice(n uint32) *Notice {
	if o == nil {
		return nil
	}
	if i, ok := o.place(n); ok {
		return o.Notices[i]
	}
	return nil
}

func (o *Outbox) place(n uint32) (int, bool) {
	return slices.BinarySearchFunc(o.Notices, n, func(notice *Notice, n uint32) int { return int(int64(notice.N) - int64(n)) })
}

// count returns how many notices are in a state.
func (o *Outbox) count(s NoticeState) int { return o.states[s] }

// copy returns an Outbox that may be changed, for one change.
func (o *Outbox) copy() *Outbox {
	if o == nil {
		return &Outbox{Next: 1}
	}
	return &Outbox{Next: o.Next, Lost: o.Lost, Notices: slices.Clone(o.Notices), states: o.states}
}

// add adds a notice with the highest number.
func (o *Outbox) add(n *Notice) {
	o.Notices = append(o.Notices, n)
	o.states[n.State]++
}

// put puts n in the place of the one of its number.
func (o *Outbox) put(n *Notice) {
	i, _ := o.place(n.N)
	o.states[o.Notices[i].State]--
	o.states[n.State]++
	o.Notices[i] = n
}

// drop forgets the oldest notice in a state.
func (o *Outbox) drop(s NoticeState) {
	i := slices.IndexFunc(o.Notices, func(n *Notice) bool { return n.State == s })
	o.Notices = slices.Delete(o.Notices, i, i+1)
	o.states[s]--
}

// NoticeID names one notice for ever: the user, and the notice's number.
type NoticeID struct {
	User UserID
	N    uint32
}

// String returns 32 hexadecimal digits, "-n", and N in decimal.
func (id NoticeID) String() string {
	return hex.EncodeToString(id.User[:]) + "-n" + strconv.FormatUint(uint64(id.N), 10)
}

// ParseNoticeID reads what String writes, and no other form.
func ParseNoticeID(s string) (NoticeID, error) {
	user, n, found := strings.Cut(s, "-n")
	id, err := ParseTransactionID(user + "-" + n)
	if !found || err != nil {
		return NoticeID{}, fmt.Errorf("not a notice id: want 32 hexadecimal digits, \"-n\" and a number")
	}
	return NoticeID(id), nil
}

// NoticeQueued adds an open notice.
type NoticeQueued struct {
	N       uint32  `json:"n"`
	Channel Channel `json:"channel"`
	Name    string  `json:"name"`
	Body    string  `json:"body"`
}

// NoticeLost says that a notice found no place, and takes its number.
type NoticeLost struct {
	N       uint32  `json:"n"`
	Channel Channel `json:"channel"`
	Name    string  `json:"name"`
}

// NoticeSettled ends an open notice: it is delivered, or given up.
type NoticeSettled struct {
	N        uint32      `json:"n"`
	State    NoticeState `json:"state"`
	Attempts uint32      `json:"attempts"` // since it was opened, or since the service was started after that
	Problem  string      `json:"problem"`
}

// NoticeReplayed makes a settled notice open again.
type NoticeReplayed struct {
	N  uint32 `json:"n"`
	By string `json:"by"`
}

func (*NoticeQueued) kind() kind   { return kindNoticeQueued }
func (*NoticeLost) kind() kind     { return kindNoticeLost }
func (*NoticeSettled) kind() kind  { return kindNoticeSettled }
func (*NoticeReplayed) kind() kind { return kindNoticeReplayed }

// QueueNotice adds to r, which Decide has just made for a, that others are to be told
// of it: the notice is kept or lost with what it tells of. body returns its text, given
// its number. full says that all accounts together have too many.
func (a *Account) QueueNotice(r *Record, channel Channel, name string, full bool, body func(n uint32) string) {
	n, open := uint32(1), 0
	if a.Outbox != nil {
		n, open = a.Outbox.Next, a.Outbox.count(NoticeOpen)
	}
	for _, e := range r.Events {
		switch e.(type) {
		case *NoticeQueued:
			n, open = n+1, open+1
		case *NoticeLost:
			n++
		}
	}
	if full || open >= MaxUndelivered {
		r.Events = append(r.Events, &NoticeLost{N: n, Channel: channel, Name: name})
		return
	}
	r.Events = append(r.Events, &NoticeQueued{N: n, Channel: channel, Name: name, Body: body(n)})
}

// Preview calls fn with each event of r, which Decide has just made for a, and with the
// state as it is after it. It changes nothing, and fn keeps nothing of the state.
func (a *Account) Preview(r *Record, fn func(e Event, after *State)) {
	// What is appended here lies behind the end of what others see, and the true change
	// writes the same there.
	ahead := &Account{State: a.State}
	for _, e := range slices.Clone(r.Events) {
		if err := e.apply(ahead, r.At); err != nil {
			panic(fmt.Sprintf("account: a record that Decide made does not fit: %v", err))
		}
		fn(e, &ahead.State)
	}
}

// SettleNotice says how an open notice ended. For one that is settled it changes
// nothing, so that it may be given again.
type SettleNotice struct {
	N        uint32
	State    NoticeState
	Attempts uint32
	Problem  string
}

// ReplayNotice is the operator's: a settled notice is to be delivered once more.
type ReplayNotice struct {
	N  uint32
	By string
}

func (c *SettleNotice) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	if n := a.Outbox.Notice(c.N); n == nil || n.State != NoticeOpen {
		return nil, 0, nil
	}
	return []Event{&NoticeSettled{N: c.N, State: c.State, Attempts: c.Attempts, Problem: c.Problem}}, 0, nil
}

func (c *ReplayNotice) decide(a *Account, _ Time) ([]Event, uint32, *Error) {
	switch n := a.Outbox.Notice(c.N); {
	case n == nil:
		return nil, 0, refuse(CodeNotFound, "there is no such notice, or it is no longer kept")
	case n.State == NoticeOpen:
		return nil, 0, refuse(CodeNoChange, "this notice is open already")
	case a.Outbox.count(NoticeOpen) >= MaxUndelivered:
		return nil, 0, refuse(CodeTooManyNotices, "this user has %d open notices, the maximum", MaxUndelivered)
	}
	return []Event{&NoticeReplayed{N: c.N, By: c.By}}, 0, nil
}

// CodeTooManyNotices: MaxUndelivered notices of the account are open.
const CodeTooManyNotices Code = "too_many_notices"

func (e *NoticeQueued) apply(a *Account, at Time) error {
	o := a.Outbox.copy()
	switch {
	case e.N != o.Next || e.N == 1<<32-1:
		return fmt.Errorf("notice %d, want %d", e.N, o.Next)
	case e.Channel == 0 || e.Channel >= numChannels:
		return fmt.Errorf("notice %d by the %s", e.N, e.Channel)
	case o.count(NoticeOpen) >= MaxUndelivered:
		return fmt.Errorf("%d notices are open, the most there can be", MaxUndelivered)
	}
	o.makeRoom()
	o.Next++
	o.add(&Notice{N: e.N, Channel: e.Channel, State: NoticeOpen, Name: e.Name, Body: e.Body, At: at, OpenedAt: at})
	a.Outbox = o
	return nil
}

// makeRoom lets one more notice be open, at the cost of one that failed.
func (o *Outbox) makeRoom() {
	if failed := o.count(NoticeFailed); failed > 0 && failed+o.count(NoticeOpen) >= MaxFailed {
		o.drop(NoticeFailed)
	}
}

func (e *NoticeLost) apply(a *Account, _ Time) error {
	o := a.Outbox.copy()
	if e.N != o.Next || e.N == 1<<32-1 {
		return fmt.Errorf("notice %d, want %d", e.N, o.Next)
	}
	o.Next++
	o.Lost++
	a.Outbox = o
	return nil
}

func (e *NoticeSettled) apply(a *Account, at Time) error {
	if n := a.Outbox.Notice(e.N); n == nil || n.State != NoticeOpen || (e.State != NoticeDelivered && e.State != NoticeFailed) {
		return fmt.Errorf("notice %d is not open, or ends as %s", e.N, e.State)
	}
	o := a.Outbox.copy()
	n := *o.Notice(e.N)
	n.State, n.SettledAt, n.Attempts, n.Problem = e.State, at, e.Attempts, e.Problem
	o.put(&n)
	if o.count(NoticeDelivered) > MaxDelivered {
		o.drop(NoticeDelivered)
	}
	a.Outbox = o
	return nil
}

func (e *NoticeReplayed) apply(a *Account, at Time) error {
	n := a.Outbox.Notice(e.N)
	if n == nil || n.State == NoticeOpen || a.Outbox.count(NoticeOpen) >= MaxUndelivered {
		return fmt.Errorf("notice %d can't be replayed", e.N)
	}
	o := a.Outbox.copy()
	again := *n
	again.State, again.OpenedAt, again.SettledAt, again.Attempts, again.Problem = NoticeOpen, at, 0, 0, ""
	o.put(&again)
	if failed := o.count(NoticeFailed); failed > 0 && failed+o.count(NoticeOpen) > MaxFailed { // it was a delivered one
		o.drop(NoticeFailed)
	}
	a.Outbox = o
	return nil
}
