package bitcointest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/actors/exchangetest"
)

// Node is a btcd process on the regression-test network. Its methods fail the test
// where something goes wrong, so they are called from the test's goroutine.
type Node struct {
	*bitcoin.Node
	URL      string
	User     string
	PassFile string
	Wallet   *Wallet // receives what the node mines

	t       testing.TB
	dir     string
	rpc     string // host:port
	peer    string // host:port, for other nodes
	process *process
}

// program is the path of btcd, built by the go command and kept in its cache.
var program = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "tool", "-n", "btcd").Output()
	if err != nil {
		return "", fmt.Errorf("building btcd: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
})

const (
	user     = "test"
	password = "only-for-tests"
	patience = 30 * time.Second // for a node to do what it is told
)

// Start runs a node with an empty chain, until the test ends.
func Start(t testing.TB) *Node {
	t.Helper()
	dir := t.TempDir()
	n := &Node{User: user, PassFile: filepath.Join(dir, "password"), t: t, dir: dir, rpc: freeAddress(t), peer: freeAddress(t)}
	n.URL = "http://" + n.rpc
	if err := os.WriteFile(n.PassFile, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := bitcoin.NewNode(bitcoin.NodeConfig{Network: bitcoin.Regtest, URL: n.URL, User: user, PassFile: n.PassFile})
	if err != nil {
		t.Fatal(err)
	}
	n.Node = client
	n.Wallet = newWallet(n)
	t.Cleanup(n.Kill)
	n.Restart()
	return n
}

// Restart runs the node again after Kill, at the same address. btcd begins the
// regression-test network anew at every start, so it has the first block only until
// it is connected to another node.
func (n *Node) Restart() {
	n.t.Helper()
	path, err := program()
	if err != nil {
		n.t.Fatal(err)
	}
	n.process, err = start(path,
		"--regtest", "--txindex", "--notls", "--nodnsseed", "--noonion", "--nobanning", "--nostalldetect",
		"--trickleinterval=100ms", "--debuglevel=warn", "--rpcmaxclients=100", "--blockmaxweight=3900000",
		"--configfile="+filepath.Join(n.dir, "none.conf"), "--datadir="+filepath.Join(n.dir, "data"), "--logdir="+filepath.Join(n.dir, "log"),
		"--listen="+n.peer, "--rpclisten="+n.rpc, "--rpcuser="+user, "--rpcpass="+password,
		"--miningaddr="+n.Wallet.Address)
	if err != nil {
		n.t.Fatal(err)
	}
	n.until("answer", func() bool {
		select {
		case <-n.process.exited:
			n.t.Fatalf("btcd ended: %s", n.process.output.String())
		default:
		}
		_, err := n.Check(n.t.Context())
		return err == nil
	})
}

// Kill ends the node at once, and waits until it is gone.
func (n *Node) Kill() {
	if n.process != nil {
		n.process.kill()
	}
}

// Generate mines blocks on the node's best chain and returns their hashes.
func (n *Node) Generate(blocks int) []chainhash.Hash {
	n.t.Helper()
	var texts []string
	n.must(&texts, "generate", blocks)
	hashes := make([]chainhash.Hash, len(texts))
	for i, text := range texts {
		hash, err := chainhash.NewHashFromStr(text)
		if err != nil {
			n.t.Fatal(err)
		}
		hashes[i] = *hash
		n.Wallet.mined(hashes[i])
	}
	return hashes
}

// Tip returns the newest block of the node's best chain.
func (n *Node) Tip() bitcoin.Ref {
	n.t.Helper()
	info, err := n.Info(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	return info.Tip
}

// Invalidate makes the node leave the chain that a block is in.
func (n *Node) Invalidate(block chainhash.Hash) {
	n.t.Helper()
	n.must(nil, "invalidateblock", block.String())
}

// Connect joins two nodes and waits until they have the same best chain.
func (n *Node) Connect(other *Node) {
	n.t.Helper()
	n.must(nil, "node", "connect", other.peer, "perm")
	n.until("have the chain of its peer", func() bool { return n.Tip() == other.Tip() })
}

// Disconnect parts two nodes.
func (n *Node) Disconnect(other *Node) {
	n.t.Helper()
	n.must(nil, "node", "remove", other.peer)
	n.until("part from its peer", func() bool {
		var peers []struct{}
		n.must(&peers, "getpeerinfo")
		return len(peers) == 0
	})
}

// InMempool waits until the node has an unconfirmed transaction.
func (n *Node) InMempool(id chainhash.Hash) {
	n.t.Helper()
	n.until("have the transaction in its mempool", func() bool {
		ids, err := n.Mempool(n.t.Context())
		if err != nil {
			n.t.Fatal(err)
		}
		for _, have := range ids {
			if have == id {
				return true
			}
		}
		return false
	})
}

func (n *Node) must(result any, method string, params ...any) {
	n.t.Helper()
	if err := n.Call(n.t.Context(), result, method, params...); err != nil {
		n.t.Fatal(err)
	}
}

// until polls a node, which has no other way to tell.
func (n *Node) until(what string, done func() bool) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			n.t.Fatalf("the node at %s does not %s within %s\n%s", n.rpc, what, patience, n.process.output.String())
		case <-tick.C:
		}
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// process is a program that runs until it is killed.
type process struct {
	command *exec.Cmd
	output  exchangetest.Buffer
	exited  chan struct{} // closed when it has ended
}

func start(path string, args ...string) (*process, error) {
	// #nosec G204 -- for tests, which name the program
	p := &process{command: exec.Command(path, args...), exited: make(chan struct{})}
	p.command.Stdout, p.command.Stderr = &p.output, &p.output
	// A test that is killed takes its nodes with it.
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.command.Wait()
		close(p.exited)
	}()
	return p, nil
}

func (p *process) kill() {
	_ = p.command.Process.Kill()
	<-p.exited
}
