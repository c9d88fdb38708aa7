package actors

import "context"

// turns is a lock for whoever waits for the network while they have it. Unlike for a
// sync.Mutex, time that is simulated (testing/synctest) goes on while others wait for it.
type turns chan struct{}

func newTurns() turns { return make(turns, 1) }

// Lock waits for one's turn, or until ctx is done: whoever has it may wait for a node that
// does not answer, and nobody who stops waits for that. Once ctx is done, nobody gets it:
// that whoever had it ends at that moment too decides nothing.
func (t turns) Lock(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		if ctx.Err() == nil {
			return nil
		}
		t.Unlock()
	case <-ctx.Done():
	}
	return ctx.Err()
}

// Unlock ends it.
func (t turns) Unlock() { <-t }
