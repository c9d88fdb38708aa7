package bitcoin

import (
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/account"
)

// Output is an output of a transaction that pays to a watched address.
type Output struct {
	Out     wire.OutPoint // the transaction's id and the output's number
	BTC     account.Money // satoshi
	Address string
}

// Fact is something that a Follower found out, in the order of the chain: *Seen,
// *InBlock, *Removed or *Tip. Facts may be repeated after a restart, so whoever
// takes them knows outputs by their outpoint. Of watched coins the facts are *Spent,
// *SpentInBlock and *SpentRemoved; who takes them knows spends by their transaction's id.
type Fact interface{ isFact() }

// Seen says that an output is in the node's mempool: it may still vanish.
type Seen struct {
	Output
}

// InBlock says that an output is in a block of the best chain. After a
// reorganisation it may be said again with another block.
type InBlock struct {
	Output
	Block Ref
	Time  time.Time // as the block's miner has it: up to two hours off
}

// Removed takes back what Seen or InBlock said of an output.
type Removed struct {
	Output
	// Block is the block that the output was in, which is no longer of the best
	// chain; the zero Ref where it had been seen in the mempool only.
	Block Ref
}

// Tip says that all facts of a block, and of those before it, have been given: from
// here a Follower may be started again.
type Tip struct {
	Block Ref
	Time  time.Time // as the block's miner has it
}

// Spend is a transaction that spends watched coins.
type Spend struct {
	ID    chainhash.Hash
	Tx    *wire.MsgTx
	Coins []wire.OutPoint // of its inputs, those that are watched
}

// Spent says that a spend is in the node's mempool: it may still vanish.
type Spent struct{ Spend }

// SpentInBlock says that a spend is in a block of the best chain. After a reorganisation
// it may be said again with another block.
type SpentInBlock struct {
	Spend
	Block Ref
	Time  time.Time // as the block's miner has it
}

// SpentRemoved takes back what Spent or SpentInBlock said. That a spend left the
// mempool does not say that it can't come back.
type SpentRemoved struct {
	ID    chainhash.Hash
	Block Ref // as in Removed
}

func (*Seen) isFact()         {}
func (*InBlock) isFact()      {}
func (*Removed) isFact()      {}
func (*Spent) isFact()        {}
func (*SpentInBlock) isFact() {}
func (*SpentRemoved) isFact() {}
func (*Tip) isFact()          {}
