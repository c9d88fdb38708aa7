package main

import (
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// addToBook gives the typed address a name in the open dialog.
func (p *page) addToBook(label string) {
	p.t.Helper()
	p.fill("#book-label", label)
	p.press(kb.Enter)
	p.waitText("#book-entries", label)
}

func TestANewAddressOfTheBookIsPaidToLater(t *testing.T) {
	s := startService(t, t.TempDir(), "--address-cooling-off", "2h")
	p := openPage(t, s, "/", view{width: 360, height: 740, mobile: true, dark: true})
	p.connect()
	p.deposit("1000")
	p.typeWithdrawal("5")
	p.waitText("#withdraw-address-error", "not in your address book")
	p.waitText("#withdraw-address-error", "2 hours later")
	p.click("#withdraw-book")
	p.waitText("#book-words", "a new one after 2 hours")
	p.waitShown("#book-empty")
	p.addToBook("my <b>cold</b> wallet") // the address is the one that was typed
	p.waitText("#book-entries", "may be used from")
	p.checkAccess("the address book")
	p.checkWidth("the address book", 360)
	p.shoot("book")
	if n := eval[int](p, `document.querySelectorAll("#book-entries button:not(.danger)").length`); n != 0 {
		t.Error("an address that may not be used yet can be chosen")
	}
	p.press(kb.Escape)
	p.wait(`!document.querySelector("#book").open`)
	p.click("#withdraw [type=submit]")
	p.waitText("#withdraw-address-error", "is new in your address book: it may be used from")
	p.waitBalance("1000", "1000", "0")

	// A sale's book is another one.
	p.click("#tab-sell")
	p.fill("#sell-aitbc", "500")
	p.fill("#sell-address", aBitcoinAddress)
	p.click("#sell [type=submit]")
	p.waitText("#sell-address-error", "not in your address book")
	p.click("#sell-book")
	p.waitShown("#book-empty")
	p.press(kb.Escape)
	p.click("#tab-withdraw")
	p.click("#withdraw-book")
	p.click("#book-entries .danger")
	p.waitShown("#book-empty")
}

func TestAnAddressIsChosenFromTheBook(t *testing.T) {
	s := startService(t, t.TempDir(), "--address-cooling-off", "1s")
	p := openPage(t, s, "/", desktop)
	p.connect()
	p.deposit("1000")
	p.click("#tab-withdraw")
	p.fill("#withdraw-amount", "5")
	p.click("#withdraw-book")
	p.fill("#book-address", "no address")
	p.waitText("#book-address-error", "cannot be in an address")
	p.fill("#book-address", "aitbc1friend00001")
	p.addToBook("a friend")
	p.click("#book-entries button:not(.danger)") // comes by itself when it may be used
	p.wait(element("#withdraw-address") + ".value === 'aitbc1friend00001' && document.activeElement.id === 'withdraw-address'")
	p.press(kb.Enter)
	p.waitText("#toast", "Withdrawal placed")
	p.waitBalance("1000", "995", "5")
}
