package actors_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/persistence"
)

// onDisk keeps an exchange's journal and snapshots in a directory.
func onDisk(t testing.TB, dir string) func(*setup) {
	t.Helper()
	return func(s *setup) {
		local, err := persistence.OpenLocal(persistence.LocalConfig{Dir: dir, SegmentBytes: 4096})
		if err != nil {
			t.Fatal(err)
		}
		s.journal.Log, s.journal.Snapshots = local, local
	}
}

// everything is all that an exchange shows: each account to the byte, the order of
// users, what is pending, and the market.
func everything(w *world) string {
	w.t.Helper()
	hash := sha256.New()
	states, _, _ := w.Users(0, 1_000_000, 0)
	for _, s := range states {
		sum := s.StateHash()
		hash.Write(sum[:])
		fmt.Fprint(hash, s.Counts)
	}
	out := fmt.Sprintf("%d users %x", len(states), hash.Sum(nil))
	for _, kind := range []account.Type{account.TypeBuy, account.TypeSell, account.TypeWithdrawal} {
		ids, total, _ := w.OpenTransactions(kind, account.TransactionID{}, 1_000_000)
		out += fmt.Sprint("\n", kind, total, ids)
	}
	stats := w.Stats()
	return out + fmt.Sprintf("\n%+v %d %d", w.Market(), stats.Accounts, stats.Transactions)
}

// Invariant 3, for a whole exchange: whatever happened, a start from the log, a
// second one, and one from a snapshot and the tail show what the live one showed.
func TestEveryStartShowsWhatWasShownBefore(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		clock := atomic.Int64{}
		clock.Store(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
		choose := func(s *setup) {
			onDisk(t, dir)(s)
			s.actors.Now = func() time.Time { return time.UnixMicro(clock.Add(1)) }
			s.actors.Chain = &idleChain{}
			s.actors.Terms.PaymentLifetime = 10_000 * time.Hour // none expires in between
		}
		w := start(t, nil, choose)
		m := &traffic{w: w, t: rt}
		restart := func(*rapid.T) {
			before := everything(w)
			w.stop()
			w = start(t, nil, choose)
			if after := everything(w); after != before {
				rt.Fatalf("after a restart there is\n%s\nbefore it was\n%s", after, before)
			}
			m.resume(w)
		}
		for range rapid.IntRange(1, 6).Draw(rt, "actions") {
			m.some(rt)
			clock.Add(rapid.Int64Range(0, 36*3600e6).Draw(rt, "later"))
			switch rapid.IntRange(0, 3).Draw(rt, "action") {
			case 0:
				restart(rt)
			case 1, 2:
				if _, err := w.Snapshot(context.Background()); err != nil {
					rt.Fatal(err)
				}
			}
		}
		restart(rt)
		restart(rt)
		w.stop()
	})
}

// traffic is users who do all that users do.
type traffic struct {
	w     *world
	t     *rapid.T
	users []*actors.Session
	names []string
	n     int
}

// resume goes on with the same users on another exchange.
func (m *traffic) resume(w *world) {
	m.w = w
	for i, name := range m.names {
		m.users[i], _ = w.login(name)
	}
}

func (m *traffic) some(t *rapid.T) {
	for range rapid.IntRange(1, 20).Draw(t, "requests") {
		m.one(t)
	}
}

func (m *traffic) one(t *rapid.T) {
	m.n++
	if len(m.users) == 0 || rapid.IntRange(0, 9).Draw(t, "new") == 0 {
		name := fmt.Sprintf("aitbc1wallet_%06d", m.n)
		s, _ := m.w.login(name)
		m.users, m.names = append(m.users, s), append(m.names, name)
		return
	}
	s := m.users[rapid.IntRange(0, len(m.users)-1).Draw(t, "user")]
	var idem *account.Idempotency
	if rapid.Bool().Draw(t, "keyed") {
		idem = &account.Idempotency{Key: account.Key{byte(m.n), byte(m.n >> 8)}}
	}
	hash := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(m.n)))
	last := account.TransactionID{User: s.UserID(), N: rapid.Uint32Range(1, 1+m.w.state(s.UserID()).History.Last()).Draw(t, "number")}
	var err error
	switch rapid.IntRange(0, 8).Draw(t, "request") {
	case 0, 1:
		_, err = m.w.Deposit(s, 100*account.Unit, idem)
	case 2:
		_, err = m.w.Withdraw(s, account.Unit, "aitbc_elsewhere", idem)
	case 3:
		_, err = m.w.Sell(s, 10*account.Unit, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", idem)
	case 4, 5:
		_, err = m.w.CreatePayment(s, 1000*account.Unit, 0, "a note", idem)
	case 6:
		_, err = m.w.CompleteTransaction(last, hex.EncodeToString(hash[:]), "ops", "", idem)
	case 7:
		_, err = m.w.FailTransaction(last, "ops", "why not", idem)
	case 8:
		_, err = m.w.ChangeProfile(s, fmt.Sprintf("user%d@example.org", m.n), "")
	}
	if err != nil && codeOf(err) == "" {
		t.Fatal(err)
	}
}

// idleChain never sees a payment.
type idleChain struct{ actors.Chain }

func (*idleChain) Start(actors.Resume, actors.Handle) {}
func (*idleChain) Stop()                              {}
func (*idleChain) NewAddress() (actors.Address, error) {
	return actors.Address{Text: "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"}, nil
}
func (*idleChain) GiveBack(actors.Address)       {}
func (*idleChain) KnownUntil() time.Time         { return time.Time{} }
func (*idleChain) CheckAddress(string) error     { return nil }
func (*idleChain) Watch(actors.WatchedPayment)   {}
func (*idleChain) Unwatch(account.TransactionID) {}

func TestRecoveryNamesTheRecordThatDoesNotFit(t *testing.T) {
	log := &memoryLog{}
	w := start(t, log)
	s := w.funded("aitbc1wallet_first", account.Unit)
	for range 2000 { // so that more than one batch is under way
		if _, err := w.Deposit(s, 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.stop()
	id := s.UserID()
	again := account.Record{User: id, Seq: 2, At: 1 << 60, Events: []account.Event{&account.Deposited{Amount: 1}}}
	journal, err := persistence.Open(persistence.Config{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := journal.Start(); err != nil {
		t.Fatal(err)
	}
	encoded := again.Append(nil)
	if err := journal.Reserve(len(encoded)); err != nil {
		t.Fatal(err)
	}
	journal.Append(encoded, ignored{})
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
	frame := len(log.frames)

	journal, err = persistence.Open(persistence.Config{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	x := actors.New(actors.Config{Journal: journal, Terms: actors.DefaultTerms(), Random: rand.Reader})
	defer x.Close()
	err = x.Recover(t.Context(), func(actors.Progress) {})
	want := fmt.Sprintf("frame %d, record 0: record does not fit the account: user %s: record 2 after record 2002", frame, id)
	if err == nil || err.Error() != want {
		t.Errorf("recovery says %v, want %s", err, want)
	}
}

type ignored struct{}

func (ignored) Committed(error) {}

func TestRecoveryTellsHowFarItIsAndStopsWhenAsked(t *testing.T) {
	log := filledLog(t, 1000, 200)
	journal, err := persistence.Open(persistence.Config{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	x := actors.New(actors.Config{Journal: journal, Terms: actors.DefaultTerms(), Random: rand.Reader})
	defer x.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var stages []actors.Stage
	err = x.Recover(ctx, func(p actors.Progress) {
		if len(stages) == 0 || stages[len(stages)-1] != p.Stage {
			stages = append(stages, p.Stage)
		}
		if p.Percent() < 0 || p.Percent() > 100 || p.Remaining() < 0 {
			t.Errorf("%+v is %f percent, %s remain", p, p.Percent(), p.Remaining())
		}
		if p.Records > 0 {
			if p.Done == 0 || p.Done >= p.Total || p.Remaining() == 0 {
				t.Errorf("in the middle of the log it tells %+v", p)
			}
			cancel()
		}
	})
	if err != context.Canceled || fmt.Sprint(stages) != "[snapshot log]" {
		t.Errorf("recovery ends with %v after the stages %v", err, stages)
	}
}

// filledLog is a log of users with deposits, in turn, in frames of 100 records.
func filledLog(t testing.TB, users, deposits int) *memoryLog {
	t.Helper()
	log := &memoryLog{}
	local := &frames{log: log}
	accounts := make([]*account.Account, users)
	now := account.TimeOf(time.Now()) - 1e12
	write := func(a *account.Account, c account.Command) {
		now++
		d, err := a.Decide(c, nil, now)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Apply(&d.Record); err != nil {
			t.Fatal(err)
		}
		local.add(t, d.Record.Append(nil))
	}
	for i := range accounts {
		var id account.UserID
		sum := sha256.Sum256(binary.BigEndian.AppendUint32(nil, uint32(i)))
		copy(id[:], sum[:])
		accounts[i] = account.New(id)
		wallet := fmt.Sprintf("aitbc1wallet_%08d", i)
		write(accounts[i], &account.Login{Wallet: wallet, Email: wallet + "@aitbc.local", Username: fmt.Sprintf("user_%08d", i), ExpiresAt: now.Add(time.Hour)})
	}
	for range deposits {
		for _, a := range accounts {
			write(a, &account.Deposit{Amount: 123 * account.Unit})
		}
	}
	local.flush(t)
	return log
}

// frames writes records into a log by a journal, a hundred or so a frame.
type frames struct {
	log     *memoryLog
	journal *persistence.Journal
}

func (f *frames) add(t testing.TB, record []byte) {
	t.Helper()
	if f.journal == nil {
		journal, err := persistence.Open(persistence.Config{Log: f.log})
		if err != nil {
			t.Fatal(err)
		}
		if err := journal.Start(); err != nil {
			t.Fatal(err)
		}
		f.journal = journal
	}
	for f.journal.Reserve(len(record)) != nil { // full: the committer is on its way
		runtime.Gosched()
	}
	f.journal.Append(record, ignored{})
}

func (f *frames) flush(t testing.TB) {
	t.Helper()
	if err := f.journal.Close(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkRecoverFromTheLog replays 2,000,000 deposits of 100,000 users.
func BenchmarkRecoverFromTheLog(b *testing.B) {
	log := filledLog(b, 100_000, 20)
	var events uint64
	for b.Loop() {
		journal, err := persistence.Open(persistence.Config{Log: log})
		if err != nil {
			b.Fatal(err)
		}
		x := actors.New(actors.Config{Journal: journal, Terms: actors.DefaultTerms(), Random: rand.Reader})
		var last actors.Progress
		if err := x.Recover(b.Context(), func(p actors.Progress) { last = p }); err != nil {
			b.Fatal(err)
		}
		events += last.Events
		x.Close()
		if err := journal.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}
