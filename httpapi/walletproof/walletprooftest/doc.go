// Package walletprooftest has the wallets that tests log in with: each signs what
// walletproof checks. Only tests import it.
package walletprooftest
