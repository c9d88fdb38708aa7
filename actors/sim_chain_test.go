package actors_test

import (
	"fmt"
	"sync"
	"time"

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
	stopped   chan struct{} // closed by Stop; made by Start
	reports   sync.WaitGroup
}

func (c *simChain) Start(actors.Resume, actors.Handle) { c.stopped = make(chan struct{}) }

func (c *simChain) Stop() {
	if c.stopped != nil { // it was started
		close(c.stopped)
	}
	c.reports.Wait()
}

func (c *simChain) NewAddress() (actors.Address, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addresses++
	return actors.Address{Text: simAddress(c.addresses)}, nil
}

func (c *simChain) GiveBack(actors.Address) {}

// KnownUntil is past every clock that the scheduler sets.
func (c *simChain) KnownUntil() time.Time { return time.Unix(1<<40, 0) }

func (c *simChain) Status() actors.ChainStatus { return actors.ChainStatus{} }

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

// sees confirms a payment, and returns when that has been dealt with: it tries until
// it is done, or the exchange closes.
func (c *simChain) sees(x *actors.Exchange, id account.TransactionID, txHash string) {
	c.reports.Add(1)
	defer c.reports.Done()
	for {
		if _, err := x.ConfirmPayment(id, txHash, "chain", nil); err == nil || codeOf(err) != "" {
			return
		}
		select {
		case <-c.stopped:
			return
		case <-time.After(time.Second):
		}
	}
}
