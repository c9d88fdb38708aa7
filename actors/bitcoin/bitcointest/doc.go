// Package bitcointest has the Bitcoin side of tests, on the regression-test network:
// real nodes (btcd), mining on them, paying from a wallet whose keys are in the test
// alone, the operator's signer, and a MemoryNode, which is a node as data.
//
// Every real node is a process on loopback with a directory of its own; both are gone
// when the test ends. Only tests import this package.
package bitcointest
