package account

import "math/big"

// Tally counts value from events alone, without the state they lead to: what
// came in, what went out, and the fees. Amounts are AITBC base units. Its zero
// value is ready to use; one goroutine owns it.
type Tally struct {
	Credits big.Int // deposits, completed buys, operator credits
	Debits  big.Int // completed withdrawals and sales, operator debits
	Fees    big.Int // of completed withdrawals
}

// Add counts the events of one record.
func (t *Tally) Add(r *Record) {
	for _, e := range r.Events {
		switch e := e.(type) {
		case *Deposited:
			add(&t.Credits, e.Amount)
		case *PaymentCredited: // never what a TxCompleted has counted
			add(&t.Credits, e.Amount)
		case *Credited:
			add(&t.Credits, e.Amount)
		case *Debited:
			add(&t.Debits, e.Amount)
		case *TxCompleted:
			if e.Type == TypeBuy {
				add(&t.Credits, e.Amount)
			} else {
				add(&t.Debits, e.Amount)
				add(&t.Fees, e.Fee)
			}
		}
	}
}

// Balance returns what all accounts together must hold: credits less debits and
// fees.
func (t *Tally) Balance() *big.Int {
	sum := new(big.Int).Sub(&t.Credits, &t.Debits)
	return sum.Sub(sum, &t.Fees)
}

func add(sum *big.Int, m Money) { sum.Add(sum, big.NewInt(int64(m))) }
