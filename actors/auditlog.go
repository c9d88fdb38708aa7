package actors

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aitbc/exchange/actors/audit"
	"github.com/aitbc/exchange/persistence"
)

// ErrAuditFailed: what was asked for can't be written to the audit log, and so was not
// done.
var ErrAuditFailed = errors.New("the audit log cannot be written")

// recentEntries is how many of the newest entries can be looked at while the service
// runs; exchange dump shows all.
const recentEntries = 10_000

// AuditLog is the log of what operators did and who changed an account's security: a
// journal of its own, never truncated, each of whose records is an entry of one chain.
// An entry is durable before the act. So no act is without one, and an act that was
// refused, or cut off by a stop, has one all the same. Any goroutine may call its
// methods.
type AuditLog struct {
	journal *persistence.Journal
	now     func() time.Time
	timeout time.Duration

	appending sync.Mutex  // the journal gets the entries in the chain's order
	chain     audit.Chain // guarded by appending

	mu     sync.RWMutex
	recent []AuditEntry // guarded by mu: durable, oldest first
	last   AuditHead    // guarded by mu: of what is durable
}

// AuditEntry is an entry of the chain, and its hash.
type AuditEntry struct {
	audit.Entry
	Hash audit.Hash
}

// AuditHead stands for all entries up to number N.
type AuditHead struct {
	N    uint64
	Hash audit.Hash
}

func (h AuditHead) String() string { return fmt.Sprintf("%d:%x", h.N, h.Hash) }

// OpenAuditLog follows the whole chain that is in a journal which has not been started,
// and starts it. An error names what does not follow; nothing may be served then. The
// journal stays the caller's to close. timeout is how long an act waits for its entry.
func OpenAuditLog(journal *persistence.Journal, now func() time.Time, timeout time.Duration) (*AuditLog, error) {
	l := &AuditLog{journal: journal, now: now, timeout: timeout}
	err := journal.Replay(0, func(p persistence.Position, encoded []byte) error {
		entry, err := l.chain.Follow(encoded)
		if err != nil {
			return fmt.Errorf("audit log: frame %d, record %d: %w", p.Frame, p.Record, err)
		}
		l.settle(AuditEntry{entry, l.chain.Head()})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l, journal.Start()
}

// settle makes an entry that is durable visible.
func (l *AuditLog) settle(entry AuditEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.recent) == 2*recentEntries {
		l.recent = append(l.recent[:0], l.recent[recentEntries:]...)
	}
	l.recent = append(l.recent, entry)
	l.last = AuditHead{entry.N, entry.Hash}
}

// Act is what an entry says of an act, but for when.
type Act struct {
	Actor  string // operator:<name>, user:<id> or system
	Action string
	Target string
	Note   string
}

// Write returns once the entry of act is durable: then the act may be done. Every
// error is an ErrAuditFailed, and the act must not be.
func (l *AuditLog) Write(act Act) error {
	c := &auditCall{log: l, done: make(chan error, 1)}
	if err := l.append(act, c); err != nil {
		return fmt.Errorf("%w: %w", ErrAuditFailed, err)
	}
	timer := time.NewTimer(l.timeout)
	defer timer.Stop()
	select {
	case err := <-c.done:
		if err != nil {
			return fmt.Errorf("%w: %w", ErrAuditFailed, err)
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("%w within %s", ErrAuditFailed, l.timeout)
	}
}

func (l *AuditLog) append(act Act, c *auditCall) error {
	l.appending.Lock()
	defer l.appending.Unlock()
	next := l.chain
	encoded, err := next.Add(nil, audit.Entry{
		At: l.now().UnixNano(), Actor: act.Actor, Action: act.Action, Target: act.Target, Note: oneLine(act.Note, audit.MaxNote),
	})
	if err != nil {
		return err
	}
	if err := l.journal.Reserve(len(encoded)); err != nil {
		return err
	}
	entry, err := audit.Decode(encoded)
	if err != nil {
		panic(err)
	}
	c.entry = AuditEntry{entry, next.Head()}
	l.chain = next
	l.journal.Append(encoded, c)
	return nil
}

// auditCall waits for its entry.
type auditCall struct {
	log   *AuditLog
	entry AuditEntry
	done  chan error // capacity 1
}

// Committed is called by the audit journal's committer.
func (c *auditCall) Committed(err error) {
	if err == nil {
		c.log.settle(c.entry)
	}
	c.done <- err
}

// oneLine makes a text one that an entry takes: no control characters, and not too
// long.
func oneLine(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// Head stands for all entries that are durable. Who notes it outside can prove with
// exchange verify that none of them was changed or cut off since.
func (l *AuditLog) Head() AuditHead {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last
}

// Entries returns up to limit entries before number before, or the newest if that is
// 0, newest first, and whether more follow. It knows the last recentEntries.
func (l *AuditLog) Entries(before uint64, limit int) (entries []AuditEntry, more bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	known := l.recent[max(0, len(l.recent)-recentEntries):]
	end := len(known)
	if end > 0 && before != 0 {
		end = int(min(uint64(end), max(before, known[0].N)-known[0].N))
	}
	for end > 0 && len(entries) < limit {
		end--
		entries = append(entries, known[end])
	}
	return entries, end > 0
}

// AuditHead is the head of the audit log; false if none is kept.
func (x *Exchange) AuditHead() (AuditHead, bool) {
	if x.cfg.Audit == nil {
		return AuditHead{}, false
	}
	return x.cfg.Audit.Head(), true
}

// AuditEntries returns entries of the audit log, as AuditLog.Entries does.
func (x *Exchange) AuditEntries(before uint64, limit int) (entries []AuditEntry, more bool) {
	if x.cfg.Audit == nil {
		return nil, false
	}
	return x.cfg.Audit.Entries(before, limit)
}

// audit writes the entry of an act that is about to be done.
func (x *Exchange) audit(act Act) error {
	if x.cfg.Audit == nil || act.Action == "" {
		return nil
	}
	return x.cfg.Audit.Write(act)
}
