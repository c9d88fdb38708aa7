package account

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// address is the event that adds an address which may be used at once.
func address(n uint32, of string) *AddressAdded {
	return &AddressAdded{N: n, Kind: AddressAITBC, Label: "l", Address: of, UsableAt: start}
}

func addTo(label, of string) *AddAddress {
	return &AddAddress{Kind: AddressAITBC, Label: label, Address: of, CoolingOff: time.Hour}
}

// refusal returns why c is refused.
func refusal(t *testing.T, a *Account, c Command, now Time, want Code) *Error {
	t.Helper()
	refused(t, a, c, nil, now, want)
	_, err := a.Decide(c, nil, now)
	return err.(*Error)
}

func TestValueGoesToAnAddressOfTheBookOnceItHasCooledOff(t *testing.T) {
	guard := Safeguards{Address: "aitbc_00", CoolingOff: time.Hour}
	for _, c := range []Command{
		&Withdraw{Safeguards: guard, Amount: 1, To: "aitbc_00"}, &Sell{Safeguards: guard, Amount: 1, BTC: 1, Address: "aitbc_00"},
	} {
		t.Run(fmt.Sprintf("%T", c), func(t *testing.T) {
			a := opened(t, 100)
			if err := refusal(t, a, c, start, CodeAddressNotUsable); err.RetryAt != 0 || !strings.Contains(err.Message, start.Add(time.Hour).String()) {
				t.Errorf("an address that is not in the book: %+v", err)
			}
			do(t, a, addTo("mine", "aitbc_00"), start)
			do(t, a, addTo("another", "aitbc_01"), start)
			usable := start.Add(time.Hour)
			for _, now := range []Time{start, usable - 1} {
				if err := refusal(t, a, c, now, CodeAddressNotUsable); err.RetryAt != usable || !strings.Contains(err.Message, usable.String()) {
					t.Errorf("at %s: %+v, want from %s on", now, err, usable)
				}
			}
			do(t, a, c, usable)
			do(t, a, &RemoveAddress{N: 1}, usable)
			refused(t, a, c, nil, usable, CodeAddressNotUsable)
			do(t, a, addTo("mine again", "aitbc_00"), usable)
			refused(t, a, c, nil, usable, CodeAddressNotUsable)
			do(t, a, c, usable.Add(time.Hour))
		})
	}
}

func TestAShorterCoolingOffDoesNotShortenWhatWasSaid(t *testing.T) {
	a := opened(t, 100)
	do(t, a, addTo("mine", "aitbc_00"), start)
	withdraw := &Withdraw{Safeguards: Safeguards{Address: "aitbc_00", CoolingOff: time.Nanosecond}, Amount: 1, To: "aitbc_00"}
	refused(t, a, withdraw, nil, start.Add(time.Hour)-1, CodeAddressNotUsable)
	withdraw.CoolingOff = 0 // the duty is off
	do(t, a, withdraw, start)
}

func TestAnAddressIsInTheBookOnce(t *testing.T) {
	a := opened(t, 0)
	do(t, a, addTo("mine", "aitbc_00"), start)
	first := a.AddressBook
	if d := keyed(t, a, addTo("mine", "aitbc_00"), nil, start+5); len(d.Record.Events) != 0 {
		t.Errorf("the same again is %+v", d.Record.Events)
	}
	refused(t, a, addTo("other words", "aitbc_00"), nil, start+5, CodeNoChange)
	do(t, a, addTo("mine", "aitbc_01"), start+5)
	if len(first.Addresses) != 1 || len(a.AddressBook.Addresses) != 2 {
		t.Errorf("a book that was shared has %d addresses, the account's %d", len(first.Addresses), len(a.AddressBook.Addresses))
	}
	want := KnownAddress{N: 2, Kind: AddressAITBC, Label: "mine", Address: "aitbc_01", CreatedAt: start + 5, UsableAt: start.Add(time.Hour) + 5}
	if got, ok := a.AddressBook.Find("aitbc_01"); !ok || got != want {
		t.Errorf("the second is %+v, want %+v", got, want)
	}
}

func TestANumberOfTheBookIsNeverUsedAgain(t *testing.T) {
	a := opened(t, 0)
	for n := uint32(1); n <= 3; n++ {
		do(t, a, addTo("mine", "aitbc_00"), start)
		if got, _ := a.AddressBook.Find("aitbc_00"); got.N != n {
			t.Fatalf("address %d has the number %d", n, got.N)
		}
		refused(t, a, &RemoveAddress{N: n - 1}, nil, start, CodeNotFound)
		do(t, a, &RemoveAddress{N: n}, start)
		refused(t, a, &RemoveAddress{N: n}, nil, start, CodeNotFound)
	}
}

func TestABookHasALimit(t *testing.T) {
	a := opened(t, 0)
	for n := range MaxAddresses {
		do(t, a, addTo("mine", fmt.Sprintf("aitbc_%d", n)), start)
	}
	refused(t, a, addTo("mine", "one_more"), nil, start, CodeAddressBookFull)
	do(t, a, &RemoveAddress{N: 50}, start)
	do(t, a, addTo("mine", "one_more"), start)
	if err := a.Apply(&Record{User: a.ID, Seq: a.Seq + 1, At: start, Events: []Event{address(MaxAddresses+2, "too many")}}); err == nil {
		t.Error("an event brings one address too many into the book")
	}
}

func TestABookOfWhoIsNotActiveStaysAsItIs(t *testing.T) {
	a := opened(t, 0)
	do(t, a, addTo("mine", "aitbc_00"), start)
	do(t, a, &SetStatus{Status: Suspended, By: "ops"}, start)
	refused(t, a, addTo("mine", "aitbc_01"), nil, start, CodeSuspended)
	refused(t, a, &RemoveAddress{N: 1}, nil, start, CodeSuspended)
}
