package bitcoin_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
)

func TestNodeAnswers(t *testing.T) {
	n := bitcointest.Start(t)
	info, err := n.Check(t.Context())
	if err != nil || info.Tip != (bitcoin.Ref{Hash: bitcoin.Regtest.Genesis()}) {
		t.Fatalf("an empty node: %+v, %v", info, err)
	}
	hashes := n.Generate(101)
	if got := n.Tip(); got != (bitcoin.Ref{Height: 101, Hash: hashes[100]}) {
		t.Errorf("tip %v, want %v", got, hashes[100])
	}
	hash, err := n.BlockHash(t.Context(), 50)
	if err != nil || hash != hashes[49] {
		t.Errorf("block 50 is %v, %v, want %v", hash, err, hashes[49])
	}
	if _, err := n.BlockHash(t.Context(), 102); !isRefused(err) {
		t.Errorf("a block that is not there: %v", err)
	}
	if _, err := n.Block(t.Context(), chainhash.Hash{1}); !bitcoin.IsNotFound(err) {
		t.Errorf("a block that is not there: %v", err)
	}
	if _, err := n.Transaction(t.Context(), chainhash.Hash{1}); !bitcoin.IsNotFound(err) {
		t.Errorf("a transaction that is not there: %v", err)
	}

	coin := n.Wallet.Take()
	tx := n.Wallet.Spend(coin, bitcointest.Payment{Address: address(t, 0), Satoshi: 70_000})
	for range 2 { // a send is repeated when its answer was lost
		if err := n.Send(t.Context(), tx); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Send(t.Context(), n.Wallet.Spend(coin, bitcointest.Payment{Address: address(t, 1), Satoshi: 70_000})); !isRefused(err) {
		t.Errorf("a coin was spent twice: %v", err)
	}
	ids, err := n.Mempool(t.Context())
	if err != nil || len(ids) != 1 || ids[0] != tx.TxHash() {
		t.Errorf("mempool %v, %v", ids, err)
	}
	got, err := n.Transaction(t.Context(), tx.TxHash())
	if err != nil || got.TxHash() != tx.TxHash() {
		t.Errorf("transaction %v, %v", got, err)
	}
	n.Generate(1)
	if err := n.Send(t.Context(), tx); err != nil {
		t.Errorf("a transaction that is in a block was sent again: %v", err)
	}
}

func isRefused(err error) bool {
	var refused *bitcoin.RPCError
	return errors.As(err, &refused)
}

func TestNodeOfAnotherNetworkIsRefused(t *testing.T) {
	n := bitcointest.Start(t)
	for _, network := range []bitcoin.Network{bitcoin.Mainnet, bitcoin.Testnet, bitcoin.Testnet4, bitcoin.Signet} {
		other, err := bitcoin.NewNode(bitcoin.NodeConfig{Network: network, URL: n.URL, User: n.User, PassFile: n.PassFile})
		if err != nil {
			t.Fatal(err)
		}
		_, err = other.Check(t.Context())
		if !errors.Is(err, bitcoin.ErrWrongNetwork) || !strings.Contains(err.Error(), "it is on regtest, "+network.String()) {
			t.Errorf("%s: %v, want ErrWrongNetwork that names both", network, err)
		}
	}
}

func TestNodeRefusesAWrongPassword(t *testing.T) {
	n := bitcointest.Start(t)
	wrong := filepath.Join(t.TempDir(), "password")
	writeFile(t, wrong, "wrong-password\n")
	other, err := bitcoin.NewNode(bitcoin.NodeConfig{Network: bitcoin.Regtest, URL: n.URL, User: n.User, PassFile: wrong})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Check(t.Context()); !errors.Is(err, bitcoin.ErrUnauthorized) || strings.Contains(err.Error(), "wrong-password") {
		t.Errorf("got %v, want ErrUnauthorized without the password", err)
	}
	// The file is read again, so a new password needs no restart.
	right, err := os.ReadFile(n.PassFile)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, wrong, string(right))
	if _, err := other.Check(t.Context()); err != nil {
		t.Errorf("after the file was corrected: %v", err)
	}
}

func TestNodeTakesACookie(t *testing.T) {
	n := bitcointest.Start(t)
	password, err := os.ReadFile(n.PassFile)
	if err != nil {
		t.Fatal(err)
	}
	cookie := filepath.Join(t.TempDir(), ".cookie")
	writeFile(t, cookie, n.User+":"+string(password))
	other, err := bitcoin.NewNode(bitcoin.NodeConfig{Network: bitcoin.Regtest, URL: n.URL, PassFile: cookie})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestNodeSaysWhatIsWrong has a server answer in ways that btcd does not.
func TestNodeSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"Bitcoin Core's refusal, with status 500", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			w.Write([]byte(`{"result":null,"error":{"code":-28,"message":"Loading block index..."},"id":1}`))
		}, `Loading block index..." (code -28)`},
		{"too busy", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "Work queue depth exceeded", http.StatusServiceUnavailable)
		}, "HTTP 503"},
		{"no node at all", func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte("<html>"))
		}, "no JSON-RPC answer"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		}, "HTTP 307"},
		{"an endless answer", func(w http.ResponseWriter, _ *http.Request) {
			spaces := make([]byte, 1<<20)
			for range 33 {
				if _, err := w.Write(spaces); err != nil {
					return
				}
			}
		}, "too large"},
		{"another type of result", func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte(`{"result":{},"error":null,"id":1}`))
		}, "unexpected result"},
		{"no hash", func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte(`{"result":"00","error":null,"id":1}`))
		}, `"00" is no hash`},
		{"no answer in time", func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // the server notices that a client goes only after that
			<-r.Context().Done()
		}, "no answer within 200ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.handler)
			defer server.Close()
			password := filepath.Join(t.TempDir(), "password")
			writeFile(t, password, "secret")
			timeout := 10 * time.Second
			if strings.Contains(c.want, "200ms") {
				timeout = 200 * time.Millisecond
			}
			n, err := bitcoin.NewNode(bitcoin.NodeConfig{
				Network: bitcoin.Regtest, URL: server.URL, User: "u", PassFile: password, Timeout: timeout,
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := n.Check(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestNewNodeRefusesAnAddressWithAPassword(t *testing.T) {
	for _, given := range []string{"http://u:secret@127.0.0.1:8332", "127.0.0.1:8332", "ftp://127.0.0.1", "http://", "http://u:secret@[::1"} {
		if _, err := bitcoin.NewNode(bitcoin.NodeConfig{Network: bitcoin.Regtest, URL: given}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, want an error without the password", given, err)
		}
	}
}
