package actors_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
)

// together runs do n times at once and waits for all.
func together(n int, do func(i int)) {
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			<-begin
			do(i)
		})
	}
	ready.Wait()
	close(begin)
	done.Wait()
}

func TestConcurrentFirstLoginsOfOneWalletMakeOneAccount(t *testing.T) {
	for _, n := range []int{10, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := start(t, &memoryLog{})
			ids := make([]account.UserID, n)
			tokens := make([]string, n)
			together(n, func(i int) {
				state, token, err := w.Login("aitbc1wallet_together")
				if err != nil {
					t.Error(err)
					return
				}
				ids[i], tokens[i] = state.ID, token
			})
			for i := range ids {
				if ids[i] != ids[0] {
					t.Fatalf("login %d is of user %s, login 0 of %s", i, ids[i], ids[0])
				}
			}
			if accounts := w.Stats().Accounts; accounts != 1 {
				t.Errorf("%d accounts", accounts)
			}
			live := 0
			for _, token := range tokens {
				if s, ok := w.Authenticate([]byte(token)); ok {
					live++
					if s.UserID() != ids[0] {
						t.Fatalf("a token is that of %s", s.UserID())
					}
				}
			}
			if want := min(n, account.MaxSessions); live != want {
				t.Errorf("%d of %d tokens are live, want %d", live, n, want)
			}
			state := w.state(ids[0])
			if state.Seq != uint64(n) || len(state.Sessions) != min(n, account.MaxSessions) {
				t.Errorf("%d records and %d sessions", state.Seq, len(state.Sessions))
			}
			if state.Email != "aitbc1wallet_together@aitbc.local" || state.Username != "user_together" {
				t.Errorf("the names are %s and %s", state.Email, state.Username)
			}
		})
	}
}

func TestConcurrentWithdrawalsOfTheWholeBalanceHaveOneSuccess(t *testing.T) {
	w := start(t, &memoryLog{})
	s := w.funded("aitbc1wallet_spender", 100*account.Unit)
	var accepted atomic.Int32
	together(10, func(int) {
		_, err := w.Withdraw(s, 100*account.Unit, "aitbc_elsewhere", nil)
		switch {
		case err == nil:
			accepted.Add(1)
		case codeOf(err) != account.CodeInsufficientFunds:
			t.Error(err)
		}
	})
	state := w.state(s.UserID())
	if accepted.Load() != 1 || state.Held != 100*account.Unit || state.Balance != 100*account.Unit || state.History.Last() != 2 {
		t.Errorf("%d withdrawals accepted, balance %s, held %s, %d transactions", accepted.Load(), state.Balance, state.Held, state.History.Last())
	}
}

func TestOneKeyUsedAtOnceMovesValueOnce(t *testing.T) {
	w := start(t, &memoryLog{})
	s, _ := w.login("aitbc1wallet_retries")
	idem := &account.Idempotency{Key: account.Key{1}, Fingerprint: account.Fingerprint{2}}
	var fresh atomic.Int32
	together(50, func(int) {
		receipt, err := w.Deposit(s, account.Unit, idem)
		if err != nil || receipt.N != 1 {
			t.Errorf("transaction %d: %v", receipt.N, err)
		}
		if !receipt.Replayed {
			fresh.Add(1)
		}
	})
	if balance := w.state(s.UserID()).Balance; fresh.Load() != 1 || balance != account.Unit {
		t.Errorf("%d requests were the first, the balance is %s", fresh.Load(), balance)
	}
}

func TestWalletsWithOneEndingGetNamesOfTheirOwn(t *testing.T) {
	w := start(t, &memoryLog{})
	const n = 200
	together(n, func(i int) {
		// One ending makes one username; one spelling but for case, one e-mail address.
		if _, _, err := w.Login(fmt.Sprintf("wallet%d_samesame", i)); err != nil {
			t.Error(err)
		}
		caseOnly := []byte("casewallet_aaaaaaaa")
		for bit := range 8 {
			if i>>bit&1 == 1 {
				caseOnly[bit] -= 'a' - 'A'
			}
		}
		if _, _, err := w.Login(string(caseOnly)); err != nil {
			t.Error(err)
		}
	})
	states, _, _ := w.Users(0, 10*n, 0)
	if len(states) != 2*n {
		t.Fatalf("%d users, want %d", len(states), 2*n)
	}
	names := map[string]account.UserID{}
	for _, state := range states {
		for _, name := range []string{strings.ToLower(state.Username), strings.ToLower(state.Email)} {
			if other, taken := names[name]; taken {
				t.Errorf("%s and %s are both called %s", other, state.ID, name)
			}
			names[name] = state.ID
		}
	}
	for _, want := range []string{"user_samesame", "user_samesame_2", "user_samesame_9", "casewallet_aaaaaaaa@aitbc.local", "casewallet_aaaaaaaa_2@aitbc.local"} {
		if _, ok := names[want]; !ok {
			t.Errorf("nobody is called %s", want)
		}
	}
}

func TestANameWantedByManyIsGivenToOne(t *testing.T) {
	w := start(t, &memoryLog{})
	const n = 20
	sessions := make([]*actors.Session, n)
	for i := range sessions {
		sessions[i], _ = w.login(fmt.Sprintf("aitbc1wallet_r%d", i))
	}
	for round := range 20 {
		wanted := fmt.Sprintf("Name-%d", round)
		winners := make([]bool, n)
		together(n, func(i int) {
			name := wanted
			if i%2 == 1 {
				name = strings.ToUpper(name) // names compare without regard to case
			}
			state, err := w.ChangeProfile(sessions[i], name+"@example.com", name)
			switch {
			case err == nil:
				winners[i] = state.Username == name
			case codeOf(err) != account.CodeTaken:
				t.Error(err)
			}
		})
		// Two who block each other's e-mail address and username may both lose, but
		// the names are then free again, and no two win.
		won := 0
		for _, is := range winners {
			if is {
				won++
			}
		}
		if won > 1 {
			t.Fatalf("round %d: %d users are called %s", round, won, wanted)
		}
		if won == 0 {
			if _, err := w.ChangeProfile(sessions[0], wanted+"@example.com", wanted); err != nil {
				t.Fatalf("round %d: nobody has the name, and it is not free: %v", round, err)
			}
		}
	}
}

func TestANameGivenUpIsFreeAndOneRefusedStays(t *testing.T) {
	w := start(t, &memoryLog{})
	alice, _ := w.login("aitbc1wallet_alice")
	bob, _ := w.login("aitbc1wallet_bobby")
	change := func(s *actors.Session, email, username string, want account.Code) {
		t.Helper()
		if _, err := w.ChangeProfile(s, email, username); codeOf(err) != want || (err != nil) != (want != "") {
			t.Errorf("change to %q, %q: %v, want %q", email, username, err, want)
		}
	}
	change(alice, "alice@example.com", "alice", "")
	change(bob, "", "ALICE", account.CodeTaken)
	change(bob, "Alice@Example.com", "bob", account.CodeTaken)
	if _, ok := w.FindUser("bob"); ok {
		t.Error("a refused change left its other name behind")
	}
	change(alice, "", "Alice", "") // one's own name in another case
	change(alice, "", "carol", "")
	change(bob, "", "alice", "")
	if found, ok := w.FindUser("ALICE"); !ok || found.ID != bob.UserID() {
		t.Error("the name did not go over")
	}
	if found, ok := w.FindUser("carol"); !ok || found.ID != alice.UserID() {
		t.Error("the new name finds nobody")
	}
}

func TestUsersSwapNamesWithoutLosingOne(t *testing.T) {
	w := start(t, &memoryLog{})
	const n = 8
	sessions := make([]*actors.Session, n)
	for i := range sessions {
		sessions[i], _ = w.login(fmt.Sprintf("aitbc1wallet_s%d", i))
	}
	together(n, func(i int) {
		for round := range 100 {
			_, err := w.ChangeProfile(sessions[i], "", fmt.Sprintf("shared-%d", (i*7+round)%5))
			if err != nil && codeOf(err) != account.CodeTaken {
				t.Error(err)
			}
		}
	})
	owners := map[string]account.UserID{}
	for _, s := range sessions {
		state := w.state(s.UserID())
		if other, taken := owners[state.Username]; taken {
			t.Fatalf("%s and %s are both called %s", other, state.ID, state.Username)
		}
		owners[state.Username] = state.ID
		if found, ok := w.FindUser(state.Username); !ok || found.ID != state.ID {
			t.Errorf("%s does not find its owner", state.Username)
		}
	}
	for i := range 5 { // every name is either somebody's or free
		name := fmt.Sprintf("shared-%d", i)
		if _, taken := owners[name]; taken {
			continue
		}
		if _, err := w.ChangeProfile(sessions[0], "", name); err != nil {
			t.Errorf("%s is nobody's and not free: %v", name, err)
		}
	}
}
