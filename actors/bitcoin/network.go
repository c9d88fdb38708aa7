package bitcoin

import (
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
)

// Network is one of Bitcoin's networks. The zero value is none.
type Network struct {
	params *chaincfg.Params
}

// The networks. Testnet is version 3. All signets share one genesis block, so a
// custom one passes for Signet.
var (
	Mainnet  = Network{&chaincfg.MainNetParams}
	Testnet  = Network{&chaincfg.TestNet3Params}
	Testnet4 = Network{&chaincfg.TestNet4Params}
	Signet   = Network{&chaincfg.SigNetParams}
	Regtest  = Network{&chaincfg.RegressionNetParams}

	networks = []Network{Mainnet, Testnet, Testnet4, Signet, Regtest}
)

// ParseNetwork reads a network's name as String writes it.
func ParseNetwork(name string) (Network, error) {
	for _, n := range networks {
		if n.String() == name {
			return n, nil
		}
	}
	return Network{}, fmt.Errorf("want one of %s", strings.Join(NetworkNames(), ", "))
}

// NetworkNames returns what ParseNetwork accepts.
func NetworkNames() []string {
	names := make([]string, len(networks))
	for i, n := range networks {
		names[i] = n.String()
	}
	return names
}

func (n Network) String() string {
	switch n.params {
	case nil:
		return "none"
	case &chaincfg.TestNet3Params:
		return "testnet"
	}
	return n.params.Name
}

// Params returns the network's constants, nil for the zero Network.
func (n Network) Params() *chaincfg.Params { return n.params }

// Genesis returns the hash of the network's first block, which tells it from others.
func (n Network) Genesis() chainhash.Hash { return *n.params.GenesisHash }

// networkOf returns the network with a genesis block.
func networkOf(genesis chainhash.Hash) (Network, bool) {
	for _, n := range networks {
		if n.Genesis() == genesis {
			return n, true
		}
	}
	return Network{}, false
}
