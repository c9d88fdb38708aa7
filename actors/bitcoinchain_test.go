package actors_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
)

// noNode answers nothing.
type noNode struct{}

func (noNode) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("there is no node")
}

// Where addresses were skipped the chain starts while the service serves already.
func TestNobodyIsGivenAnAddressBeforeItIsWatched(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	node, err := bitcoin.NewNode(bitcoin.NodeConfig{Network: bitcoin.Regtest, URL: "http://node", User: "test", PassFile: password, Transport: noNode{}})
	if err != nil {
		t.Fatal(err)
	}
	chain := actors.NewBitcoinChain(actors.BitcoinConfig{Node: node, Keys: keysOf(t, bitcointest.AccountKey, bitcoin.Regtest)})
	defer chain.Stop()
	resume := actors.Resume{NextIndex: 20, Trail: []bitcoin.Ref{{Height: 1, Hash: [32]byte{1}}}}
	go chain.Start(resume, func(context.Context, []bitcoin.Fact, bool) error { return nil })
	for deadline := time.Now().Add(time.Minute); ; {
		address, err := chain.NewAddress()
		if err == nil {
			if address.Index != 20 {
				t.Errorf("the first address is %+v", address)
			}
			return
		}
		if !errors.Is(err, actors.ErrChainDown) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
