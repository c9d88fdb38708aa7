package actors_test

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"hash"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/secondfactor"
	"github.com/aitbc/exchange/persistence"
)

var (
	simSeed      = flag.Uint64("seed", 0, "run the simulation's history of this seed alone; 0: many")
	simHistories = flag.Int("histories", 0, "how many histories the simulation runs; 0: for 20 seconds")
)

const (
	simSteps = 150 // of a history
	simUsers = 4
)

// sim is one history: an exchange on a simulated disk, with a simulated clock and
// Bitcoin side, and the model beside it. All that is random comes from the seed.
// Between two steps nothing runs; several commands may wait for the disk at once.
type sim struct {
	t       *testing.T
	random  *rand.Rand
	secrets *lockedRandom
	sealed  *secondfactor.Secrets // by the key of this history
	clock   atomic.Int64          // microseconds
	begun   time.Time
	keys    uint64
	count   simCount

	disk      *simDisk
	log       *simLog
	snapshots *simSnapshots
	chain     *simChain
	journal   *persistence.Journal
	x         *actors.Exchange
	passivate time.Duration
	idle      time.Duration          // of a session until it ends; 0: never
	broken    atomic.Pointer[string] // an invariant

	users  []*simUser
	claims map[string]*simUser // names
	calls  []*simCall          // sent and not answered
	taking *simTaking
	rotten uint64 // name of the snapshot that has rotted

	pending         []*simUser // whose records the journal was given and are not known to be durable, in order
	appended, acked int        // records of this life: given, and durable

	// As settle has found it.
	poisoned bool // an append has failed
	waiting  bool // an append waits
	held     bool // the next will
	stuck    bool // the committer waits in the middle of its completions
	usedNow  bool // a check of reads has been the use of a session

	trace hash.Hash
	lines []string // the last of the trace
}

type simCount struct {
	histories, steps, commands, answers, replays, unknown, overloads int
	crashes, restarts, faults, snapshots, compared, expired          int
	elevated, guarded                                                int
	uses, idled                                                      int
}

func (c *simCount) add(o simCount) {
	c.histories++
	c.steps += o.steps
	c.commands += o.commands
	c.answers += o.answers
	c.replays += o.replays
	c.unknown += o.unknown
	c.overloads += o.overloads
	c.crashes += o.crashes
	c.restarts += o.restarts
	c.faults += o.faults
	c.snapshots += o.snapshots
	c.compared += o.compared
	c.expired += o.expired
	c.elevated += o.elevated
	c.guarded += o.guarded
	c.uses += o.uses
	c.idled += o.idled
}

// lockedRandom hands out the exchange's random numbers.
type lockedRandom struct {
	mu     sync.Mutex
	source *rand.ChaCha8 // guarded by mu
}

func (r *lockedRandom) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.source.Read(p)
}

// TestSimulation runs random histories and holds each to the model after every
// step. A failure names the seed that repeats it.
func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		count, trace := simulate(t, *simSeed)
		t.Logf("seed %d: %+v, trace %s", *simSeed, count, trace)
		return
	}
	const fixed = 60 // seeds 1 to 60 first, which have everything in them
	fresh := uint64(time.Now().UnixNano())
	// Not to the test's log, which a panic in another goroutine would lose.
	fmt.Printf("simulation: seeds 1 to %d, and from %d on\n", fixed, fresh)
	start := time.Now()
	var all simCount
	for i := uint64(0); ; i++ {
		if n := *simHistories; (n > 0 && i == uint64(n)) || (n == 0 && time.Since(start) > 20*time.Second) || t.Failed() {
			break
		}
		seed := fresh + i
		if i < fixed {
			seed = i + 1
		}
		count, _ := simulate(t, seed)
		all.add(count)
	}
	took := time.Since(start)
	t.Logf("%d histories in %s, %.0f a second; %+v",
		all.histories, took.Round(time.Millisecond), float64(all.histories)/took.Seconds(), all)
	for what, n := range map[string]int{
		"crash": all.crashes, "restart": all.restarts, "fault": all.faults, "snapshot": all.snapshots, "comparison of starts": all.compared,
		"expired payment": all.expired, "use of a session": all.uses, "session that ended unused": all.idled, "replayed request": all.replays, "unknown outcome": all.unknown, "overload": all.overloads,
		"step-up": all.elevated, "command without its factor": all.guarded,
	} {
		if n == 0 && all.histories >= fixed && !t.Failed() {
			t.Errorf("there was no %s: the simulation is too weak", what)
		}
	}
}

// TestASeedRepeatsItsHistory on as many processors as there are, and on one.
func TestASeedRepeatsItsHistory(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		_, first := simulate(t, seed)
		processors := runtime.GOMAXPROCS(1)
		_, second := simulate(t, seed)
		runtime.GOMAXPROCS(processors)
		if first != second {
			t.Errorf("seed %d has two traces, %s and %s", seed, first, second)
		}
	}
}

// simulate runs the history of a seed, and returns what was in it and the hash of
// all that happened.
func simulate(t *testing.T, seed uint64) (count simCount, trace string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &sim{
			t: t, random: rand.New(rand.NewPCG(seed, 1)), begun: time.Now(), trace: sha256.New(),
			disk: newSimDisk(), chain: &simChain{},
		}
		var key [32]byte
		for i := range key {
			key[i] = byte(s.random.Uint32())
		}
		s.secrets = &lockedRandom{source: rand.NewChaCha8(key)}
		var err error
		if s.sealed, err = secondfactor.NewSecrets(key[:], s.secrets); err != nil {
			t.Fatal(err)
		}
		s.passivate = []time.Duration{-1, time.Second, 20 * time.Second}[s.random.IntN(3)]
		s.idle = []time.Duration{0, 90 * time.Minute, 8 * time.Hour}[s.random.IntN(3)]
		s.clock.Store(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
		for i := range simUsers {
			s.users = append(s.users, &simUser{wallet: fmt.Sprintf("wallet_%08d", i), states: []*simAccount{{}}})
		}
		err = s.start()
		for ; err == nil && s.count.steps < simSteps; s.count.steps++ {
			err = s.step()
			if reason := s.broken.Load(); reason != nil {
				err = fmt.Errorf("broken invariant: %s", *reason)
			}
		}
		if err == nil && !s.poisoned {
			err = s.restart()
		}
		if err != nil {
			for _, line := range s.lines {
				fmt.Println("   ", line)
			}
			fmt.Printf("simulation: step %d: %v\nrepeat it with: go test ./actors -run 'TestSimulation$' -seed=%d\n", s.count.steps, err, seed)
			t.Errorf("seed %d, step %d: %v", seed, s.count.steps, err)
		}
		s.end()
		count, trace = s.count, hex.EncodeToString(s.trace.Sum(nil)[:8])
	})
	return count, trace
}

func (s *sim) now() account.Time { return account.Time(s.clock.Load()) }

// elapsed is the time that timers go by.
func (s *sim) elapsed() time.Duration { return time.Since(s.begun) }

// note adds a line to the trace.
func (s *sim) note(format string, args ...any) {
	const kept = 60
	line := fmt.Sprintf("%d: ", s.count.steps) + fmt.Sprintf(format, args...)
	s.trace.Write([]byte(line + "\n"))
	if len(s.lines) == kept {
		s.lines = s.lines[1:]
	}
	s.lines = append(s.lines, line)
}

// fatal ends the goroutine that broke an invariant, and with it the history.
func (s *sim) fatal(reason any, _ []byte) {
	text := fmt.Sprint(reason)
	s.broken.CompareAndSwap(nil, &text)
	runtime.Goexit()
}
