package actors

import (
	"fmt"
	"time"

	"github.com/aitbc/exchange/actors/account"
)

// Terms are what the exchange charges and limits. Amounts are base units.
type Terms struct {
	Rate            account.Money // AITBC for one whole BTC
	FeePPM          int64         // fee on a buy or sale in millionths of its BTC value; 5000 is 0.5 %
	WithdrawalFee   account.Money // AITBC, flat
	MinPayment      account.Money // satoshi, fee included
	MaxPayment      account.Money // satoshi, fee included
	PaymentLifetime time.Duration // how long a quote holds
	SessionLifetime time.Duration
	SessionIdle     time.Duration // how long a session may go unused; 0: as long as it lasts
	Confirmations   uint32        // blocks that make a payment final

	AddressCoolingOff time.Duration // until a new address of a user's book may be used; 0: value goes anywhere
	DailyLimit        account.Money // AITBC that may leave an account in any 24 hours, without fees; 0: any amount
	FourEyesAbove     account.Money // AITBC above which a withdrawal or sale takes two operators; 0: none does
}

// DefaultTerms are the terms of an exchange whose operator set none.
func DefaultTerms() Terms {
	return Terms{
		Rate:            100_000 * account.Unit,
		FeePPM:          5000,
		MinPayment:      account.Unit / 10_000,
		MaxPayment:      10 * account.Unit,
		PaymentLifetime: time.Hour,
		SessionLifetime: 24 * time.Hour,
		SessionIdle:     8 * time.Hour, // a night: who uses it daily never notices
		Confirmations:   1,
	}
}

// DustLimit is the smallest payout in satoshi: nodes do not relay an output below
// it (Bitcoin Core's limit for a pay-to-public-key-hash output).
const DustLimit account.Money = 546

const million = 1_000_000

// BuyQuote returns what amount AITBC costs, in satoshi: the fee, and the total
// with the fee in it. Fractions of a satoshi are rounded up, for the exchange.
func (t Terms) BuyQuote(amount account.Money) (total, fee account.Money, err *account.Error) {
	net, ok := amount.MulDivUp(account.Unit, t.Rate)
	if ok {
		fee, ok = net.MulDivUp(account.Money(t.FeePPM), million)
	}
	if ok {
		total, ok = net.Add(fee)
	}
	if !ok || total < t.MinPayment || total > t.MaxPayment {
		asked := "out of range"
		if ok {
			asked = total.String() + " BTC"
		}
		return 0, 0, badAmount("aitbc_amount", "a payment is %s to %s BTC; this one would be %s", t.MinPayment, t.MaxPayment, asked)
	}
	return total, fee, nil
}

// SaleQuote returns what a sale of amount AITBC pays out, in satoshi, and the fee
// that was taken off. Fractions of a satoshi are rounded for the exchange.
func (t Terms) SaleQuote(amount account.Money) (payout, fee account.Money, err *account.Error) {
	gross, ok := amount.MulDivDown(account.Unit, t.Rate)
	if ok {
		fee, ok = gross.MulDivUp(account.Money(t.FeePPM), million)
	}
	payout = gross - fee
	if !ok || payout < DustLimit || gross > t.MaxPayment {
		return 0, 0, badAmount("aitbc_amount", "a sale pays out %s to %s BTC; this one would be %s BTC", DustLimit, t.MaxPayment, payout)
	}
	return payout, fee, nil
}

// CodeBadAmount: the amount of a trade is outside the terms, or is not the quote.
const CodeBadAmount account.Code = "bad_amount"

func badAmount(field, format string, args ...any) *account.Error {
	return &account.Error{Code: CodeBadAmount, Field: field, Message: fmt.Sprintf(format, args...)}
}
