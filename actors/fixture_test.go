package actors_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/secondfactor"
	"github.com/aitbc/exchange/persistence"
)

// memoryLog is a Log that outlives the exchanges on it, as a disk does, and that
// can be held and broken.
type memoryLog struct {
	mu     sync.Mutex
	frames [][]byte      // guarded by mu
	epoch  uint64        // guarded by mu
	gate   chan struct{} // guarded by mu; an Append waits until it is closed
	fault  error         // guarded by mu; what every Append returns
}

func (l *memoryLog) Claim(shard uint16) (persistence.Claim, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch++
	return persistence.Claim{Shard: shard, Epoch: l.epoch, Next: uint64(len(l.frames)) + 1}, nil
}

func (l *memoryLog) Replay(from uint64, fn func(seq uint64, frame []byte) error) error {
	l.mu.Lock()
	frames := l.frames
	l.mu.Unlock()
	for seq := max(from, 1); seq <= uint64(len(frames)); seq++ {
		if err := fn(seq, frames[seq-1]); err != nil {
			return err
		}
	}
	return nil
}

func (l *memoryLog) Append(seq uint64, frame []byte) error {
	l.mu.Lock()
	gate := l.gate
	l.mu.Unlock()
	if gate != nil {
		<-gate
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		return l.fault
	}
	if seq != uint64(len(l.frames))+1 {
		return persistence.ErrSequence
	}
	l.frames = append(l.frames, bytes.Clone(frame))
	return nil
}

func (l *memoryLog) TruncateFront(uint64) error { return nil }

func (l *memoryLog) Close() error { return nil }

// hold stops every Append from now on, until release is called.
func (l *memoryLog) hold() (release func()) {
	gate := make(chan struct{})
	l.mu.Lock()
	l.gate = gate
	l.mu.Unlock()
	return sync.OnceFunc(func() {
		l.mu.Lock()
		l.gate = nil
		l.mu.Unlock()
		close(gate)
	})
}

// breakWith makes every Append from now on fail.
func (l *memoryLog) breakWith(err error) {
	l.mu.Lock()
	l.fault = err
	l.mu.Unlock()
}

// setup is what a test may choose of an exchange.
type setup struct {
	actors  actors.Config
	journal persistence.Config
}

// world is an exchange on a memoryLog.
type world struct {
	*actors.Exchange
	t       testing.TB
	log     *memoryLog
	journal *persistence.Journal
	stop    func() // also done when the test ends
}

// start recovers an exchange from log. The faucet is on; there is no chain.
func start(t testing.TB, log *memoryLog, choose ...func(*setup)) *world {
	t.Helper()
	s := setup{actors: actors.Config{
		Terms: actors.DefaultTerms(), Faucet: true, Random: rand.Reader,
		Fatal: func(reason any, stack []byte) { panic(fmt.Sprintf("broken invariant: %v\n%s", reason, stack)) },
	}, journal: persistence.Config{Log: log}}
	for _, c := range choose {
		c(&s)
	}
	journal, err := persistence.Open(s.journal)
	if err != nil {
		t.Fatal(err)
	}
	s.actors.Journal = journal
	w := &world{Exchange: actors.New(s.actors), t: t, log: log, journal: journal}
	if err := w.Recover(context.Background(), func(actors.Progress) {}); err != nil {
		t.Fatal(err)
	}
	w.stop = sync.OnceFunc(func() {
		w.Close()
		if err := journal.Close(); err != nil && !errors.Is(err, persistence.ErrPoisoned) {
			t.Error(err)
		}
	})
	t.Cleanup(w.stop)
	return w
}

// login opens a session and returns it with its token.
func (w *world) login(wallet string) (*actors.Session, string) {
	w.t.Helper()
	_, token, err := w.Login(wallet)
	if err != nil {
		w.t.Fatalf("login of %s: %v", wallet, err)
	}
	return w.session(token), token
}

func (w *world) session(token string) *actors.Session {
	w.t.Helper()
	s, ok := w.Authenticate([]byte(token))
	if !ok {
		w.t.Fatal("the token of a fresh login is refused")
	}
	return &s
}

// funded is login and a deposit of amount.
func (w *world) funded(wallet string, amount account.Money) *actors.Session {
	w.t.Helper()
	s, _ := w.login(wallet)
	if _, err := w.Deposit(s, amount, nil); err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) state(id account.UserID) *account.State {
	w.t.Helper()
	state, ok := w.State(id)
	if !ok {
		w.t.Fatalf("there is no user %s", id)
	}
	return state
}

// describe says all that is seen of a state, history included.
func describe(s *account.State) string {
	var b strings.Builder
	fmt.Fprintln(&b, s.ID, s.Seq, s.Wallet, s.Email, s.Username, s.Status, s.CreatedAt, s.LastLogin, s.UpdatedAt, s.BalanceAt, s.Balance, s.Held, s.Sessions, s.Counts)
	for n := uint32(1); n <= s.History.Last(); n++ {
		t, _ := s.History.At(n)
		detail := account.Detail{}
		if t.Detail != nil {
			detail = *t.Detail
		}
		t.Detail = nil
		fmt.Fprintf(&b, "%d %+v %+v\n", n, t, detail)
	}
	return b.String()
}

// codeOf is the code of a refusal, "" for any other error.
func codeOf(err error) account.Code {
	var refused *account.Error
	if errors.As(err, &refused) {
		return refused.Code
	}
	if errors.Is(err, secondfactor.ErrRefused) {
		return account.CodeFactorRefused
	}
	return ""
}

// told is a Requester that waits.
type told chan actors.Outcome

func (t told) Outcome(receipt actors.Receipt, err error) {
	t <- actors.Outcome{Receipt: receipt, Err: err}
}

// makeDeposit makes a deposit as httpapi does, and waits for its outcome.
func makeDeposit(x *actors.Exchange, s *actors.Session, amount account.Money, idem *account.Idempotency) (actors.Receipt, error) {
	t := make(told, 1)
	x.BeginDeposit(s, amount, idem, t)
	outcome := <-t
	return outcome.Receipt, outcome.Err
}

// Deposit is makeDeposit.
func (w *world) Deposit(s *actors.Session, amount account.Money, idem *account.Idempotency) (actors.Receipt, error) {
	return makeDeposit(w.Exchange, s, amount, idem)
}
