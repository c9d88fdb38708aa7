package actors

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"sync"
	"time"

	btcaddress "github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// SimulatedChain is the Chain of demo mode: every watched payment is seen by itself
// after half a while, and confirmed at its end. It moves no Bitcoin.
type SimulatedChain struct {
	after         time.Duration
	confirmations int32
	random        io.Reader
	handle        Handle
	outputs       map[string]bitcoin.Output // by address: those that the mempool had before the start

	delivering sync.Mutex // one call of handle at a time
	tip        int32      // guarded by delivering

	mu      sync.Mutex
	stopped bool                                  // guarded by mu
	timers  map[account.TransactionID]*time.Timer // guarded by mu
	running sync.WaitGroup                        // reports under way
}

// NewSimulatedChain confirms each payment the given time after it is watched.
// random is read from any goroutine.
func NewSimulatedChain(after time.Duration, confirmations uint32, random io.Reader) *SimulatedChain {
	return &SimulatedChain{
		after: after, confirmations: int32(confirmations), random: random,
		outputs: make(map[string]bitcoin.Output),
		timers:  make(map[account.TransactionID]*time.Timer),
	}
}

// Start implements Chain. Its blocks go on above those that are known.
func (s *SimulatedChain) Start(resume Resume, handle Handle) {
	s.handle = handle
	for _, o := range resume.Outputs {
		s.tip = max(s.tip, o.Block.Height+s.confirmations-1)
		if o.Block == (bitcoin.Ref{}) {
			s.outputs[o.Address] = o.Output
		}
	}
}

// Stop implements Chain.
func (s *SimulatedChain) Stop() {
	s.mu.Lock()
	s.stopped = true
	for _, timer := range s.timers {
		timer.Stop()
	}
	clear(s.timers)
	s.mu.Unlock()
	s.running.Wait()
}

// NewAddress implements Chain: a valid address of the regression-test network,
// which no wallet will pay to by mistake.
func (s *SimulatedChain) NewAddress() (Address, error) {
	var program [20]byte
	if _, err := io.ReadFull(s.random, program[:]); err != nil {
		return Address{}, fmt.Errorf("random number for an address: %w", err)
	}
	address, err := btcaddress.NewAddressWitnessPubKeyHash(program[:], &chaincfg.RegressionNetParams)
	if err != nil {
		return Address{}, fmt.Errorf("simulated address: %w", err)
	}
	return Address{Text: address.EncodeAddress()}, nil
}

// GiveBack implements Chain.
func (s *SimulatedChain) GiveBack(Address) {}

// CheckAddress implements Chain: an address of any network will do.
func (s *SimulatedChain) CheckAddress(address string) error {
	return CheckBitcoinAddress(address, &chaincfg.MainNetParams, &chaincfg.TestNet3Params, &chaincfg.RegressionNetParams)
}

// KnownUntil implements Chain: nothing happens here unseen.
func (s *SimulatedChain) KnownUntil() time.Time { return time.Now() }

// Status implements Chain.
func (s *SimulatedChain) Status() ChainStatus {
	return ChainStatus{Status: bitcoin.Status{State: bitcoin.Following, Synced: time.Now()}}
}

// Watch implements Chain.
func (s *SimulatedChain) Watch(p WatchedPayment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, watched := s.timers[p.ID]; watched || s.stopped {
		return
	}
	s.timers[p.ID] = time.AfterFunc(s.after/2, func() { s.see(p) })
}

// Unwatch implements Chain.
func (s *SimulatedChain) Unwatch(id account.TransactionID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if timer, ok := s.timers[id]; ok {
		timer.Stop()
		delete(s.timers, id)
	}
}

// see pays for p, unless that was done before the start.
func (s *SimulatedChain) see(p WatchedPayment) {
	output, known := s.outputs[p.Address]
	if !known {
		output = bitcoin.Output{Out: wire.OutPoint{Hash: s.hash()}, BTC: p.BTC, Address: p.Address}
	}
	s.deliver(p.ID, func() []bitcoin.Fact { return []bitcoin.Fact{&bitcoin.Seen{Output: output}} })
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, watched := s.timers[p.ID]; watched {
		s.timers[p.ID] = time.AfterFunc(s.after-s.after/2, func() { s.confirm(p.ID, output) })
	}
}

// confirm makes a block with the output in it, and as many more as it takes.
func (s *SimulatedChain) confirm(id account.TransactionID, output bitcoin.Output) {
	s.deliver(id, func() []bitcoin.Fact {
		var facts []bitcoin.Fact
		for range s.confirmations {
			s.tip++
			block := bitcoin.Ref{Height: s.tip, Hash: s.hash()}
			if len(facts) == 0 {
				facts = append(facts, &bitcoin.InBlock{Output: output, Block: block, Time: time.Now()})
			}
			facts = append(facts, &bitcoin.Tip{Block: block, Time: time.Now()})
		}
		return facts
	})
}

// deliver gives facts about a payment to handle, if it is still watched.
func (s *SimulatedChain) deliver(id account.TransactionID, facts func() []bitcoin.Fact) {
	s.mu.Lock()
	_, watched := s.timers[id]
	if watched {
		s.running.Add(1)
	}
	s.mu.Unlock()
	if !watched {
		return
	}
	defer s.running.Done()
	s.delivering.Lock()
	defer s.delivering.Unlock()
	_ = s.handle(context.Background(), facts(), false) // fails only where the exchange is closing
}

// hash returns a random one.
func (s *SimulatedChain) hash() (hash chainhash.Hash) {
	var random [32]byte
	if _, err := io.ReadFull(s.random, random[:]); err != nil {
		panic(fmt.Sprintf("simulated chain: random number: %v", err)) // crypto/rand never fails
	}
	return sha256.Sum256(random[:])
}
