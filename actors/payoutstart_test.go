package actors_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
	"github.com/aitbc/exchange/persistence"
)

// slowChain is a chain whose start takes until it is released, as that on a copy does
// with many addresses to derive.
type slowChain struct {
	*actors.BitcoinChain
	release chan struct{}
}

func (c slowChain) Start(resume actors.Resume, handle actors.Handle) {
	<-c.release
	c.BitcoinChain.Start(resume, handle)
}

// heldWire holds the answers to gettxout back while it is told to.
type heldWire struct {
	*bitcointest.MemoryNode
	hold    atomic.Bool
	release chan struct{}
}

func (w *heldWire) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.hold.Load() {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(body, []byte("gettxout")) {
			<-w.release
		}
	}
	return w.MemoryNode.RoundTrip(r)
}

// payoutStory runs story with an exchange that has some coins and one sale, on a chain of
// simulated time.
func payoutStory(t *testing.T, story func(s *btcSim, sale account.TransactionID)) {
	t.Helper()
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("only-for-tests"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := &btcSim{
			t: t, seed: 1, random: rand.New(rand.NewPCG(1, 2)), password: password, trace: sha256.New(),
			node: btcGenesis().Clone(), payer: bitcointest.NewMemoryWallet("payer"),
			final: map[chainhash.Hash]bool{}, tainted: map[string]bool{}, lifted: map[account.TransactionID]bool{}, answered: map[account.TransactionID][]account.Outpoint{},
			disk: newSimDisk(), addresses: map[string]string{}, users: []*btcUser{{wallet: "wallet_00000000"}, {wallet: "wallet_00000001"}},
			secrets: &lockedRandom{source: rand.NewChaCha8(sha256.Sum256([]byte("a story")))},
		}
		s.base = s.node.Tip().Height
		if err := s.begin(); err != nil {
			t.Fatal(err)
		}
		s.pause(30 * time.Second)
		receipt, err := s.x.Sell(s.session(s.users[0]), 300*account.Unit, bitcointest.NewMemoryWallet("seller").Address, nil)
		if err != nil {
			t.Fatal(err)
		}
		story(s, receipt.ID())
		s.end()
	})
}

// exported makes a payout, and returns its number.
func (s *btcSim) exported() uint32 {
	s.t.Helper()
	view, _, err := s.x.ExportPayout(s.ctx, 2, "olga")
	if err != nil {
		s.t.Fatal(err)
	}
	return view.Number
}

func TestAReplacementIsNotJudgedBeforeTheChainOfACopyHasStarted(t *testing.T) {
	payoutStory(t, func(s *btcSim, sale account.TransactionID) {
		number := s.exported()
		s.takePapers()
		packet := parsePacket(s.papers[0].text)
		packet.UnsignedTx.TxOut[len(packet.UnsignedTx.TxOut)-1].Value -= 3000
		signed := s.signPacket(s.papers[0], packet)
		life := *s.life()
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		s.openOn(life, func(chain *actors.BitcoinChain) actors.Chain { return slowChain{chain, release} }, s.node, &actors.Copy{ID: account.CopyID{1}, Taken: time.Now()})
		if _, _, err := s.x.SignPayout(s.ctx, number, signed.signed, "olga"); !errors.Is(err, actors.ErrChainBehind) {
			t.Errorf("before the start of the chain: %v", err)
		}
		if _, err := s.x.CancelPayout(s.ctx, number, account.ChainHash{1}, "olga", "r"); !errors.Is(err, actors.ErrChainBehind) {
			t.Errorf("before the start of the chain: %v", err)
		}
		close(release)
		if _, sendErr, err := s.x.SignPayout(s.ctx, number, signed.signed, "olga"); err != nil || sendErr != nil {
			t.Errorf("once it has started: %v, %v", err, sendErr)
		}
	})
}

func TestNobodyWaitsForANodeThatDoesNotAnswerAnExport(t *testing.T) {
	payoutStory(t, func(s *btcSim, sale account.TransactionID) {
		life := *s.life()
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		wire := &heldWire{MemoryNode: s.node, release: make(chan struct{})}
		s.openOn(life, func(chain *actors.BitcoinChain) actors.Chain { return chain }, wire, nil)
		s.pause(time.Minute)
		wire.hold.Store(true)
		go func() { _, _, _ = s.x.ExportPayout(context.Background(), 2, "olga") }()
		synctest.Wait()
		s.mineBlock(nil)
		time.Sleep(10 * time.Second) // the block waits for the export
		begin := time.Now()
		s.x.Close()
		if took := time.Since(begin); took > time.Second {
			t.Errorf("the end took %s", took)
		}
		s.x = nil
		close(wire.release)
		synctest.Wait()
		if err := s.journal.Close(); err != nil {
			t.Error(err)
		}
	})
}

// openOn opens the exchange with another way to the chain or the node.
func (s *btcSim) openOn(l btcLife, chain func(*actors.BitcoinChain) actors.Chain, way http.RoundTripper, copied *actors.Copy) {
	s.t.Helper()
	s.lives = append(s.lives, l)
	s.log = &btcLog{simLog: &simLog{disk: s.disk}, wire: &btcWire{node: s.node}}
	s.log.left.Store(-1)
	s.snapshots = &simSnapshots{disk: s.disk, log: s.log.simLog}
	s.wire = s.log.wire
	fail := func(err error) {
		if err != nil {
			s.t.Fatal(err)
		}
	}
	var err error
	s.journal, err = persistence.Open(persistence.Config{Log: s.log, Snapshots: s.snapshots})
	fail(err)
	node, err := bitcoin.NewNode(bitcoin.NodeConfig{Network: bitcoin.Regtest, URL: "http://node", User: "test", PassFile: s.password, Transport: way})
	fail(err)
	keys, err := bitcoin.ParseKeys(bitcointest.AccountKey, bitcoin.Regtest)
	fail(err)
	s.chain = actors.NewBitcoinChain(actors.BitcoinConfig{Node: node, Keys: keys, Poll: l.poll})
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.x = actors.New(actors.Config{
		Journal: s.journal, Terms: l.terms, Policy: l.policy, Chain: chain(s.chain), Random: s.secrets, PassivateAfter: l.idle, Copy: copied, Fatal: s.fatal,
	})
	fail(s.x.Recover(context.Background(), func(actors.Progress) {}))
	synctest.Wait()
}
