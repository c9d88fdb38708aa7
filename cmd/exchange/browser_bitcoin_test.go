package main

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/aitbc/exchange/actors/bitcoin/bitcointest"
)

// enter opens the page of a buyer, who has logged in already.
func (b *buyer) enter(v view) *page {
	b.t.Helper()
	p := openPage(b.t, b.service, "/", v)
	eval[chromedp.Void](p, fmt.Sprintf("(() => { sessionStorage.setItem('aitbc.session', JSON.stringify({ user_id: %s, token: %s, wallet: 'aitbc1wallet_buyer', username: 'buyer' })); })()", quote(b.id), quote(b.token)))
	p.reload()
	p.waitText("#connection-text", "Live")
	return p
}

// order asks for a payment by the form, and returns the address to pay to.
func (p *page) order(aitbc string) string {
	p.t.Helper()
	p.fill("#buy-aitbc", aitbc)
	p.click("#buy [type=submit]")
	p.waitText("#payment .payment-state", "Waiting for your Bitcoin")
	return eval[string](p, "JSON.parse(sessionStorage.getItem('aitbc.payment')).payment_address")
}

func TestThePageFollowsAPaymentThroughTheChain(t *testing.T) {
	n := bitcointest.Start(t)
	n.Generate(110)
	b := newBuyer(t, n, "--confirmations", "2")
	b.buy() // the service follows the chain
	p := b.enter(desktop)
	if eval[bool](p, element("#demo")+".checkVisibility()") {
		t.Error("the page of a real chain says that it is a demo")
	}
	address := p.order("1000")
	if eval[bool](p, element("#payment .demo-note")+".checkVisibility()") {
		t.Error("the payment says that it is made by itself")
	}

	// Too little is told with what is missing, and how to pay it.
	n.Wallet.Pay(bitcointest.Payment{Address: address, Satoshi: buyPrice - 5000})
	n.Generate(2)
	p.waitText("#payment .payment-state", "0.00005 BTC are missing")
	p.waitText("#payment .pay-amount", "0.00005 BTC")
	if eval[bool](p, element("#payment .qr")+".checkVisibility()") {
		t.Error("the QR code of the whole amount is still shown")
	}
	if href := eval[string](p, element("#payment .pay a")+".getAttribute('href')"); href != "bitcoin:"+address+"?amount=0.00005" {
		t.Errorf("the link is %q, want the rest", href)
	}
	p.shoot("chain-underpaid")
	n.Wallet.Pay(bitcointest.Payment{Address: address, Satoshi: 5000})
	n.Generate(2)
	p.waitText("#payment .payment-state", "1,000.00 AITBC are in your balance")
	p.waitBalance("1000", "1000", "0")
	p.click("#payment .primary")

	// In the mempool, in a block, and credited, each as it happens.
	address = p.order("1000")
	n.Wallet.Pay(bitcointest.Payment{Address: address, Satoshi: buyPrice})
	p.waitText("#payment .payment-state", "Seen on the network: 0 of 2")
	if eval[bool](p, element("#payment .pay")+".checkVisibility()") {
		t.Error("what has been paid is still asked for")
	}
	p.shoot("chain-seen")
	n.Generate(1)
	p.waitText("#payment .payment-state", "1 of 2")
	p.waitText("#payment .steps .now", "Confirmation")
	p.shoot("chain-confirming")
	p.waitBalance("1000", "1000", "0")
	n.Generate(1)
	p.waitText("#payment .payment-state", "1,000.00 AITBC are in your balance")
	p.waitBalance("2000", "2000", "0")
	p.shoot("chain-credited")
}
