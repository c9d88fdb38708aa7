package actors_test

import (
	"fmt"
	"sync"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
)

// simChain is the Bitcoin side: it sees a payment when the scheduler says so.
// Watch and Unwatch come from the journal's committer in the middle of a batch's
// completions, so that holding one up there lets the scheduler act between the
// moment a frame is durable and the moment all of it is published.
type simChain struct {
	mu        sync.Mutex
	addresses int  // guarded by mu, as all below
	arm       bool // the next call waits
	waiting   chan struct{}
	report    func(actors.Sighting)
	reports   sync.WaitGroup
}

func (c *simChain) Start(report func(actors.Sighting)) { c.report = report }

func (c *simChain) Stop() { c.reports.Wait() }

func (c *simChain) NewAddress() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addresses++
	return simAddress(c.addresses), nil
}

func simAddress(n int) string { return fmt.Sprintf("simulated-%d", n) }

// given is how many addresses were given out.
func (c *simChain) given() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addresses
}

func (c *simChain) CheckAddress(address string) error {
	if address == badAddress {
		return errBadAddress
	}
	return nil
}

func (c *simChain) Watch(actors.WatchedPayment) { c.pause() }

func (c *simChain) Unwatch(account.TransactionID) { c.pause() }

func (c *simChain) pause() {
	c.mu.Lock()
	if !c.arm {
		c.mu.Unlock()
		return
	}
	c.arm = false
	wait := make(chan struct{})
	c.waiting = wait
	c.mu.Unlock()
	<-wait
}

// hold makes the next call wait.
func (c *simChain) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arm = true
}

// holds reports whether the next call waits.
func (c *simChain) holds() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.arm
}

// release lets go on what waits, and nothing wait any more.
func (c *simChain) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arm = false
	if c.waiting != nil {
		close(c.waiting)
		c.waiting = nil
	}
}

// stuck reports whether the committer waits here.
func (c *simChain) stuck() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting != nil
}

// sees reports a payment as paid, and returns when that has been dealt with.
func (c *simChain) sees(s actors.Sighting) {
	c.reports.Add(1)
	defer c.reports.Done()
	c.report(s)
}
