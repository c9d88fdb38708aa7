package actors

import (
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"time"

	btcaddress "github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/aitbc/exchange/actors/account"
)

// SimulatedChain is the Chain of demo mode: every watched payment is paid and
// confirmed by itself after a while. It moves no Bitcoin.
type SimulatedChain struct {
	after         time.Duration
	confirmations uint32
	random        io.Reader
	report        func(Sighting)

	mu      sync.Mutex
	stopped bool                                  // guarded by mu
	timers  map[account.TransactionID]*time.Timer // guarded by mu
	running sync.WaitGroup                        // reports under way
}

// NewSimulatedChain confirms each payment the given time after it is watched.
// random is read from any goroutine.
func NewSimulatedChain(after time.Duration, confirmations uint32, random io.Reader) *SimulatedChain {
	return &SimulatedChain{
		after: after, confirmations: confirmations, random: random,
		timers: make(map[account.TransactionID]*time.Timer),
	}
}

// Start implements Chain.
func (s *SimulatedChain) Start(report func(Sighting)) { s.report = report }

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
func (s *SimulatedChain) NewAddress() (string, error) {
	var program [20]byte
	if _, err := io.ReadFull(s.random, program[:]); err != nil {
		return "", fmt.Errorf("random number for an address: %w", err)
	}
	address, err := btcaddress.NewAddressWitnessPubKeyHash(program[:], &chaincfg.RegressionNetParams)
	if err != nil {
		return "", fmt.Errorf("simulated address: %w", err)
	}
	return address.EncodeAddress(), nil
}

// CheckAddress implements Chain: an address of any network will do.
func (s *SimulatedChain) CheckAddress(address string) error {
	return CheckBitcoinAddress(address, &chaincfg.MainNetParams, &chaincfg.TestNet3Params, &chaincfg.RegressionNetParams)
}

// Watch implements Chain.
func (s *SimulatedChain) Watch(p WatchedPayment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, watched := s.timers[p.ID]; watched || s.stopped {
		return
	}
	s.timers[p.ID] = time.AfterFunc(s.after, func() { s.confirm(p.ID) })
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

func (s *SimulatedChain) confirm(id account.TransactionID) {
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
	var hash [32]byte
	if _, err := io.ReadFull(s.random, hash[:]); err != nil {
		panic(fmt.Sprintf("simulated chain: random number: %v", err)) // crypto/rand never fails
	}
	s.report(Sighting{ID: id, TxHash: hex.EncodeToString(hash[:]), Confirmations: s.confirmations})
}
