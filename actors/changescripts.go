package actors

import (
	"sync"

	"github.com/aitbc/exchange/actors/bitcoin"
)

// changeAhead is how many change addresses above the highest that was used are known for
// the exchange's own: those of payouts that a restored log has lost, and those that an
// operator's wallet chose itself.
const changeAhead = 1000

// changeScripts are the output scripts of the change chain, from index 0 on. Any
// goroutine may use them.
type changeScripts struct {
	keys *bitcoin.Keys // not written after BitcoinChain.Start

	mu    sync.Mutex
	index map[string]uint32 // guarded by mu: of each script
	next  uint32            // guarded by mu: the first index that is not in there
}

// upTo adds the scripts up to an index, and returns those that are new.
func (c *changeScripts) upTo(index uint32) (scripts [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; c.next <= index && c.next <= bitcoin.MaxIndex; c.next++ {
		address, err := c.keys.ChangeAddress(c.next)
		if err != nil {
			continue // one index in 2^127 has no key
		}
		if script, err := bitcoin.ScriptOf(address, c.keys.Network()); err == nil {
			c.index[string(script)] = c.next
			scripts = append(scripts, script)
		}
	}
	return scripts
}

func (c *changeScripts) indexOf(script []byte) (uint32, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	index, ok := c.index[string(script)]
	return index, ok
}
