package actors_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
	"github.com/aitbc/exchange/actors/exchangetest"
	"github.com/aitbc/exchange/persistence"
)

func keysOf(t testing.TB, text string, network bitcoin.Network) *bitcoin.Keys {
	t.Helper()
	keys, err := bitcoin.ParseKeys(text, network)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func demo(said bool) *actors.IdentityConfig {
	return &actors.IdentityConfig{Mode: account.DemoMode, ModeSaid: said, Network: bitcoin.Mainnet}
}

func realWith(keys *bitcoin.Keys) *actors.IdentityConfig {
	asked := &actors.IdentityConfig{Mode: account.RealMode, Network: bitcoin.Regtest, Keys: keys}
	if keys != nil {
		asked.Network = keys.Network()
	}
	return asked
}

func withIdentity(asked *actors.IdentityConfig) func(*setup) {
	return func(s *setup) { s.actors.Identity = asked }
}

// startedAs tries a start with asked, and stops again.
func startedAs(t *testing.T, log *memoryLog, asked *actors.IdentityConfig) (*account.Identity, error) {
	t.Helper()
	journal, err := persistence.Open(persistence.Config{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	x := actors.New(actors.Config{Journal: journal, Terms: actors.DefaultTerms(), Random: rand.Reader, Identity: asked})
	err = x.Recover(context.Background(), func(actors.Progress) {})
	is := x.Identity()
	x.Close()
	if closed := journal.Close(); closed != nil {
		t.Error(closed)
	}
	return is, err
}

func TestEveryStartIsAsWhatTheFirstOneWas(t *testing.T) {
	first, second := keysOf(t, bitcointest.AccountKey, bitcoin.Regtest), keysOf(t, bitcointest.SecondAccountKey, bitcoin.Regtest)
	elsewhere := keysOf(t, bitcointest.AccountKey, bitcoin.Signet)
	spelt := keysOf(t, "[73c5da0a/84h/0h/0h]"+bitcointest.AccountKey, bitcoin.Regtest)
	type attempt struct {
		asked *actors.IdentityConfig
		part  actors.IdentityPart // refused for; "" if it is not
	}
	for name, attempts := range map[string][]attempt{
		"demo": {{demo(false), ""}, {realWith(nil), actors.IdentityMode}, {realWith(first), actors.IdentityMode}, {demo(false), ""}},
		"a real one without a node": {
			{realWith(nil), ""}, {demo(false), actors.IdentityMode}, {demo(true), actors.IdentityMode}, {realWith(nil), ""},
			{realWith(first), ""}, {realWith(second), actors.IdentityKey}, // the first that it gets is kept
		},
		"a real one": {
			{realWith(first), ""}, {demo(false), actors.IdentityMode}, {realWith(second), actors.IdentityKey}, {realWith(elsewhere), actors.IdentityNetwork},
			{realWith(nil), ""}, {&actors.IdentityConfig{Mode: account.RealMode, Network: bitcoin.Mainnet}, actors.IdentityNetwork}, {realWith(spelt), ""}, {realWith(first), ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := &memoryLog{}
			for i, a := range attempts {
				frames := len(log.frames)
				is, err := startedAs(t, log, a.asked)
				var other *actors.OtherIdentity
				switch {
				case a.part == "" && (err != nil || is == nil || is.Mode != a.asked.Mode):
					t.Fatalf("start %d: %+v, %v", i, is, err)
				case a.part != "" && (!errors.As(err, &other) || other.Part != a.part || other.Is == other.Asked):
					t.Fatalf("start %d: %v, want a refusal for the %s", i, err, a.part)
				case a.part != "" && len(log.frames) != frames:
					t.Errorf("start %d was refused, and wrote", i)
				}
			}
		})
	}
}

func TestTheAccountsOfAnEarlierVersionSayWhatTheyAre(t *testing.T) {
	first, second := keysOf(t, bitcointest.AccountKey, bitcoin.Regtest), keysOf(t, bitcointest.SecondAccountKey, bitcoin.Regtest)
	logs := map[string]func(t *testing.T, log *memoryLog){
		"derived": func(t *testing.T, log *memoryLog) { // by the key
			w := start(t, log, withChain(&derivedChain{keys: first}))
			s, _ := w.login("aitbc1wallet_payer")
			w.buy(s, 1000*account.Unit)
			w.buy(s, 1000*account.Unit)
			w.stop()
		},
		"simulated": func(t *testing.T, log *memoryLog) {
			w := start(t, log, withChain(actors.NewSimulatedChain(time.Hour, 1, rand.Reader)))
			s, _ := w.login("aitbc1wallet_player")
			w.buy(s, 1000*account.Unit)
			w.stop()
		},
		"faucet": func(t *testing.T, log *memoryLog) {
			w := start(t, log)
			w.funded("aitbc1wallet_lucky", 5*account.Unit)
			w.stop()
		},
		"operator": func(t *testing.T, log *memoryLog) { // which both modes have
			w := start(t, log)
			s, _ := w.login("aitbc1wallet_client")
			if _, err := w.OperatorDeposit(s.UserID(), 5*account.Unit, "olga", nil); err != nil {
				t.Fatal(err)
			}
			w.stop()
		},
	}
	for _, c := range []struct {
		log   string
		asked *actors.IdentityConfig
		part  actors.IdentityPart
	}{
		{"derived", realWith(first), ""}, {"derived", realWith(nil), ""}, {"derived", demo(true), actors.IdentityMode}, {"derived", realWith(second), actors.IdentityAddress},
		{"derived", realWith(keysOf(t, bitcointest.AccountKey, bitcoin.Signet)), actors.IdentityAddress},
		{"simulated", demo(false), ""}, {"simulated", realWith(first), actors.IdentityMode},
		{"faucet", demo(false), ""}, {"faucet", realWith(nil), actors.IdentityMode},
		{"operator", demo(false), actors.IdentityUnsaid}, {"operator", demo(true), ""}, {"operator", realWith(nil), ""},
		{"derived simulated faucet", realWith(first), ""}, {"faucet derived", demo(true), actors.IdentityMode},
	} {
		log := &memoryLog{}
		for _, part := range strings.Fields(c.log) {
			logs[part](t, log)
		}
		is, err := startedAs(t, log, c.asked)
		var other *actors.OtherIdentity
		switch {
		case c.part == "" && (err != nil || is.Mode != c.asked.Mode || (c.asked.Keys != nil && is.Key().Fingerprint != c.asked.Keys.Fingerprint())):
			t.Errorf("%s started as %s: %+v, %v", c.log, c.asked.Mode, is, err)
		case c.part != "" && (!errors.As(err, &other) || other.Part != c.part):
			t.Errorf("%s started as %s: %v, want a refusal for the %s", c.log, c.asked.Mode, err, c.part)
		}
	}
}

func TestARealOneThatWasADemoOnceIsTold(t *testing.T) {
	log, lines := &memoryLog{}, &exchangetest.Buffer{}
	w := start(t, log, withChain(&derivedChain{keys: keysOf(t, bitcointest.AccountKey, bitcoin.Regtest)}))
	s, _ := w.login("aitbc1wallet_payer")
	w.buy(s, 1000*account.Unit)
	if _, err := w.Deposit(s, 7*account.Unit, nil); err != nil {
		t.Fatal(err)
	}
	w.stop()
	for _, want := range []int{1, 1} { // once
		w = start(t, log, withIdentity(realWith(nil)), func(s *setup) { s.actors.Faucet, s.actors.Logger = false, slog.New(slog.NewTextHandler(lines, nil)) })
		w.stop()
		if got := strings.Count(lines.String(), "ALERT"); got != want || !strings.Contains(lines.String(), "aitbc=7") {
			t.Errorf("%d alerts, want %d:\n%s", got, want, lines)
		}
	}
}

// derivedChain is a quietChain whose addresses are those of keys.
type derivedChain struct {
	quietChain
	keys *bitcoin.Keys
}

func (c *derivedChain) NewAddress() (actors.Address, error) {
	a, _ := c.quietChain.NewAddress()
	var err error
	a.Text, err = c.keys.Address(a.Index)
	return a, err
}

func TestNoChainCreditsWhatIsOnTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := &memoryLog{}, bitcoin.Output{Out: wire.OutPoint{Hash: [32]byte{7}}, BTC: 1_005_000}
		chain := &quietChain{}
		w := start(t, log, withChain(chain))
		s, token := w.login("aitbc1wallet_payer")
		unseen, seen := w.buy(s, 1000*account.Unit), w.buy(s, 1000*account.Unit)
		address := w.transaction(seen)
		out.Address = address.Detail.To
		chain.tell(t, &bitcoin.Seen{Output: out})
		w.stop()

		w = start(t, log, withChain(actors.NewSimulatedChain(time.Second, 1, rand.Reader)))
		s = w.session(token)
		simulated := w.buy(s, 1000*account.Unit)
		if _, err := w.ConfirmPayment(unseen, "", "", nil); codeOf(err) != account.CodeNotPending {
			t.Errorf("a real payment was confirmed by its payer: %v", err)
		}
		time.Sleep(2 * time.Hour) // the quotes are over too
		synctest.Wait()
		for _, id := range []account.TransactionID{unseen, seen} {
			if p := w.transaction(id); p.Status != account.Pending {
				t.Errorf("the simulation made a real payment %s", p.Status)
			}
		}
		if p := w.transaction(simulated); p.Status != account.Completed {
			t.Errorf("a simulated payment is %s", p.Status)
		}
		last := w.buy(s, 1000*account.Unit)
		to := w.transaction(last).Detail.To
		w.stop()

		chain = &quietChain{}
		w = start(t, log, withChain(chain))
		if _, watched := chain.watches(last); watched || len(chain.resume.Addresses) != 2 || chain.resume.NextIndex != 2 {
			t.Errorf("the real chain goes on from %+v, and watches a simulated payment: %t", chain.resume, watched)
		}
		chain.tell(t, &bitcoin.InBlock{
			Output: bitcoin.Output{Out: wire.OutPoint{Hash: [32]byte{8}}, BTC: 1_005_000, Address: to}, Block: bitcoin.Ref{Height: 5, Hash: [32]byte{5}}, Time: time.Now(),
		}, &bitcoin.Tip{Block: bitcoin.Ref{Height: 5, Hash: [32]byte{5}}, Time: time.Now()})
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if p := w.transaction(last); p.Status != account.Failed {
			t.Errorf("a simulated payment is %s in the real exchange", p.Status)
		}
		if p := w.transaction(seen); p.Status != account.Pending { // what was seen is waited for
			t.Errorf("a payment that is on its way is %s", p.Status)
		}
		w.stop()

		// Without a chain nothing that may have been paid ends either.
		w = start(t, log)
		time.Sleep(time.Hour)
		synctest.Wait()
		if p := w.transaction(seen); p.Status != account.Pending {
			t.Errorf("without a chain a payment is %s", p.Status)
		}
		w.stop()
	})
}

func TestAKeyBeginsAboveEveryIndexThatWasGivenOut(t *testing.T) {
	first, second := keysOf(t, bitcointest.AccountKey, bitcoin.Regtest), keysOf(t, bitcointest.SecondAccountKey, bitcoin.Regtest)
	for _, c := range []struct{ asked, want uint32 }{{0, 3}, {2, 3}, {3, 3}, {50, 50}} {
		log := &memoryLog{}
		w := start(t, log, withChain(&derivedChain{keys: first}), withIdentity(realWith(first)))
		s, _ := w.login("aitbc1wallet_payer")
		for range 3 {
			w.buy(s, 1000*account.Unit)
		}
		w.stop()

		journal, err := persistence.Open(persistence.Config{Log: log})
		if err != nil {
			t.Fatal(err)
		}
		x := actors.New(actors.Config{Journal: journal, Terms: actors.DefaultTerms(), Random: rand.Reader})
		if err := x.RecoverStopped(t.Context()); err != nil {
			t.Fatal(err)
		}
		moved, err := x.MoveKey(second, c.asked, "olga")
		if err != nil || moved.External != c.want || moved.Change != 1 || moved.By != "olga" {
			t.Errorf("from %d on: %+v, %v, want %d", c.asked, moved, err, c.want)
		}
		if again, err := x.MoveKey(second, c.asked, "olga"); err == nil {
			t.Errorf("a second move to it: %+v", again)
		}
		x.Close()
		if err := journal.Close(); err != nil {
			t.Error(err)
		}

		chain := &quietChain{}
		w = start(t, log, withChain(chain), withIdentity(realWith(second)))
		if chain.resume.NextIndex != c.want {
			t.Errorf("the next address is %d, want %d", chain.resume.NextIndex, c.want)
		}
		for _, index := range []uint32{0, c.want - 1, c.want} {
			want := first
			if index == c.want {
				want = second
			}
			got, err := chain.resume.Keys.Address(index)
			if address, wrong := want.Address(index); err != nil || wrong != nil || got != address {
				t.Errorf("address %d is %s, %v, want %s", index, got, err, address)
			}
		}
		w.stop()
	}
}

// payingChain is a derivedChain that pays out, and says when it was started.
type payingChain struct {
	derivedChain
	started chan struct{}
}

func (c *payingChain) Start(resume actors.Resume, handle actors.Handle) {
	c.derivedChain.Start(resume, handle)
	close(c.started)
}
func (c *payingChain) Keys() *bitcoin.Keys                { return c.keys }
func (c *payingChain) Node() *bitcoin.Node                { return nil } // it is never followed to its end
func (c *payingChain) WatchCoins([]wire.OutPoint, uint32) {}
func (c *payingChain) ChangeIndex([]byte) (uint32, bool)  { return 0, false }

// A backup may be of before a move to another key, and more may have been given out than
// its restore has skipped: then its indexes were given out under either key.
func TestWhatAMoveToAnotherKeySkipsIsWatchedUnderBothKeys(t *testing.T) {
	first, second := keysOf(t, bitcointest.AccountKey, bitcoin.Regtest), keysOf(t, bitcointest.SecondAccountKey, bitcoin.Regtest)
	log := &memoryLog{}
	w := start(t, log, withChain(&derivedChain{keys: first}), withIdentity(realWith(first)))
	s, _ := w.login("aitbc1wallet_payer")
	for range 3 {
		w.buy(s, 1000*account.Unit)
	}
	w.stop()
	journal, err := persistence.Open(persistence.Config{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	x := actors.New(actors.Config{Journal: journal, Terms: actors.DefaultTerms(), Random: rand.Reader})
	if err := x.RecoverStopped(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := x.MoveKey(second, 50, "olga"); err != nil {
		t.Fatal(err)
	}
	x.Close()
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}

	chain := &payingChain{derivedChain: derivedChain{keys: second}, started: make(chan struct{})}
	w = start(t, log, withChain(chain), withIdentity(realWith(second)))
	<-chain.started
	if next := chain.resume.NextIndex; next != 50 {
		t.Errorf("the next address is %d", next)
	}
	for n, keys := range []*bitcoin.Keys{first, second} {
		for _, index := range []uint32{3, 49} {
			address, err := keys.Address(index)
			if err != nil || !slices.Contains(chain.resume.Addresses, address) {
				t.Errorf("address %d of key %d, %s, is not watched: %v", index, n+1, address, err)
			}
			block := bitcoin.Ref{Height: 5, Hash: [32]byte{5}}
			out := bitcoin.Output{Out: wire.OutPoint{Hash: [32]byte{byte(n), byte(index)}}, BTC: 1_005_000, Address: address}
			chain.tell(t, &bitcoin.InBlock{Output: out, Block: block, Time: time.Now()}, &bitcoin.Tip{Block: block, Time: time.Now()})
		}
		if address, err := keys.Address(50); err != nil || slices.Contains(chain.resume.Addresses, address) {
			t.Errorf("address 50 of key %d is watched before it is given out: %v", n+1, err)
		}
	}
	if outputs, total, _ := w.UnassignedOutputs(false, 0, 10); total != 4 || outputs[3].Index != 49 {
		t.Errorf("%d outputs wait for an operator: %+v", total, outputs)
	}
}

// Whoever is refused a payment gives its index back, and the next one gets it: it may be
// given out after a backup that has higher ones.
func TestAnIndexThatWasGivenBackBeforeABackupIsWatchedAfterARestore(t *testing.T) {
	keys := keysOf(t, bitcointest.AccountKey, bitcoin.Regtest)
	log := &memoryLog{}
	giving := &derivedChain{keys: keys}
	w := start(t, log, withChain(giving), withIdentity(realWith(keys)))
	s, _ := w.login("aitbc1wallet_payer")
	w.buy(s, 1000*account.Unit)
	giving.next++ // index 1 was given back
	w.buy(s, 1000*account.Unit)
	w.stop()

	chain := &payingChain{derivedChain: derivedChain{keys: keys}, started: make(chan struct{})}
	w = start(t, &memoryLog{frames: log.frames}, withChain(chain), withIdentity(realWith(keys)),
		func(s *setup) { s.actors.Copy = &actors.Copy{ID: account.CopyID{1}, Taken: time.Now()} })
	<-chain.started
	for index := range uint32(3) {
		address, err := keys.Address(index)
		if err != nil || !slices.Contains(chain.resume.Addresses, address) {
			t.Errorf("address %d is not watched: %v", index, err)
		}
		block := bitcoin.Ref{Height: 5 + int32(index), Hash: [32]byte{5, byte(index)}}
		out := bitcoin.Output{Out: wire.OutPoint{Hash: [32]byte{9, byte(index)}}, BTC: 1_005_000, Address: address}
		chain.tell(t, &bitcoin.InBlock{Output: out, Block: block, Time: time.Now()}, &bitcoin.Tip{Block: block, Time: time.Now()})
	}
	if outputs, total, _ := w.UnassignedOutputs(false, 0, 10); total != 1 || outputs[0].Index != 1 {
		t.Errorf("%d outputs wait for an operator, not the one of index 1 alone: %+v", total, outputs)
	}
	if balance := w.state(s.UserID()).Balance; balance != 2000*account.Unit {
		t.Errorf("the payments of the log brought %s AITBC", balance)
	}
}
