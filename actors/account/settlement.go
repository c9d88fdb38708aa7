package account

import (
	"encoding/binary"
	"fmt"
)

// What of a payment is settled, by whom and under which terms, becomes events here.

// TermsAgreed says under which terms payment N was quoted. It is in the record that
// adds the payment.
type TermsAgreed struct {
	N     uint32       `json:"n"`
	Terms PaymentTerms `json:"terms"`
}

// OutputsAnswered says that whoever settled payment N by hand, in the same record,
// answers for Outs: no rule credits or refunds them any more, wherever the chain has
// them. Amount is the AITBC that they answer for.
type OutputsAnswered struct {
	N      uint32     `json:"n"`
	Amount Money      `json:"amount"`
	Outs   []Outpoint `json:"outs"`
}

// CreditBacked says that Outs count for what was credited for payment N, though it
// grows by nothing. Where nothing is frozen, nothing else that counted is missed.
type CreditBacked struct {
	N    uint32     `json:"n"`
	Outs []Outpoint `json:"outs"`
}

func (*TermsAgreed) kind() kind     { return kindTermsAgreed }
func (*OutputsAnswered) kind() kind { return kindOutputsAnswered }
func (*CreditBacked) kind() kind    { return kindCreditBacked }

func (e *TermsAgreed) append(dst []byte) []byte {
	return e.Terms.append(binary.AppendUvarint(dst, uint64(e.N)))
}

func (e *TermsAgreed) read(r *reader) { e.N, e.Terms = r.uint32(), r.terms() }

func (e *OutputsAnswered) append(dst []byte) []byte {
	return appendOutpoints(appendMoney(binary.AppendUvarint(dst, uint64(e.N)), e.Amount), e.Outs)
}

func (e *OutputsAnswered) read(r *reader) {
	e.N, e.Amount, e.Outs = r.uint32(), r.money(), r.outpoints()
}

func (e *CreditBacked) append(dst []byte) []byte {
	return appendOutpoints(binary.AppendUvarint(dst, uint64(e.N)), e.Outs)
}

func (e *CreditBacked) read(r *reader) { e.N, e.Outs = r.uint32(), r.outpoints() }

// append writes terms that are kept: confirmations, tolerance, and a byte of rules.
func (p PaymentTerms) append(dst []byte) []byte {
	if p.Confirmations <= 0 || p.TolerancePPM < 0 || p.TolerancePPM > maxTolerancePPM || (p.Underpaid|p.Overpaid|p.Late) > 1 {
		panic(fmt.Sprintf("account: payment terms %+v", p))
	}
	dst = binary.AppendUvarint(dst, uint64(p.Confirmations))
	dst = binary.AppendUvarint(dst, uint64(p.TolerancePPM))
	return append(dst, byte(p.Underpaid)|byte(p.Overpaid)<<1|byte(p.Late)<<2)
}

func (r *reader) terms() (p PaymentTerms) {
	p.Confirmations = r.height()
	tolerance, rules := r.uvarint(), r.byte()
	if p.Confirmations == 0 || tolerance > maxTolerancePPM || rules > 7 {
		r.fail("payment terms out of range")
		return PaymentTerms{}
	}
	p.TolerancePPM = int64(tolerance)
	p.Underpaid, p.Overpaid, p.Late = Rule(rules&1), Rule(rules>>1&1), Rule(rules>>2&1)
	return p
}

// appendAnswered packs what an operator answers for: the amount, and the outputs as the
// bits of a number, the first output's lowest.
func appendAnswered(dst []byte, d *Detail) []byte {
	return binary.AppendUvarint(appendMoney(dst, d.Answered), answeredBits(d))
}

func answeredBits(d *Detail) (bits uint64) {
	for i := range d.Outputs {
		if d.Outputs[i].Answered {
			bits |= 1 << i
		}
	}
	return bits
}

// viewAnswered checks what appendAnswered wrote, after what was received is known.
func (v *packedView) viewAnswered(r *reader) {
	v.detail.Answered, v.answered = r.money(), r.uvarint()
	outputs, _ := binary.Uvarint(v.outputs) // their count; 0 where there are none
	if r.err == nil && ((v.detail.Answered == 0 && v.answered == 0) || (outputs < MaxOutputs && v.answered>>outputs != 0)) {
		r.fail("an operator answers for nothing, or for an output that there is not")
	}
}

func (e *TermsAgreed) apply(a *Account, _ Time) error {
	t, d, err := a.received(e.N)
	if err != nil {
		return err
	}
	if d.Terms.Kept() || !e.Terms.Kept() {
		return fmt.Errorf("payment %d was quoted under %+v, and %+v", e.N, d.Terms, e.Terms)
	}
	d.Terms = e.Terms
	a.History.replace(e.N, t)
	return nil
}

func (e *OutputsAnswered) apply(a *Account, _ Time) error {
	t, d, err := a.received(e.N)
	if err != nil {
		return err
	}
	sum, ok := d.Answered.Add(e.Amount)
	if !ok || e.Amount <= 0 {
		return fmt.Errorf("payment %d: %s answered for, and %s", e.N, d.Answered, e.Amount)
	}
	for _, out := range e.Outs {
		i := outputOf(d.Outputs, out)
		if i < 0 || d.Outputs[i].Counted {
			return fmt.Errorf("payment %d has no output %s to answer for", e.N, out)
		}
		d.Outputs[i].Answered, d.Outputs[i].Reversed = true, false
	}
	d.Answered = sum
	a.History.replace(e.N, t)
	return nil
}

func (e *CreditBacked) apply(a *Account, _ Time) error {
	t, d, err := a.received(e.N)
	if err != nil {
		return err
	}
	if t.Status != Completed {
		return fmt.Errorf("payment %d is %s, and its credit is backed", e.N, t.Status)
	}
	if err := count(d.Outputs, e.Outs); err != nil {
		return err
	}
	if d.Frozen == 0 {
		notMissed(d.Outputs)
	}
	a.History.replace(e.N, t)
	return nil
}

// notMissed says that what was credited is whole without the outputs that the chain
// took back.
func notMissed(outputs []Output) {
	for i := range outputs {
		outputs[i].Reversed = false
	}
}
