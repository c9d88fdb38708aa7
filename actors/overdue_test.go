package actors_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/persistence"
)

// slowLog takes for its appends a little less or more than a request waits.
type slowLog struct {
	*memoryLog
	slow    time.Duration // in the mean
	appends int           // the committer's
}

func (l *slowLog) Append(seq uint64, frame []byte) error {
	l.appends++
	time.Sleep(l.slow * time.Duration(3+l.appends%5) / 5)
	return l.memoryLog.Append(seq, frame)
}

// Whoever gives up at the moment of the outcome has either that or an unknown one, and
// never another's: what was acknowledged is there, and what may be there was asked for.
func TestRequestsGiveUpWhileOutcomesCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 2 * time.Millisecond
		log := &slowLog{memoryLog: &memoryLog{}, slow: timeout}
		w := start(t, log.memoryLog, func(s *setup) {
			s.actors.CommandTimeout = timeout
			s.journal = persistence.Config{Log: log}
		})
		var acknowledged, unknown atomic.Int64
		together(16, func(i int) {
			var s actors.Session
			for login := true; login; {
				switch _, token, err := w.Login(fmt.Sprintf("aitbc1wallet_hasty%d", i%4)); {
				case err == nil:
					s, _ = w.Authenticate([]byte(token))
					login = false
				case !errors.Is(err, actors.ErrOutcomeUnknown):
					t.Error(err)
					return
				}
			}
			for n := range 100 {
				amount := account.Money(1 + i*1000 + n)
				receipt, err := w.Deposit(&s, amount, nil)
				switch {
				case err == nil:
					acknowledged.Add(int64(amount))
					if made, _ := receipt.State.History.At(receipt.N); made.Amount != amount || receipt.State.ID != s.UserID() {
						t.Errorf("a deposit of %s was answered with %+v of %s", amount, made, receipt.State.ID)
					}
				case errors.Is(err, actors.ErrOutcomeUnknown):
					unknown.Add(int64(amount))
				default:
					t.Error(err)
				}
			}
		})
		w.stop()
		if acknowledged.Load() == 0 || unknown.Load() == 0 {
			t.Fatalf("%d was acknowledged and %d unknown: nothing was tried", acknowledged.Load(), unknown.Load())
		}
		var balance account.Money
		states, _, _ := w.Users(0, 10, 0)
		for _, state := range states {
			balance += state.Balance
		}
		if int64(balance) != acknowledged.Load()+unknown.Load() {
			t.Errorf("the balances are %d, of %d acknowledged and %d unknown", balance, acknowledged.Load(), unknown.Load())
		}
	})
}

// A change of a profile has its outcome although nobody waits for it any more, and what
// waits for as long as it takes has its own after that.
func TestWhatComesAfterCommandsThatWereGivenUpIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &memoryLog{}
		w := start(t, log, withChain(&quietChain{}), func(s *setup) { s.actors.CommandTimeout = time.Second })
		const users = 32
		sessions := make([]*actors.Session, users)
		payments := make([]account.TransactionID, users)
		for i := range users {
			sessions[i], _ = w.login(fmt.Sprintf("aitbc1wallet_late%d", i))
			payments[i] = w.buy(sessions[i], 1000*account.Unit)
		}
		release := log.hold()
		together(users, func(i int) {
			if _, err := w.ChangeProfile(sessions[i], "", fmt.Sprintf("late_%d", i)); !errors.Is(err, actors.ErrOutcomeUnknown) {
				t.Error(err)
			}
		})
		release()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		for _, id := range payments {
			if got := w.transaction(id).Status; got != account.Failed {
				t.Fatalf("after its time a payment is %s", got)
			}
		}
	})
}
