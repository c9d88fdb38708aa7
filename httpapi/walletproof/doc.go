// Package walletproof checks that a login comes from a wallet's owner: it makes
// the text that the wallet signs, and verifies what it signed.
//
// It owns the text (EIP-4361, and CAIP-122 for Bitcoin), its single-use nonce, and
// the signature schemes of Ethereum and Bitcoin wallets. It keeps no account, reads
// no clock of its own and never says to the outside why a proof failed. httpapi
// asks it for a Challenge and has the Proof verified before actors' Login.
//
// What it can't check are the wallets that are programs on a chain (EIP-1271, and
// P2WSH or Taproot scripts): that takes a node.
package walletproof
