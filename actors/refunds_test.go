package actors_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// queue lists the whole refund queue in pages of two: amounts in satoshi.
func (p *paidWorld) queue(settled bool) (list string) {
	p.t.Helper()
	var after actors.RefundID
	for range 10 {
		refunds, total, more := p.Refunds(settled, after, 2)
		for _, r := range refunds {
			list += fmt.Sprintf("%d/%d ", int64(r.Output.Refunded), int64(r.Due))
			after = r.RefundID
		}
		if !more {
			return fmt.Sprint(list, total)
		}
	}
	p.t.Fatal("the queue has no end")
	return ""
}

func TestARefundIsListedUntilItIsSettledAlsoAfterARestart(t *testing.T) {
	disk := onDisk(t, t.TempDir())
	p := newPaidWorld(t, disk)
	ids := []account.TransactionID{p.buy(p.s, thousand), p.buy(p.s, thousand), p.buy(p.s, thousand)}
	for i, id := range ids { // each a little too much
		p.block(100+i, p.output(id, byte(i+1), price+account.Money(i+1)))
	}
	p.block(104)
	const all = "1/1 2/2 3/3 3"
	if got := p.queue(false); got != all || p.queue(true) != "0" || p.Stats().RefundsDue != 3 {
		t.Fatalf("the queue is %s, want %s", got, all)
	}
	if _, err := p.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := p.transaction(ids[1]).Detail.Outputs[0].Out
	settle := func() error {
		_, err := p.SettleRefund(actors.RefundID{Payment: ids[1], Out: second}, "ab", "olga", "sent back", nil)
		return err
	}
	results := make([]error, 8)
	together(len(results), func(i int) { results[i] = settle() })
	done := 0
	for _, err := range results {
		switch {
		case err == nil:
			done++
		case codeOf(err) != account.CodeNoChange:
			t.Error(err)
		}
	}
	if done != 1 {
		t.Errorf("it was settled %d times", done)
	}
	for range 2 { // before a restart, and after it
		if open, settled := p.queue(false), p.queue(true); open != "1/1 3/3 2" || settled != "2/0 1" {
			t.Errorf("open are %s, settled %s", open, settled)
		}
		r, _ := p.Refund(actors.RefundID{Payment: ids[1], Out: second})
		if r.Last.By != "olga" || r.Last.TxHash != "ab" || r.Last.BTC != 2 || r.Last.At == 0 {
			t.Errorf("it was settled as %+v", r.Last)
		}
		p.restart(disk)
	}
	if err := settle(); codeOf(err) != account.CodeNoChange {
		t.Errorf("settled again after a restart: %v", err)
	}
	if _, err := p.SettleRefund(actors.RefundID{Payment: ids[0], Out: second}, "", "olga", "r", nil); codeOf(err) != account.CodeNotFound {
		t.Errorf("an output of another payment: %v", err)
	}
}

func TestTheOrderOfRefundsFollowsAnOutputThatCameEarlierInAnotherBlock(t *testing.T) {
	disk := onDisk(t, t.TempDir())
	p := newPaidWorld(t, disk)
	first, second, third := p.buy(p.s, thousand), p.buy(p.s, thousand), p.buy(p.s, thousand)
	p.block(100, p.output(first, 1, price+1))
	p.block(101, p.output(second, 2, price+2))
	out := p.output(third, 3, price+3)
	p.block(102, out)
	p.block(104)
	if got := p.queue(false); got != "1/1 2/2 3/3 3" {
		t.Fatalf("the queue is %s", got)
	}
	earlier := time.Now().Add(-time.Hour) // as the miner of the block that replaces it says
	p.chain.tell(t, &bitcoin.Removed{Output: out, Block: ref(102)}, &bitcoin.InBlock{Output: out, Block: ref(105), Time: earlier}, &bitcoin.Tip{Block: ref(105), Time: time.Now()})
	for _, when := range []string{"before a restart", "after it"} {
		if got := p.queue(false); got != "3/3 1/1 2/2 3" {
			t.Errorf("%s the queue is %s", when, got)
		}
		p.restart(disk)
	}
}

func TestARefundIsNamedByOneText(t *testing.T) {
	id := actors.RefundID{Payment: account.TransactionID{User: account.UserID{1}, N: 7}, Out: account.Outpoint{TxID: account.ChainHash{1}, Index: 9}}
	if got, err := actors.ParseRefundID(id.String()); err != nil || got != id {
		t.Errorf("%s is read as %v, %v", id, got, err)
	}
	for _, wrong := range []string{"", ".", id.Payment.String(), id.Out.String(), id.String() + "0x", id.Payment.String() + "." + id.Out.TxID.String() + ":07", id.Payment.String() + ".ab:0"} {
		if _, err := actors.ParseRefundID(wrong); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}
