// Package bitcointest runs real Bitcoin nodes (btcd) on the regression-test network
// for tests, mines on them, and pays from a wallet whose keys are in the test alone.
//
// Every node is a process on loopback with a directory of its own; both are gone
// when the test ends. Only tests import this package.
package bitcointest
