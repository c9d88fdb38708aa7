package actors_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
)

// btcLife is what an operator chose for one start of the exchange.
type btcLife struct {
	from   account.Time
	policy bitcoin.Policy
	terms  actors.Terms
	poll   time.Duration
	idle   time.Duration // until an actor is given back
}

// wanted is how many confirmations are enough.
func (l *btcLife) wanted() int32 { return int32(l.terms.Confirmations) }

func (s *btcSim) life() *btcLife { return &s.lives[len(s.lives)-1] }

// lifeAt is the life in which something was made.
func (s *btcSim) lifeAt(at account.Time) *btcLife {
	for i := range slices.Backward(s.lives) {
		if s.lives[i].from <= at {
			return &s.lives[i]
		}
	}
	return &s.lives[0]
}

// newLife chooses flags.
func (s *btcSim) newLife() btcLife {
	r := s.random
	rule := func() bitcoin.Rule { return []bitcoin.Rule{bitcoin.Refund, bitcoin.Proportion}[r.IntN(2)] }
	l := btcLife{terms: actors.DefaultTerms(), poll: 6*time.Second + 113*time.Microsecond, idle: -1}
	l.policy = bitcoin.Policy{Underpaid: rule(), Overpaid: rule(), Late: rule(), TolerancePPM: []int64{0, 0, 10_000, 50_000}[r.IntN(4)]}
	l.terms.Confirmations = uint32(1 + r.IntN(3))
	l.terms.FeePPM = []int64{0, 5_000, 20_000}[r.IntN(3)]
	l.terms.Rate = account.Money([]int64{90_000, 100_000, 133_333}[r.IntN(3)]) * account.Unit
	l.terms.PaymentLifetime = []time.Duration{3 * time.Minute, 10 * time.Minute}[r.IntN(2)]
	l.terms.FourEyesAbove = []account.Money{0, 0, 300 * account.Unit}[r.IntN(3)]
	l.terms.SessionIdle = 0
	l.policy.Confirmations = l.wanted()
	if r.IntN(3) == 0 {
		l.idle = 10 * time.Second
	}
	return l
}

// open starts the exchange on the disk.
func (s *btcSim) open(l btcLife) error {
	l.from = account.TimeOf(time.Now())
	s.lives = append(s.lives, l)
	s.note("a life begins: underpaid %d, overpaid %d, late %d, tolerance %d, %d confirmations, rate %s, fee %d, lifetime %s",
		l.policy.Underpaid, l.policy.Overpaid, l.policy.Late, l.policy.TolerancePPM, l.wanted(), l.terms.Rate, l.terms.FeePPM, l.terms.PaymentLifetime)
	s.log = &btcLog{simLog: &simLog{disk: s.disk}}
	s.log.left.Store(-1)
	s.snapshots = &simSnapshots{disk: s.disk, log: s.log.simLog}
	s.wire = &btcWire{node: s.node}
	s.log.wire = s.wire
	var err error
	if s.journal, err = persistence.Open(persistence.Config{Log: s.log, Snapshots: s.snapshots}); err != nil {
		return err
	}
	node, err := bitcoin.NewNode(bitcoin.NodeConfig{
		Network: bitcoin.Regtest, URL: "http://node", User: "test", PassFile: s.password, Transport: s.wire,
	})
	if err != nil {
		return err
	}
	keys := btcKeys(s.moved)
	logger := slog.New(&s.alerts)
	s.chain = actors.NewBitcoinChain(actors.BitcoinConfig{Node: node, Keys: keys, Poll: l.poll, Logger: logger, Random: func() float64 { return 0.5 }})
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.x = actors.New(actors.Config{
		Journal: s.journal, Terms: l.terms, Policy: l.policy, Chain: s.chain, Logger: logger, Random: s.secrets,
		PassivateAfter: l.idle, Fatal: s.fatal, Copy: s.copied, FirstIndex: s.firstIndex,
		Identity: &actors.IdentityConfig{Mode: account.RealMode, ModeSaid: true, Network: bitcoin.Regtest, Keys: keys},
	})
	if err := s.x.Recover(context.Background(), func(actors.Progress) {}); err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	synctest.Wait()
	if s.copied != nil && s.random.IntN(4) > 0 { // else it ends before it has removed the mark
		s.copied = nil
	}
	if s.chain.Status().NextIndex < s.firstIndex {
		return fmt.Errorf("index %d is the next, after %d was asked for as the first", s.chain.Status().NextIndex, s.firstIndex)
	}
	return nil
}

// begin is the first life, with some coins to pay out.
func (s *btcSim) begin() error {
	if err := s.open(s.newLife()); err != nil {
		return err
	}
	s.pause(30 * time.Second)
	for i, u := range s.users {
		if err := s.fundUser(u); err != nil {
			return err
		}
		p, err := s.buyFor(u, account.Money(1000+500*i)*account.Unit)
		if err != nil {
			return err
		}
		if p == nil {
			return errors.New("a first payment is refused")
		}
		s.payWith([]bitcointest.Payment{{Address: p.address, Satoshi: int64(p.btc)}}, false)
	}
	for range s.life().wanted() {
		s.mineBlock(nil)
	}
	s.pause(30 * time.Second)
	return s.settle()
}

// end stops a process without power.
func (s *btcSim) end() {
	if s.x == nil {
		return
	}
	s.log.cutNow()
	s.cancel()
	s.x.Close()
	_ = s.journal.Close() // it tells of the power
	s.x = nil
	synctest.Wait()
	s.collect()
	s.calls = nil
	s.disk.crash(s.random)
}

// crash takes the power away at this moment, and starts again on what is left.
func (s *btcSim) crash() error {
	s.note("power cut")
	s.count.crashes++
	s.end()
	return s.again(s.random.IntN(2) == 0)
}

// again begins the next life.
func (s *btcSim) again(otherFlags bool) error {
	l := *s.life()
	if otherFlags && !leftOut("flags") {
		l = s.newLife()
	}
	if s.random.IntN(4) == 0 {
		s.pause(time.Duration(1+s.random.IntN(200)) * time.Second)
	}
	return s.open(l)
}

// cutSoon takes the power away after so many records.
func (s *btcSim) cutSoon() error {
	records := s.random.IntN(12)
	s.note("the power goes after %d records", records)
	s.log.left.Store(int64(records))
	return nil
}

// restart ends the process in good order, and often goes on under other flags.
func (s *btcSim) restart() error {
	if err := s.stop(); err != nil {
		return err
	}
	return s.again(s.random.IntN(3) > 0)
}

// stop ends the process in good order.
func (s *btcSim) stop() error {
	s.note("stop")
	s.count.restarts++
	s.cancel()
	synctest.Wait()
	s.collect()
	s.x.Close()
	if err := s.journal.Close(); err != nil && !errors.Is(err, errPower) {
		return fmt.Errorf("close: %w", err)
	}
	s.x = nil
	synctest.Wait()
	s.collect()
	s.calls = nil
	return nil
}

// btcKeys are those that a start is given.
func btcKeys(moved bool) *bitcoin.Keys {
	text := bitcointest.AccountKey
	if moved {
		text = bitcointest.SecondAccountKey
	}
	keys, err := bitcoin.ParseKeys(text, bitcoin.Regtest)
	if err != nil {
		panic(err)
	}
	return keys
}

// moveKey stops the exchange, moves to another key, and goes on with that.
func (s *btcSim) moveKey() error {
	if s.moved || s.copied != nil { // each key is used once, and no copy is moved on which no service has run
		return nil
	}
	if err := s.stop(); err != nil {
		return err
	}
	log := &simLog{disk: s.disk}
	journal, err := persistence.Open(persistence.Config{Log: log, Snapshots: &simSnapshots{disk: s.disk, log: log}})
	if err != nil {
		return err
	}
	x := actors.New(actors.Config{Journal: journal, Terms: s.life().terms, Random: s.secrets, Fatal: s.fatal})
	if err := x.RecoverStopped(context.Background()); err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	key, err := x.MoveKey(btcKeys(true), s.firstIndex, s.operator())
	x.Close()
	if err := errors.Join(err, journal.Close()); err != nil {
		return err
	}
	s.note("moved to another key from index %d and payout %d on", key.External, key.Change)
	s.moved = true
	s.count.moves++
	return s.again(s.random.IntN(2) == 0)
}

// snapshot takes one, so that the next start goes on from it.
func (s *btcSim) snapshot() error {
	if s.log.left.Load() >= 0 {
		return nil
	}
	s.note("snapshot")
	_, err := s.x.Snapshot(context.Background())
	return err
}

// btcBackup is a copy of the disk, with the mark that it is one, and what had happened.
type btcBackup struct {
	disk     *simDisk
	at       account.Time
	mark     actors.Copy
	moved    bool
	answered map[account.TransactionID][]account.Outpoint
	lifted   map[account.TransactionID]bool
}

func (s *btcSim) backup() error {
	b := &btcBackup{disk: s.disk.clone(), at: account.TimeOf(time.Now()), moved: s.moved, answered: maps.Clone(s.answered), lifted: maps.Clone(s.lifted)}
	binary.LittleEndian.PutUint64(b.mark.ID[:], s.random.Uint64())
	if s.random.IntN(3) > 0 { // else it is a copy of the directory, of which nobody said when it was made
		b.mark.Taken = time.Now()
	}
	s.note("backup")
	s.backups = append(s.backups, b)
	return nil
}

// restore goes on from a copy of the disk, as the README says: signers destroy what was
// exported since the copy was made, and who starts it looks at the next index.
func (s *btcSim) restore() error {
	if len(s.backups) == 0 {
		return nil
	}
	b := s.backups[s.random.IntN(len(s.backups))]
	if b.moved != s.moved { // what the other key has given out since is not watched
		return nil
	}
	s.note("restore of the backup of %s", b.at)
	s.count.restores++
	noted := s.chain.Status().NextIndex
	s.end()
	mark := b.mark
	s.disk, s.copied = b.disk.clone(), &mark
	s.answered, s.lifted = maps.Clone(b.answered), maps.Clone(b.lifted)
	s.backups = slices.DeleteFunc(s.backups, func(later *btcBackup) bool { return later.at > b.at }) // of a history that is given up
	s.papers = slices.DeleteFunc(s.papers, func(p *btcPaper) bool { return p.at > b.at })
	s.held = slices.DeleteFunc(s.held, func(h *btcHeld) bool { return h.exported > b.at })
	for _, p := range s.payments {
		p.lost = p.lost || p.at > b.at
	}
	for _, sale := range s.sales {
		sale.lost = sale.lost || sale.at > b.at
	}
	if err := s.again(s.random.IntN(2) == 0); err != nil {
		return err
	}
	if next := s.chain.Status().NextIndex; next < noted {
		s.note("the next index is %d, below %d: it starts again", next, noted)
		if err := s.stop(); err != nil {
			return err
		}
		s.firstIndex = noted
		return s.again(false)
	}
	return nil
}

// btcLog is a simLog whose power goes after a number of records, in the middle of a
// frame or not.
type btcLog struct {
	*simLog
	left atomic.Int64 // records; below zero: no end
	wire *btcWire
}

func (l *btcLog) Append(seq uint64, frame []byte) error {
	left, n := l.left.Load(), int64(recordsOf(frame))
	switch {
	case left < 0 || l.isOff():
	case n <= left:
		l.left.Store(left - n)
	default: // the batch might have come in parts
		if left > 0 {
			if err := l.simLog.Append(seq, prefixOf(frame, int(left))); err != nil {
				return err
			}
		}
		l.cutNow()
		return errPower
	}
	return l.simLog.Append(seq, frame)
}

// cutNow takes the power, and the process with its connections, away.
func (l *btcLog) cutNow() {
	l.cut()
	l.wire.off.Store(true)
}

func (l *btcLog) isOff() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.off
}

// prefixOf is a frame of the first records of another: as persistence writes it.
func prefixOf(frame []byte, records int) []byte {
	const header = 36
	end := header
	for range records {
		length, n := binary.Uvarint(frame[end:])
		end += n + int(length)
	}
	part := slices.Clone(frame[:end])
	binary.LittleEndian.PutUint32(part[24:], uint32(records))
	binary.LittleEndian.PutUint32(part[28:], uint32(end-header))
	table := crc32.MakeTable(crc32.Castagnoli)
	binary.LittleEndian.PutUint32(part[32:], crc32.Update(crc32.Update(0, table, part[:32]), table, part[header:]))
	if _, err := format.DecodeFrame(part); err != nil {
		panic(err)
	}
	return part
}

// btcWire is one process's way to the node.
type btcWire struct {
	node *bitcointest.MemoryNode
	off  atomic.Bool
}

func (w *btcWire) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.off.Load() {
		return nil, errPower
	}
	response, err := w.node.RoundTrip(r)
	if w.off.Load() {
		return nil, errPower
	}
	return response, err
}

// btcAlerts keeps what needs an operator.
type btcAlerts struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (a *btcAlerts) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError
}

func (a *btcAlerts) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(attr slog.Attr) bool {
		line += " " + attr.String()
		return true
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lines = append(a.lines, line)
	return nil
}

func (a *btcAlerts) WithAttrs([]slog.Attr) slog.Handler { return a }
func (a *btcAlerts) WithGroup(string) slog.Handler      { return a }

// with returns the lines that have all of the words.
func (a *btcAlerts) with(words ...string) (found []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, line := range a.lines {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			found = append(found, line)
		}
	}
	return found
}
