package bitcoin

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/wire/v2"
	"pgregory.net/rapid"

	"github.com/aitbc/exchange/actors/account"
)

var expiry = time.Unix(1_000_000, 0)

// quoted is 100 AITBC for 1000 satoshi.
var quoted = Quote{AITBC: 100 * account.Unit, BTC: 1000, ExpiresAt: expiry}

// paid is a list of outputs: the satoshi of each, its height, and "late".
func paid(t *testing.T, list string) (received []Received) {
	t.Helper()
	for i, field := range strings.Fields(list) {
		r := Received{Out: wire.OutPoint{Index: uint32(i)}, At: expiry.Add(time.Duration(i-100) * time.Second)}
		field, isLate := strings.CutSuffix(field, "!")
		if isLate {
			r.At = expiry.Add(time.Duration(i+1) * time.Second)
		}
		if _, err := fmt.Sscanf(field, "%d@%d-%d", &r.BTC, &r.Height, &r.Refunded); err != nil {
			if _, err := fmt.Sscanf(field, "%d@%d", &r.BTC, &r.Height); err != nil {
				t.Fatal(err)
			}
		}
		received = append(received, r)
	}
	return received
}

func TestAssess(t *testing.T) {
	proportion := Policy{Confirmations: 3, Underpaid: Proportion, Overpaid: Proportion, Late: Proportion}
	refund := Policy{Confirmations: 3}
	tolerant := Policy{Confirmations: 3, TolerancePPM: 10_000}
	const tip = 100 // 100 has 1 confirmation, 98 has 3
	for _, c := range []struct {
		name    string
		policy  Policy
		paid    string // satoshi@height, -refunded before, ! late; height 0 in the mempool
		expired bool
		want    string // state, confirmations, credit in whole AITBC, refunds as output:satoshi
	}{
		{"nothing yet", refund, "", false, "pending 0 0"},
		{"nothing, and the time is over", refund, "", true, "expired 0 0"},
		{"in the mempool", refund, "1000@0", false, "seen 0 0"},
		{"in a block", refund, "1000@100", false, "confirming 1 0"},
		{"in two", refund, "1000@99", false, "confirming 2 0"},
		{"confirmed", refund, "1000@98", false, "credited 3 100"},
		{"buried", refund, "1000@5", false, "credited 3 100"},
		{"in a block above the tip that is known", refund, "1000@103", false, "seen 0 0"},
		{"in time, confirmed after", refund, "1000@99", true, "confirming 2 0"},

		{"in two outputs", refund, "400@98 600@98", false, "credited 3 100"},
		{"the second is not confirmed", refund, "400@98 600@100", false, "confirming 1 0"},
		{"the second is in the mempool", refund, "400@98 600@0", false, "seen 0 0"},
		{"dust that comes later holds nothing up", refund, "1000@98 1@0", false, "overpaid 3 100"},
		{"it is refunded when it is confirmed", refund, "1000@90 1@98", false, "overpaid 3 100 1:1"},

		{"under, and there is time", proportion, "400@98", false, "underpaid 0 0"},
		{"under, in proportion", proportion, "400@98", true, "underpaid 0 40"},
		{"under, to be refunded", refund, "400@98", true, "underpaid 0 0 0:400"},
		{"under, refunded already", refund, "400@98-400", true, "underpaid 0 0"},
		{"under, and not confirmed yet", proportion, "400@98 100@99", true, "underpaid 0 0"},
		{"a little under, tolerated", tolerant, "990@98", false, "credited 3 100"},
		{"a little more than tolerated", tolerant, "989@98", true, "underpaid 0 0 0:989"},

		{"over, in proportion", proportion, "1500@98", false, "overpaid 3 150"},
		{"over, the rest to be refunded", refund, "1500@98", false, "overpaid 3 100 0:500"},
		{"over, refunded already", refund, "1500@98-500", false, "overpaid 3 100"},
		{"twice, to be refunded", refund, "1000@90 1000@91", false, "overpaid 3 100 1:1000"},
		{"twice, in proportion", proportion, "1000@90 1000@91", false, "overpaid 3 200"},
		{"twice, the second not confirmed", proportion, "1000@90 1000@99", false, "overpaid 3 100"},

		{"late, in proportion", proportion, "1000@98!", true, "late 3 100"},
		{"late, to be refunded", refund, "1000@98!", true, "late 0 0 0:1000"},
		{"late, and not confirmed", refund, "1000@99!", true, "late 0 0"},
		{"half in time, half late, in proportion", proportion, "500@90 500@98!", true, "late 3 100"},
		{"half in time, half late, both refunded", refund, "500@90 500@98!", true, "underpaid 0 0 0:500 1:500"},
		{"in time, and once more late", refund, "1000@90 700@98!", true, "overpaid 3 100 1:700"},
		{"half of it refunded before the rest came late", Policy{Confirmations: 3, Late: Proportion}, "500@90-500 500@98!", true, "underpaid 0 0 1:500"},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := expiry
			if c.expired {
				now = expiry.Add(time.Hour)
			}
			a := Assess(quoted, c.policy, Settled{}, paid(t, c.paid), tip, now)
			got := fmt.Sprint(a.State, " ", a.Confirmations, " ", a.Credit)
			slices.SortFunc(a.Refunds, func(x, y RefundDue) int { return compareOut(x.Out, y.Out) })
			for _, r := range a.Refunds {
				got += fmt.Sprintf(" %d:%d", r.Out.Index, int64(r.BTC))
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAssessSaysWhatIsMissing(t *testing.T) {
	a := Assess(quoted, Policy{Confirmations: 1}, Settled{}, paid(t, "400@0 100@5"), 5, expiry)
	if a.Paid != 500 || a.Missing != 500 {
		t.Errorf("paid %d, missing %d, want 500 and 500", int64(a.Paid), int64(a.Missing))
	}
}

// drawn is a quote, a policy, and outputs.
func drawn(t *rapid.T) (Quote, Policy, []Received, int32) {
	rule := rapid.SampledFrom([]Rule{Refund, Proportion})
	q := Quote{
		AITBC:     account.Money(rapid.Int64Range(0, 1<<50).Draw(t, "aitbc")),
		BTC:       account.Money(rapid.Int64Range(1, 1<<40).Draw(t, "btc")),
		ExpiresAt: expiry,
	}
	p := Policy{
		Confirmations: rapid.Int32Range(0, 4).Draw(t, "confirmations"),
		Underpaid:     rule.Draw(t, "underpaid"), Overpaid: rule.Draw(t, "overpaid"), Late: rule.Draw(t, "late"),
	}
	const tip = 50
	received := make([]Received, rapid.IntRange(0, 5).Draw(t, "outputs"))
	for i := range received {
		received[i] = Received{
			Out:    wire.OutPoint{Index: uint32(i)},
			BTC:    account.Money(rapid.Int64Range(1, 1<<rapid.IntRange(1, 42).Draw(t, "size")).Draw(t, "satoshi")),
			Height: rapid.SampledFrom([]int32{0, 40, 47, 48, 49, 50}).Draw(t, "height"),
			At:     expiry.Add(time.Duration(rapid.IntRange(-2, 2).Draw(t, "at")) * time.Second),
		}
	}
	return q, p, received, tip
}

func drawTime(t *rapid.T, label string) time.Time {
	return expiry.Add(time.Duration(rapid.IntRange(-2, 2).Draw(t, label)) * time.Second)
}

func TestAssessNeverGivesMoreThanWasPaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, p, received, tip := drawn(t)
		a := Assess(q, p, Settled{}, received, tip, drawTime(t, "now"))
		var confirmed, refunded account.Money
		for _, r := range received {
			if r.Height != 0 && tip-r.Height+1 >= p.Confirmations || p.Confirmations == 0 {
				confirmed += r.BTC
			}
		}
		for _, due := range a.Refunds {
			refunded += due.BTC
			if r := received[due.Out.Index]; due.BTC <= 0 || due.BTC > r.BTC {
				t.Fatalf("%d of %d are refunded", due.BTC, r.BTC)
			}
		}
		// What is credited, in satoshi at the quote's rate, rounded up, and what goes back.
		worth := account.Money(0)
		if a.Credit > 0 {
			var ok bool
			if worth, ok = a.Credit.MulDivDown(q.BTC, q.AITBC); !ok {
				t.Fatalf("credit %s at %s for %d is out of range", a.Credit, q.AITBC, q.BTC)
			}
		}
		if total := worth + refunded; total > confirmed {
			t.Fatalf("credit %s is worth %d, refunds %d, of %d confirmed", a.Credit, worth, refunded, confirmed)
		}
		// Nothing that is confirmed is kept when all is over, but for fractions.
		over := Assess(q, p, Settled{}, received, tip+10, expiry.Add(time.Hour))
		if p.Underpaid == Proportion && p.Overpaid == Proportion && p.Late == Proportion && over.Credit > 0 && len(over.Refunds) != 0 {
			t.Fatalf("refunds %v, though all is credited in proportion", over.Refunds)
		}
	})
}

func TestAssessCreditsNoLessAsTimeAndMoneyCome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, p, received, tip := drawn(t)
		now := drawTime(t, "now")
		before := Assess(q, p, Settled{}, received, tip, now)
		// The refund queue takes what is due, as its operator's log has it.
		after := slices.Clone(received)
		for _, due := range before.Refunds {
			after[due.Out.Index].Refunded += due.BTC
		}
		for i := range after {
			if after[i].Height == 0 && rapid.Bool().Draw(t, "mined") {
				after[i].Height = tip + 1
			}
		}
		if rapid.Bool().Draw(t, "more") {
			// In time only while there is time.
			at := now
			after = append(after, Received{
				Out: wire.OutPoint{Index: 99}, BTC: account.Money(rapid.Int64Range(1, 1<<40).Draw(t, "satoshi")), Height: tip, At: at,
			})
		}
		later := now.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "later")) * time.Second)
		got := Assess(q, p, Settled{}, after, tip+int32(rapid.IntRange(0, 5).Draw(t, "blocks")), later)
		if got.Credit < before.Credit {
			t.Fatalf("credit went from %s to %s\n%+v\n%+v", before.Credit, got.Credit, before, got)
		}
	})
}

func TestAssessDoesNotDependOnTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, p, received, tip := drawn(t)
		now := drawTime(t, "now")
		want := Assess(q, p, Settled{}, received, tip, now)
		if got := Assess(q, p, Settled{}, rapid.Permutation(received).Draw(t, "order"), tip, now); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	})
}

func TestAssessTakesWhatCountsForAFloor(t *testing.T) {
	refund, proportion := Policy{Confirmations: 3}, Policy{Confirmations: 3, Underpaid: Proportion, Overpaid: Proportion, Late: Proportion}
	const tip = 100
	whole := func(n account.Money) account.Money { return n * account.Unit }
	for _, c := range []struct {
		name   string
		policy Policy
		before Settled
		paid   string
		counts int // how many of the first outputs count, or if negative, counted and are back
		want   string
	}{
		{"credited in proportion, to be refunded now", refund, Settled{Credited: whole(200)}, "2000@98", 1, "overpaid 200 outs 0"},
		{"and then more", refund, Settled{Credited: whole(200)}, "2000@98 7@98", 1, "overpaid 200 outs 0 refunds 1:7"},
		{"tolerated then", refund, Settled{Credited: whole(100)}, "950@98", 1, "credited 100 outs 0"},
		{"and then dust", refund, Settled{Credited: whole(100)}, "950@98 7@98", 1, "credited 100 outs 0 refunds 1:7"},
		{"late then", refund, Settled{Credited: whole(100)}, "1000@98!", 1, "late 100 outs 0"},
		{"not as deep as is wanted now", refund, Settled{Credited: whole(100)}, "1000@100", 1, "credited 100 outs 0"},
		{"half was taken back", refund, Settled{Credited: whole(100), Missing: true}, "500@98", 1, "underpaid 50 outs 0"},
		{"and replaced by less", refund, Settled{Credited: whole(100), Missing: true}, "500@98 300@98", 1, "underpaid 50 outs 0 refunds 1:300"},
		{"and replaced by less, in proportion", proportion, Settled{Credited: whole(100), Missing: true}, "500@98 300@98", 1, "underpaid 80 outs 0 1"},
		{"and replaced by more", refund, Settled{Credited: whole(100), Missing: true}, "500@98 700@98", 1, "overpaid 100 outs 0 1 refunds 1:200"},
		{"it is back, and not deep enough", refund, Settled{Credited: whole(100)}, "1000@99", -1, "confirming 0 outs"},
		{"it is back", refund, Settled{Credited: whole(100)}, "1000@98", -1, "credited 100 outs 0"},
		{"it is back in part", refund, Settled{Credited: whole(100), Missing: true}, "400@98", -1, "underpaid 40 outs 0"},
		{"an operator settled it", proportion, Settled{Credited: whole(100), Answered: whole(100), Ended: true}, "700@98", 0, "credited 100 outs refunds 0:700"},
		{"an operator failed it", proportion, Settled{Ended: true}, "1000@98 5@100", 0, "underpaid 0 outs refunds 0:1000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			received := paid(t, c.paid)
			for i := range received {
				received[i].Counted, received[i].Reversed = i < c.counts, i < -c.counts
			}
			a := Assess(quoted, c.policy, c.before, received, tip, expiry.Add(time.Hour))
			got := fmt.Sprintf("%s %s outs", a.State, a.Credit)
			for _, out := range a.Outs {
				got += fmt.Sprint(" ", out.Index)
			}
			for i, r := range a.Refunds {
				if i == 0 {
					got += " refunds"
				}
				got += fmt.Sprintf(" %d:%d", r.Out.Index, int64(r.BTC))
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
