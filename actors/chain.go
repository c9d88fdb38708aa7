package actors

import (
	"context"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// CodeBadAddress: money can't be sent to this address.
const CodeBadAddress account.Code = "bad_address"

// Chain is the Bitcoin side of payments. Its methods may be called from any
// goroutine and must not block for long.
type Chain interface {
	// Start begins to give what is found out to handle, one call at a time and in
	// order: see Handle. It is called once. Until then no address can be had, and
	// nothing is known; it may come after Watch and WatchPayout.
	Start(resume Resume, handle Handle)
	// Stop ends that; no call of handle is under way after it has returned.
	Stop()
	// NewAddress returns an address that was never given out, already watched.
	NewAddress() (Address, error)
	// GiveBack says that nobody has seen the address, so that it may be used.
	GiveBack(Address)
	// CheckAddress says what is wrong with an address that money is to be sent to.
	CheckAddress(address string) error
	// Watch says that a payment is open. It is called again after a restart.
	Watch(p WatchedPayment)
	// Unwatch says that it is open no more. What is paid to its address later is
	// still reported.
	Unwatch(id account.TransactionID)
	// KnownUntil returns the time up to which everything that was paid has been
	// given to handle; zero if that is not known.
	KnownUntil() time.Time
	// Status is for metrics.
	Status() ChainStatus
}

// Handle makes facts durable, and says nil when they are. blocks says whether more
// blocks follow at once, so that their places may be kept together.
type Handle func(ctx context.Context, facts []bitcoin.Fact, blocks bool) error

// Address is where a payment is to be made.
type Address struct {
	Text    string
	Derived bool   // from the exchange's extended public key
	Index   uint32 // of the key
}

// WatchedPayment is an open payment.
type WatchedPayment struct {
	ID      account.TransactionID
	Address string
	BTC     account.Money // satoshi
}

// Resume is where a Chain goes on after a restart, all from the log.
type Resume struct {
	Trail     []bitcoin.Ref     // the last blocks, ascending
	Outputs   []bitcoin.InBlock // that a reorganisation could take back; with a zero Block, of the mempool
	Addresses []string          // that were ever given out
	NextIndex uint32            // above every index that was
	Keys      *bitcoin.Keys     // of all addresses; nil: those that the Chain was made with

	Coins      []wire.OutPoint        // of the exchange's key: what spends them is reported
	Spends     []bitcoin.SpentInBlock // likewise, that a reorganisation could take back; their IDs and blocks
	NextChange uint32                 // above every index of the change chain that was used
}

func (r *Resume) join(other Resume) {
	r.Outputs = append(r.Outputs, other.Outputs...)
	r.Addresses = append(r.Addresses, other.Addresses...)
	r.NextIndex = max(r.NextIndex, other.NextIndex)
	r.Coins = append(r.Coins, other.Coins...)
	r.Spends = append(r.Spends, other.Spends...)
	r.NextChange = max(r.NextChange, other.NextChange)
}

// ChainStatus is where a Chain is.
type ChainStatus struct {
	bitcoin.Status
	Failed    error  // why it is not followed any more; only a restart helps
	NextIndex uint32 // above every index of an address that was given out
}

// checkBitcoinAddress checks where a sale is to be paid.
func (x *Exchange) checkBitcoinAddress(address string) error {
	if x.cfg.Chain != nil {
		return x.cfg.Chain.CheckAddress(address)
	}
	if x.keys != nil {
		return CheckBitcoinAddress(address, x.keys.Network().Params())
	}
	return CheckBitcoinAddress(address, &chaincfg.MainNetParams)
}
