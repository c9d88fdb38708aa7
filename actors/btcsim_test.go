package actors_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
	"github.com/aitbc/exchange/persistence"
)

var btcWithout = flag.String("without", "", "steps that the Bitcoin simulation leaves out, by their names, with commas between; flags: each start has the same flags")

const (
	btcSteps = 140 // of a history
	btcUsers = 3
)

// btcSim is one history of an exchange on a real chain's rules: users who pay and sell,
// payers and signers who do as they like, operators who do anything at any time, a chain
// that forks, a node that is down or behind, and lives that end anywhere and go on under
// other flags, or on an older copy of the disk. All that is random comes from the seed.
//
// The chain itself is the truth that check holds the exchange to.
type btcSim struct {
	t        *testing.T
	random   *rand.Rand
	secrets  *lockedRandom
	seed     uint64
	password string // file
	count    btcCount

	node    *bitcointest.MemoryNode
	payer   *bitcointest.MemoryWallet // pays for all users, and mines
	base    int32                     // height of the last block that is never reorganised
	down    bool                      // the node
	behind  bool                      // the node
	final   map[chainhash.Hash]bool   // transactions that once had all confirmations
	tainted map[string]bool           // addresses of sales that a chain which took back what was final may leave unpaid, or paid twice

	disk       *simDisk
	log        *btcLog
	snapshots  *simSnapshots
	wire       *btcWire
	journal    *persistence.Journal
	x          *actors.Exchange
	chain      *actors.BitcoinChain
	ctx        context.Context // of the calls of a life
	cancel     context.CancelFunc
	lives      []btcLife // all so far; the last is the present one
	backups    []*btcBackup
	copied     *actors.Copy           // the mark of the disk
	moved      bool                   // to the second key
	firstIndex uint32                 // that is asked for at each start
	broken     atomic.Pointer[string] // an invariant
	alerts     btcAlerts

	users     []*btcUser
	payments  []*btcPayment // every one that was answered, in this order
	sales     []*btcSale    // the same
	paid      []*btcPaid    // transactions of payers
	papers    []*btcPaper   // payouts that a signer has got
	held      []*btcHeld    // signed, and perhaps broadcast
	calls     []*btcCall
	sellers   int                                          // addresses of sales that were made up
	addresses map[string]string                            // by script
	answered  map[account.TransactionID][]account.Outpoint // of payments that an operator acted on: the outputs that were known
	frozen    map[account.TransactionID]bool               // payments of which something was frozen at some time
	lifted    map[account.TransactionID]bool               // payments whose freeze an operator has lifted
	blamed    string                                       // what an operator did by hand, for which the log and the chain may differ

	trace hash.Hash
	lines []string // the last of the trace
}

type btcCount struct {
	histories, steps                                           int
	payments, paid, replaced, sales, exports, imports, cancels int
	blocks, reorgs, deep                                       int
	restarts, crashes, restores, moves, checks                 int
	confirmed, refunds, frozen, unassigned, reconciled         int
}

func (c *btcCount) add(o btcCount) {
	c.histories++
	c.steps += o.steps
	c.payments += o.payments
	c.paid += o.paid
	c.replaced += o.replaced
	c.sales += o.sales
	c.exports += o.exports
	c.imports += o.imports
	c.cancels += o.cancels
	c.blocks += o.blocks
	c.reorgs += o.reorgs
	c.deep += o.deep
	c.restarts += o.restarts
	c.crashes += o.crashes
	c.restores += o.restores
	c.moves += o.moves
	c.checks += o.checks
	c.confirmed += o.confirmed
	c.refunds += o.refunds
	c.frozen += o.frozen
	c.unassigned += o.unassigned
	c.reconciled += o.reconciled
}

// TestBitcoinSimulation runs random histories of payments, sales, payouts and refunds on
// a simulated chain. A failure names the seed that repeats it.
func TestBitcoinSimulation(t *testing.T) {
	defer actors.SetSmallMargins()()
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("only-for-tests"), 0o600); err != nil {
		t.Fatal(err)
	}
	if *simSeed != 0 {
		count, trace := simulateBitcoin(t, *simSeed, password)
		t.Logf("seed %d: %+v, trace %s", *simSeed, count, trace)
		return
	}
	const fixed = 16 // seeds 1 to 16 first, which have everything in them
	fresh := uint64(time.Now().UnixNano())
	fmt.Printf("Bitcoin simulation: seeds 1 to %d, and from %d on\n", fixed, fresh)
	start := time.Now()
	var all, known btcCount
	for i := uint64(0); ; i++ {
		if n := *simHistories; (n > 0 && i == uint64(n)) || (n == 0 && (i == fixed || time.Since(start) > 20*time.Second)) || t.Failed() {
			break
		}
		seed := fresh + i
		if i < fixed {
			seed = i + 1
		}
		count, _ := simulateBitcoin(t, seed, password)
		if all.add(count); i < fixed {
			known.add(count)
		}
	}
	took := time.Since(start)
	t.Logf("%d histories in %s, %.1f a second; %+v",
		all.histories, took.Round(time.Millisecond), float64(all.histories)/took.Seconds(), all)
	if known.histories < fixed || *btcWithout != "" || t.Failed() {
		return
	}
	for what, n := range map[string]int{
		"replaced payment": known.replaced, "confirmed payout": known.confirmed, "cancelled payout": known.cancels, "reorganisation": known.reorgs,
		"reorganisation of what was final": known.deep, "restart": known.restarts, "crash": known.crashes, "restore": known.restores, "move to another key": known.moves,
		"refund": known.refunds, "frozen credit": known.frozen, "output without an owner": known.unassigned, "reconciliation": known.reconciled,
	} {
		if n == 0 { // it isn't chance: these histories are always the same
			t.Errorf("there was no %s in seeds 1 to %d: the simulation is too weak", what, fixed)
		}
	}
}

// TestASeedRepeatsItsBitcoinHistory on as many processors as there are, and on one.
func TestASeedRepeatsItsBitcoinHistory(t *testing.T) {
	defer actors.SetSmallMargins()()
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("only-for-tests"), 0o600); err != nil {
		t.Fatal(err)
	}
	for seed := uint64(1); seed <= 3; seed++ {
		_, first := simulateBitcoin(t, seed, password)
		processors := runtime.GOMAXPROCS(1)
		_, second := simulateBitcoin(t, seed, password)
		runtime.GOMAXPROCS(processors)
		if first != second {
			t.Errorf("seed %d has two traces, %s and %s", seed, first, second)
		}
	}
}

// btcGenesis is a chain with coins that can be spent, which each history begins with.
var btcGenesis = sync.OnceValue(func() *bitcointest.MemoryNode {
	node, payer := bitcointest.NewMemoryNode(), bitcointest.NewMemoryWallet("payer")
	for i := range 125 {
		node.Mine(bitcointest.Template{Time: time.Date(1999, 12, 31, 0, i, 0, 0, time.UTC), Reward: payer.Script})
	}
	return node
})

// simulateBitcoin runs the history of a seed, and returns what was in it and the hash of
// all that happened.
func simulateBitcoin(t *testing.T, seed uint64, password string) (count btcCount, trace string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &btcSim{
			t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 2)), password: password, trace: sha256.New(),
			node: btcGenesis().Clone(), payer: bitcointest.NewMemoryWallet("payer"),
			final: map[chainhash.Hash]bool{}, tainted: map[string]bool{}, frozen: map[account.TransactionID]bool{}, lifted: map[account.TransactionID]bool{}, answered: map[account.TransactionID][]account.Outpoint{},
			disk: newSimDisk(), addresses: map[string]string{},
		}
		s.base = s.node.Tip().Height
		s.node.Latency = s.latency
		s.secrets = &lockedRandom{source: rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, seed)))}
		for i := range btcUsers {
			s.users = append(s.users, &btcUser{wallet: fmt.Sprintf("wallet_%08d", i)})
		}
		err := s.begin()
		for ; err == nil && s.count.steps < btcSteps; s.count.steps++ {
			err = s.step()
		}
		if err == nil {
			err = s.finish()
		}
		if err != nil {
			for _, line := range s.lines {
				fmt.Println("   ", line)
			}
			fmt.Printf("Bitcoin simulation: step %d: %v\nrepeat it with: go test ./actors -run 'TestBitcoinSimulation$' -seed=%d\n", s.count.steps, err, seed)
			t.Errorf("seed %d, step %d: %v", seed, s.count.steps, err)
		}
		s.end()
		s.count.frozen = len(s.frozen)
		count, trace = s.count, hex.EncodeToString(s.trace.Sum(nil)[:8])
	})
	return count, trace
}

// latency is how long a call of the node takes: about 30 ms, now and then seconds. No
// two calls end at one moment, so that the order in which they do is the seed's.
func (s *btcSim) latency(method, params string) time.Duration {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s %d", s.seed, method, params, time.Now().UnixNano()))
	x := binary.BigEndian.Uint64(sum[:])
	d := time.Duration(1_000_000 + x%60_000_000)
	if x>>40%200 == 0 {
		d += 3 * time.Second
	}
	return d
}

// pause lets some time pass, which ends beside the moments at which timers do.
func (s *btcSim) pause(about time.Duration) {
	time.Sleep(about + time.Duration(s.random.IntN(int(about/4)+2_000_003)) + 137)
}

// note adds a line to the trace.
func (s *btcSim) note(format string, args ...any) {
	const kept = 120
	line := fmt.Sprintf("%d %s: ", s.count.steps, time.Now().Format("15:04:05.000")) + fmt.Sprintf(format, args...)
	s.trace.Write([]byte(line + "\n"))
	if len(s.lines) == kept {
		s.lines = s.lines[1:]
	}
	s.lines = append(s.lines, line)
}

// fatal ends the goroutine that broke an invariant, and with it the history.
func (s *btcSim) fatal(reason any, _ []byte) {
	text := fmt.Sprint(reason)
	s.broken.CompareAndSwap(nil, &text)
	runtime.Goexit()
}

// btcStep is something that may happen.
type btcStep struct {
	name   string
	weight int
	do     func(*btcSim) error
}

var btcStepList = []btcStep{
	{"fund", 3, (*btcSim).fund},
	{"buy", 8, (*btcSim).buy},
	{"pay", 14, (*btcSim).pay},
	{"replace", 4, (*btcSim).replace},
	{"sell", 8, (*btcSim).sell},
	{"mine", 16, (*btcSim).mine},
	{"reorganise", 4, (*btcSim).reorganise},
	{"evict", 1, (*btcSim).evict},
	{"down", 2, (*btcSim).turn},
	{"behind", 1, (*btcSim).fallBehind},
	{"wait", 10, (*btcSim).wait},
	{"complete", 1, (*btcSim).complete},
	{"fail", 2, (*btcSim).fail},
	{"confirm", 1, (*btcSim).confirm},
	{"lift", 1, (*btcSim).lift},
	{"refund", 2, (*btcSim).settleRefund},
	{"unassigned", 1, (*btcSim).settleUnassigned},
	{"adjust", 1, (*btcSim).adjust},
	{"status", 1, (*btcSim).setStatus},
	{"approve", 1, (*btcSim).approve},
	{"export", 8, (*btcSim).export},
	{"import", 7, (*btcSim).importPayout},
	{"cancel", 4, (*btcSim).cancelPayout},
	{"sign", 3, (*btcSim).sign},
	{"bump", 3, (*btcSim).bump},
	{"drop", 2, (*btcSim).drop},
	{"merge", 1, (*btcSim).merge},
	{"spend", 2, (*btcSim).spendElsewhere},
	{"broadcast", 4, (*btcSim).broadcast},
	{"restart", 3, (*btcSim).restart},
	{"crash", 2, (*btcSim).crash},
	{"cut", 4, (*btcSim).cutSoon},
	{"backup", 2, (*btcSim).backup},
	{"restore", 2, (*btcSim).restore},
	{"move", 1, (*btcSim).moveKey},
	{"snapshot", 1, (*btcSim).snapshot},
	{"reconcile", 1, (*btcSim).reconcile},
}

// leftOut reports whether a step, or other flags at a start, are not to be.
func leftOut(name string) bool { return strings.Contains(","+*btcWithout+",", ","+name+",") }

// btcChosen is btcStepList without what is left out.
var btcChosen = sync.OnceValues(func() (steps []btcStep, sum int) {
	for _, step := range btcStepList {
		if !leftOut(step.name) {
			steps, sum = append(steps, step), sum+step.weight
		}
	}
	return steps, sum
})

// step does one thing, lets it come to its end, and checks everything.
func (s *btcSim) step() error {
	steps, sum := btcChosen()
	roll := s.random.IntN(sum)
	for _, step := range steps {
		if roll -= step.weight; roll < 0 {
			if err := step.do(s); err != nil {
				return fmt.Errorf("%s: %w", step.name, err)
			}
			break
		}
	}
	if err := s.settle(); err != nil {
		return err
	}
	if s.random.IntN(3) == 0 {
		s.pause(time.Duration(1+s.random.IntN(4000)) * time.Millisecond)
		return s.settle()
	}
	return nil
}

// settle waits until nothing goes on but with time, notes what has been answered, starts
// again after a power cut, and checks what always holds.
func (s *btcSim) settle() error {
	synctest.Wait()
	s.collect()
	if reason := s.broken.Load(); reason != nil {
		return fmt.Errorf("broken invariant: %s", *reason)
	}
	if s.log.isOff() {
		if err := s.crash(); err != nil {
			return err
		}
		synctest.Wait()
	}
	s.takePapers()
	return s.checkAlways()
}

// btcCall is a call that takes its time.
type btcCall struct {
	what     string
	answered chan string
}

// launch begins a call of an operator.
func (s *btcSim) launch(what string, do func(ctx context.Context, x *actors.Exchange) string) {
	s.note("> %s", what)
	c := &btcCall{what: what, answered: make(chan string, 1)}
	s.calls = append(s.calls, c)
	ctx, x := s.ctx, s.x
	go func() { c.answered <- do(ctx, x) }()
}

// collect notes the answers that have come.
func (s *btcSim) collect() {
	open := s.calls[:0]
	for _, c := range s.calls {
		select {
		case answer := <-c.answered:
			s.note("%s: %s", c.what, answer)
		default:
			open = append(open, c)
		}
	}
	s.calls = open
}

// said is an error in few words that are the same each time.
func said(err error) string {
	switch code := codeOf(err); {
	case err == nil:
		return "done"
	case code != "":
		return string(code)
	case errors.Is(err, actors.ErrOutcomeUnknown):
		return "outcome unknown"
	case errors.Is(err, actors.ErrNodeDown):
		return "node down"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	}
	return err.Error()
}
