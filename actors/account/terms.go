package account

// Rule says what becomes of a payment that is not as it was quoted.
type Rule uint8

// The rules. The numbers are in the log.
const (
	// RuleRefund puts the money into the operator's refund queue.
	RuleRefund Rule = 0
	// RuleProportion credits AITBC in proportion, at the quote's rate, rounded down.
	RuleProportion Rule = 1
)

func (r Rule) String() string {
	if r == RuleProportion {
		return "proportion"
	}
	return "refund"
}

// MarshalText returns what String returns.
func (r Rule) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// PaymentTerms are what a quote was given under, beside its price: they are part of the
// payment, so that what an operator asks for later changes nothing of what was promised.
// The zero value asks for no confirmation and refunds whatever is not as quoted; in a
// Detail it says that the payment was made before terms were kept.
type PaymentTerms struct {
	// Confirmations make an output count; 1 is the block that it is in.
	Confirmations int32 `json:"confirmations"`
	// TolerancePPM is the part of a quote, in millionths, that may be missing from a
	// payment in full. It is the exchange's loss.
	TolerancePPM int64 `json:"tolerance_ppm"`
	Underpaid    Rule  `json:"underpaid"` // less than the quote, and the time is over
	Overpaid     Rule  `json:"overpaid"`  // what is more than the quote
	Late         Rule  `json:"late"`      // outputs that came after the quote had expired
}

// maxTolerancePPM is the whole of a quote.
const maxTolerancePPM = 1_000_000

// Kept reports whether the terms are those of a payment.
func (p PaymentTerms) Kept() bool { return p.Confirmations > 0 }

// tolerated is the part of a price that may be missing, rounded down, and never all.
func (p PaymentTerms) tolerated(price Money) Money {
	t, ok := price.MulDivDown(Money(p.TolerancePPM), maxTolerancePPM)
	if !ok || t >= price {
		return price - 1 // something has to be paid
	}
	return t
}

// Enough is the least that pays a price in full.
func (p PaymentTerms) Enough(price Money) Money { return price - p.tolerated(price) }
