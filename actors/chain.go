package actors

import (
	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/aitbc/exchange/actors/account"
)

// CodeBadAddress: money can't be sent to this address.
const CodeBadAddress account.Code = "bad_address"

// Chain is the Bitcoin side of payments. Its methods may be called from any
// goroutine and must not block for long.
type Chain interface {
	// Start begins to report what it sees of watched payments. report may be called
	// from any goroutine, and more than once for one payment: it is credited once.
	Start(report func(Sighting))
	// Stop ends the reports; none comes after it has returned.
	Stop()
	// NewAddress returns an address that was never given out before.
	NewAddress() (string, error)
	// CheckAddress says what is wrong with an address that money is to be sent to.
	CheckAddress(address string) error
	// Watch begins to look for a payment; after a restart it is called again for
	// every payment that is still open.
	Watch(p WatchedPayment)
	// Unwatch ends that, when the payment is credited, has failed or expired.
	Unwatch(id account.TransactionID)
}

// WatchedPayment is what a Chain looks for.
type WatchedPayment struct {
	ID      account.TransactionID
	Address string
	BTC     account.Money // satoshi
}

// Sighting says that a payment has been made in full and confirmed.
type Sighting struct {
	ID            account.TransactionID
	TxHash        string
	Confirmations uint32
}

// checkBitcoinAddress checks where a sale is to be paid.
func (x *Exchange) checkBitcoinAddress(address string) error {
	if x.cfg.Chain != nil {
		return x.cfg.Chain.CheckAddress(address)
	}
	return CheckBitcoinAddress(address, &chaincfg.MainNetParams)
}
