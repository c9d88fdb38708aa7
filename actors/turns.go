package actors

// turns is a lock for whoever waits for the network while they have it. Unlike for a
// sync.Mutex, time that is simulated (testing/synctest) goes on while others wait for it.
type turns chan struct{}

func newTurns() turns { return make(turns, 1) }

// Lock waits for one's turn.
func (t turns) Lock() { t <- struct{}{} }

// Unlock ends it.
func (t turns) Unlock() { <-t }
