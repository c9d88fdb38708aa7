package account

import (
	"errors"
	"testing"
	"time"
)

var strict = PaymentTerms{Confirmations: 2}

// promised is quoted with terms.
func promised(t *testing.T, terms PaymentTerms) (a *Account, n uint32) {
	t.Helper()
	a = opened(t, 0)
	return a, do(t, a, &CreatePayment{Amount: 1000, BTC: 100, Address: "bc1p", Derived: true, Lifetime: time.Hour, Terms: terms}, start)
}

// confirm puts an output into a block.
func confirm(t *testing.T, a *Account, n uint32, out Outpoint, btc Money) {
	t.Helper()
	do(t, a, &ConfirmOutput{N: n, Out: out, BTC: btc, Height: 5, Block: ChainHash{5}, At: start}, start)
}

func TestAPaymentKeepsItsTerms(t *testing.T) {
	terms := PaymentTerms{Confirmations: 6, TolerancePPM: 5000, Underpaid: RuleProportion, Late: RuleProportion}
	a, n := promised(t, terms)
	do(t, a, &Complete{N: n, By: "ops"}, start)
	tx := transaction(t, a, n)
	if tx.Detail.Terms != terms || tx.AsCreated().Detail.Terms != terms {
		t.Errorf("the terms are %+v", tx.Detail.Terms)
	}
	if err := a.Apply(&Record{User: a.ID, Seq: a.Seq + 1, At: start, Events: []Event{&TermsAgreed{N: n, Terms: strict}}}); !errors.Is(err, ErrApply) {
		t.Errorf("other terms: %v", err)
	}
	if got := terms.Enough(1000); got != 995 {
		t.Errorf("%d of 1000 are enough", got)
	}
}

func TestAnAssessmentThatCrossesAnOperatorsActSettlesNothing(t *testing.T) {
	settle := func(n uint32) *SettlePayment { return &SettlePayment{N: n, Due: 1000, Outs: []Outpoint{outA}} }
	for what, end := range map[string]func(n uint32) Command{
		"fail":     func(n uint32) Command { return &Fail{N: n, By: "ops", Reason: "r"} },
		"complete": func(n uint32) Command { return &Complete{N: n, By: "ops", Reason: "r"} },
		"confirm":  func(n uint32) Command { return &Complete{N: n} }, // the payer of a demo
	} {
		a, n := promised(t, strict)
		confirm(t, a, n, outA, 100)
		do(t, a, end(n), start)
		before := transaction(t, a, n)
		nothing(t, a, settle(n))
		refund := &QueueRefund{N: n, Out: outA, BTC: 100}
		if what == "fail" {
			do(t, a, refund, start)
		} else {
			refused(t, a, refund, nil, start, CodeNoChange)
		}
		// What comes later goes back, whole.
		confirm(t, a, n, outB, 30)
		do(t, a, &QueueRefund{N: n, Out: outB, BTC: 30}, start)
		after := transaction(t, a, n)
		if after.Detail.By != before.Detail.By || after.Detail.Reason != before.Detail.Reason || after.Credited() != before.Credited() || !after.Ended() {
			t.Errorf("%s: the payment is %+v, and was %+v", what, after.Detail, before.Detail)
		}
		if err := after.CheckValue(strict); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if outs := after.Unowned(strict, 9, start); len(outs) != 0 {
			t.Errorf("%s: %v have no owner", what, outs)
		}
	}
}

func TestWhatCountsIsNeverRefunded(t *testing.T) {
	a, n := promised(t, strict)
	confirm(t, a, n, outA, 120)
	refused(t, a, &SettlePayment{N: n, Due: 1000, Outs: []Outpoint{outA}, Surplus: 120, SurplusOf: outA}, nil, start, CodeNoChange)
	refused(t, a, &SettlePayment{N: n, Due: 1000, Outs: []Outpoint{outA}, Surplus: 20, SurplusOf: outB}, nil, start, CodeNoChange)
	do(t, a, &SettlePayment{N: n, Due: 1000, Outs: []Outpoint{outA}, Surplus: 20, SurplusOf: outA}, start)
	refused(t, a, &QueueRefund{N: n, Out: outA, BTC: 1, Before: 20}, nil, start, CodeNoChange)
	confirm(t, a, n, outB, 5)
	do(t, a, &QueueRefund{N: n, Out: outB, BTC: 5}, start)
	refused(t, a, &SettlePayment{N: n, Due: 1050, Outs: []Outpoint{outA, outB}}, nil, start, CodeNoChange) // it was refunded
	stands(t, a, 1000, 0, 1000)
	tx := transaction(t, a, n)
	if byChain, byClock := tx.Undecided(); byChain || byClock {
		t.Error("something is undecided")
	}
}

func TestASurplusThatAnEarlierVersionDidNotQueueIsStillRefunded(t *testing.T) {
	a, n := quoted(t) // without terms
	confirm(t, a, n, outA, 120)
	do(t, a, &SettlePayment{N: n, Due: 1000, Outs: []Outpoint{outA}}, start)
	tx := transaction(t, a, n)
	if byChain, _ := tx.Undecided(); !byChain || tx.Surplus() != 20 {
		t.Errorf("the surplus is %d", tx.Surplus())
	}
	refused(t, a, &QueueRefund{N: n, Out: outA, BTC: 21}, nil, start, CodeNoChange)
	do(t, a, &QueueRefund{N: n, Out: outA, BTC: 20}, start)
	tx = transaction(t, a, n)
	if byChain, _ := tx.Undecided(); byChain || tx.Surplus() != 0 {
		t.Errorf("the surplus is %d", tx.Surplus())
	}
}

func TestWhoLiftsAFreezeAnswersForWhatItWasFor(t *testing.T) {
	a, n := promised(t, strict)
	confirm(t, a, n, outA, 60)
	confirm(t, a, n, outB, 40)
	do(t, a, &SettlePayment{N: n, Due: 1000, Outs: []Outpoint{outA, outB}}, start)
	do(t, a, &RemoveOutput{N: n, Out: outA, Height: 5, Block: ChainHash{5}}, start)
	refused(t, a, &QueueRefund{N: n, Out: outA, BTC: 60}, nil, start, CodeNoChange) // it is gone
	refused(t, a, &SettlePayment{N: n, Due: 1001, Outs: []Outpoint{outA}}, nil, start, CodeNoChange)
	do(t, a, &SettlePayment{N: n, Due: 400, Outs: []Outpoint{outB}}, start)
	stands(t, a, 1000, 600, 400)
	do(t, a, &LiftFreeze{N: n, By: "ops", Reason: "r"}, start)
	confirm(t, a, n, outA, 60)
	refused(t, a, &QueueRefund{N: n, Out: outA, BTC: 60}, nil, start, CodeNoChange)
	refused(t, a, &SettlePayment{N: n, Due: 1000, Outs: []Outpoint{outA, outB}}, nil, start, CodeNoChange)
	nothing(t, a, &SettlePayment{N: n, Due: 1000, Outs: []Outpoint{outB}})
	stands(t, a, 1000, 0, 1000)
	// The other one is another matter.
	do(t, a, &RemoveOutput{N: n, Out: outB, Height: 5, Block: ChainHash{5}}, start)
	do(t, a, &SettlePayment{N: n, Due: 600}, start)
	stands(t, a, 1000, 400, 600)
	tx := transaction(t, a, n)
	if err := tx.CheckValue(strict); err != nil || tx.Detail.Answered != 600 {
		t.Errorf("%+v: %v", tx.Detail, err)
	}
}

func TestAnOutputThatSomebodyAnswersForKeepsItsPlace(t *testing.T) {
	a, n := promised(t, strict)
	do(t, a, &SeeOutput{N: n, Out: outA, BTC: 1, At: start}, start)
	do(t, a, &Complete{N: n, By: "ops"}, start)
	do(t, a, &RemoveOutput{N: n, Out: outA}, start)
	number := func(i int) Outpoint { return Outpoint{ChainHash{byte(i)}, 3} }
	for i := range MaxOutputs - 1 {
		do(t, a, &SeeOutput{N: n, Out: number(i), BTC: 1, At: start}, start)
	}
	refused(t, a, &SeeOutput{N: n, Out: outB, BTC: 1, At: start}, nil, start, CodeTooManyOutputs)
	do(t, a, &SeeOutput{N: n, Out: outA, BTC: 1, At: start}, start)
	tx := transaction(t, a, n)
	if i := outputOf(tx.Detail.Outputs, outA); !tx.Answers(&tx.Detail.Outputs[i]) || tx.Answers(&tx.Detail.Outputs[1]) {
		t.Errorf("%+v", tx.Detail.Outputs[:2])
	}
	stands(t, a, 1000, 0, 1000)
}

func TestWhoCompletedAPaymentOfBeforeTermsAnswersForWhatWasKnown(t *testing.T) {
	a, n := quoted(t)
	confirm(t, a, n, outA, 60)
	do(t, a, &Credit{Amount: 1, By: "ops"}, start)
	record := &Record{User: a.ID, Seq: a.Seq + 1, At: start + 5, Events: []Event{&TxCompleted{N: n, Type: TypeBuy, Amount: 1000, By: "ops"}}}
	apply(t, a, record) // as such a version wrote it
	do(t, a, &ConfirmOutput{N: n, Out: outB, BTC: 7, Height: 6, Block: ChainHash{6}, At: start + 6}, start+6)
	refused(t, a, &QueueRefund{N: n, Out: outA, BTC: 60}, nil, start+6, CodeNoChange)
	tx := transaction(t, a, n)
	if outs := tx.Unowned(strict, 9, start+6); len(outs) != 1 || outs[0] != outB {
		t.Errorf("%v have no owner", outs)
	}
	do(t, a, &QueueRefund{N: n, Out: outB, BTC: 7}, start+6)
}

func TestACheckOfAPaymentFindsWhatIsWrong(t *testing.T) {
	terms := PaymentTerms{Confirmations: 2, TolerancePPM: 100_000}
	for what, c := range map[string]struct {
		credit, refund Money
		wrong          bool
	}{
		"as quoted":                {1000, 0, false},
		"a refund beside":          {1000, 11, true},
		"a refund of the surplus":  {900, 10, false},
		"more than came":           {1110, 0, true},
		"within the tolerance":     {1100, 0, false},
		"a refund of all, no more": {0, 100, false},
	} {
		tx := Transaction{Type: TypeBuy, Status: Completed, Amount: 1000, Detail: &Detail{
			BTC: 100, By: "chain", Credited: c.credit, Terms: terms,
			Outputs: []Output{{Out: outA, BTC: 100, Height: 5, Refunded: c.refund, Counted: c.refund < 100}},
		}}
		if c.credit == 0 {
			tx.Status = Failed
			tx.Detail.Expired = true
		}
		if err := tx.CheckValue(PaymentTerms{}); (err != nil) != c.wrong {
			t.Errorf("%s: %v", what, err)
		}
	}
}
