package account

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestARecordThatDoesNotFollowIsRefused(t *testing.T) {
	deposit := &Deposited{Amount: 1}
	created := &Created{Wallet: "w"}
	// The account has records 1 and 2: a login, and deposit 1 of 100.
	record := func(seq uint64, at Time, events ...Event) *Record {
		return &Record{User: testUser, Seq: seq, At: at, Events: events}
	}
	next := func(events ...Event) *Record { return record(3, start, events...) }
	payment := &PaymentCreated{Amount: 5}
	withdrawal := &WithdrawalRequested{Amount: 60, Fee: 10}
	tests := map[string]*Record{
		"another user":                      {User: UserID{1}, Seq: 3, At: start, Events: []Event{deposit}},
		"the record before":                 record(2, start, deposit),
		"a gap":                             record(4, start, deposit),
		"a time before the last":            record(3, start-1, deposit),
		"no events":                         next(),
		"created again":                     next(created),
		"created again in passing":          next(deposit, created),
		"deposit of nothing":                next(&Deposited{}),
		"deposit beyond the range":          next(&Deposited{Amount: MaxMoney - 99}),
		"credit of nothing":                 next(&Credited{}),
		"credit beyond the range":           next(&Credited{Amount: MaxMoney}),
		"debit of nothing":                  next(&Debited{}),
		"debit of too much":                 next(&Debited{Amount: 101}),
		"debit of what is held":             next(withdrawal, &Debited{Amount: 31}),
		"withdrawal of nothing":             next(&WithdrawalRequested{Fee: 1}),
		"withdrawal of too much":            next(&WithdrawalRequested{Amount: 100, Fee: 1}),
		"withdrawal whose sum wraps":        next(&WithdrawalRequested{Amount: MaxMoney, Fee: MaxMoney}),
		"two withdrawals":                   next(withdrawal, withdrawal),
		"sale of nothing":                   next(&SaleRequested{}),
		"sale of too much":                  next(&SaleRequested{Amount: 101}),
		"payment for nothing":               next(&PaymentCreated{}),
		"completing nothing":                next(&TxCompleted{N: 2}),
		"completing number 0":               next(&TxCompleted{}),
		"completing what is complete":       next(&TxCompleted{N: 1, Type: TypeDeposit, Amount: 100}),
		"completing another type":           next(withdrawal, &TxCompleted{N: 2, Type: TypeSell, Amount: 60, Fee: 10}),
		"completing another amount":         next(withdrawal, &TxCompleted{N: 2, Type: TypeWithdrawal, Amount: 61, Fee: 10}),
		"completing without the fee":        next(withdrawal, &TxCompleted{N: 2, Type: TypeWithdrawal, Amount: 60}),
		"completing twice":                  next(payment, &TxCompleted{N: 2, Type: TypeBuy, Amount: 5}, &TxCompleted{N: 2, Type: TypeBuy, Amount: 5}),
		"completing what failed":            next(payment, &TxFailed{N: 2}, &TxCompleted{N: 2, Type: TypeBuy, Amount: 5}),
		"a payment beyond the range":        next(&PaymentCreated{Amount: MaxMoney}, &TxCompleted{N: 2, Type: TypeBuy, Amount: MaxMoney}),
		"failing nothing":                   next(&TxFailed{N: 2}),
		"failing what is complete":          next(&TxFailed{N: 1}),
		"failing twice":                     next(withdrawal, &TxFailed{N: 2}, &TxFailed{N: 2}),
		"a key for a transaction to come":   next(&KeyUsed{N: 2}),
		"a key for no transaction":          next(&KeyUsed{}),
		"a key before the record's deposit": next(&KeyUsed{N: 2}, deposit),
		"an address with number 0":          next(&AddressAdded{Kind: AddressAITBC, Address: "a", UsableAt: start}),
		"an address with another number":    next(&AddressAdded{N: 2, Kind: AddressAITBC, Address: "a", UsableAt: start}),
		"an address twice":                  next(address(1, "a"), address(2, "a")),
		"an address usable before it is":    next(&AddressAdded{N: 1, Kind: AddressAITBC, Address: "a", UsableAt: start - 1}),
		"removing no address":               next(&AddressRemoved{N: 1}),
		"removing an address twice":         next(address(1, "a"), &AddressRemoved{N: 1}, &AddressRemoved{N: 1}),
		"an approval by nobody":             next(withdrawal, &WithdrawalApproved{N: 2}),
		"an approval of a payment":          next(payment, &WithdrawalApproved{N: 2, By: "ops"}),
		"an approval of what is complete":   next(&WithdrawalApproved{N: 1, By: "ops"}),
		"an identity of a user":             next(&ModeSet{Mode: RealMode}),
		"a network of a user":               next(&NetworkSet{Network: "regtest"}),
		"a key of a user":                   next(&ExtendedKeyAdded{Text: "vpub"}),
		"two approvals":                     next(withdrawal, &WithdrawalApproved{N: 2, By: "ops"}, &WithdrawalApproved{N: 2, By: "more"}),
	}
	for name, r := range tests {
		t.Run(name, func(t *testing.T) {
			a := opened(t, 100)
			err := a.Apply(r)
			if !errors.Is(err, ErrApply) || !strings.Contains(err.Error(), testUser.String()) {
				t.Errorf("Apply gives %v, want ErrApply with the user", err)
			}
		})
	}
	for name, r := range map[string]*Record{
		"a deposit first":    record(1, start, deposit),
		"created second":     record(1, start, deposit, created),
		"created twice":      record(1, start, created, created),
		"number 2 first":     record(2, start, created),
		"number 0":           record(0, start, created),
		"a time before 1970": record(1, -1, created),
	} {
		t.Run(name, func(t *testing.T) {
			if err := New(testUser).Apply(r); !errors.Is(err, ErrApply) {
				t.Errorf("Apply gives %v, want ErrApply", err)
			}
		})
	}
}

// The hash proves that two accounts are the same, so nothing may be missing in
// it. Counts and Frozen are left out: they follow from the history.
func TestWhateverDiffersInAnAccountDiffersInItsHash(t *testing.T) {
	seen := map[Hash]string{}
	check := func(what string, a *Account) {
		t.Helper()
		hash := a.StateHash()
		if other, ok := seen[hash]; ok {
			t.Errorf("the account with another %s has the same hash as %s", what, other)
		}
		seen[hash] = what
	}
	fresh := func() *Account {
		a := opened(t, 100)
		keyed(t, a, &Sell{Amount: 20, BTC: 19, BTCFee: 1, Address: "bc1q"}, &Idempotency{Key: Key{1}}, start)
		return a
	}
	check("nothing", fresh())
	// each changes one field after another of what get points to, puts it back, and
	// checks each alone.
	each := func(of string, get func(a *Account) any, put func(a *Account)) {
		value := func(a *Account) reflect.Value { return reflect.ValueOf(get(a)).Elem() }
		for i := range value(fresh()).NumField() {
			name := value(fresh()).Type().Field(i).Name
			switch of + "." + name {
			case "State.Sessions", "State.History", "State.Counts", "State.Frozen", "State.Trail", "State.Identity", "Identity.Keys", "State.Payouts", "State.PayoutTxs", "State.Restored", "State.Outgoing", "State.Factors", "State.AddressBook", "State.Outbox", "State.Contact", "State.keys",
				"Payout.Number", "Payout.Sales", "Payout.Coins", "PayoutTx.Spends", "PayoutTx.Pays", "PayoutTx.Change", "PayoutCoin.Out", "Refund.Out", "Transaction.Detail", "Detail.Index", "Detail.Outputs", "Detail.Terms":
				continue
			}
			a := fresh()
			change(t, value(a).Field(i))
			put(a)
			check(of+"."+name, a)
		}
	}
	inPlace := func(*Account) {}
	each("State", func(a *Account) any { return &a.State }, inPlace)
	each("Session", func(a *Account) any { return &a.Sessions[0] }, inPlace)
	var second Transaction
	replaced := func(a *Account) { a.History.replace(2, second) }
	each("Transaction", func(a *Account) any { second = transaction(t, a, 2); return &second }, replaced)
	each("Detail", func(a *Account) any { second = transaction(t, a, 2); return second.Detail }, replaced)
	detail := func(what string, alter func(*Detail)) {
		t.Helper()
		a := fresh()
		second := transaction(t, a, 2)
		alter(second.Detail)
		a.History.replace(2, second)
		check(what, a)
	}
	for i := range reflect.TypeFor[PaymentTerms]().NumField() {
		terms := PaymentTerms{Confirmations: 1}
		change(t, reflect.ValueOf(&terms).Elem().Field(i))
		detail("PaymentTerms."+reflect.TypeFor[PaymentTerms]().Field(i).Name, func(d *Detail) { d.Terms = terms })
	}
	detail("index", func(d *Detail) { d.Derived, d.Index = true, 1 })
	detail("output", func(d *Detail) { d.Outputs = []Output{{Height: 1}} })
	detail("two outputs", func(d *Detail) { d.Outputs = []Output{{Height: 1}, {}} })
	for i := range reflect.TypeFor[Output]().NumField() {
		name := reflect.TypeFor[Output]().Field(i).Name
		detail("Output."+name, func(d *Detail) {
			d.Outputs = []Output{{Height: 1, BTC: 5}}
			if name == "Out" {
				d.Outputs[0].Out.Index++
				return
			}
			change(t, reflect.ValueOf(&d.Outputs[0]).Elem().Field(i))
		})
	}
	for what, trail := range map[string]*Trail{
		"trail": {Hashes: []ChainHash{{1}}}, "first block": {First: 1, Hashes: []ChainHash{{1}}},
		"block": {Hashes: []ChainHash{{2}}}, "last block's time": {Hashes: []ChainHash{{1}}, Time: 1},
	} {
		a := fresh()
		a.Trail = trail
		check(what, a)
	}
	for what, alter := range factorChanges() {
		a := fresh()
		f := someFactors()
		alter(f)
		a.Factors = f
		check(what, a)
	}
	outbox := func(what string, o Outbox) {
		t.Helper()
		a := fresh()
		a.Outbox = &o
		check(what, a)
	}
	outbox("outbox", Outbox{Next: 3})
	outbox("next notice", Outbox{Next: 4})
	outbox("lost notices", Outbox{Next: 3, Lost: 1})
	for i := range reflect.TypeFor[Notice]().NumField() {
		n := &Notice{N: 1, Channel: ChannelWebhook, State: NoticeOpen}
		change(t, reflect.ValueOf(n).Elem().Field(i))
		outbox("Notice."+reflect.TypeFor[Notice]().Field(i).Name, Outbox{Next: 3, Notices: []*Notice{n}})
	}
	contact := func(what string, c Contact) {
		t.Helper()
		a := fresh()
		a.Contact = &c
		check(what, a)
	}
	contact("contact", Contact{})
	contact("Contact.Codes", Contact{Codes: []Time{1}})
	contact("Contact.Recovery", Contact{Recovery: &Recovery{}})
	for i := range reflect.TypeFor[Recovery]().NumField() {
		r := &Recovery{}
		change(t, reflect.ValueOf(r).Elem().Field(i))
		contact("Recovery."+reflect.TypeFor[Recovery]().Field(i).Name, Contact{Recovery: r})
	}
	for i := range reflect.TypeFor[Contact]().NumField() {
		if name := reflect.TypeFor[Contact]().Field(i).Name; name != "Codes" && name != "Recovery" {
			c := Contact{}
			change(t, reflect.ValueOf(&c).Elem().Field(i))
			contact("Contact."+name, c)
		}
	}
	paying := func(a *Account) *Payout {
		a.Payouts = &Payouts{List: []*Payout{{Sales: []TransactionID{{}}, Coins: []PayoutCoin{{}}, Unsigned: []byte{1}, Tx: []byte{2}}}}
		a.PayoutTxs = &PayoutTxs{List: []*PayoutTx{{Spends: []Outpoint{{}}, Pays: []PaidSale{{}}, Change: []PayoutCoin{{}}}}}
		return a.Payouts.List[0]
	}
	each("Payout", func(a *Account) any { return paying(a) }, inPlace)
	each("PayoutCoin", func(a *Account) any { return &paying(a).Coins[0] }, inPlace)
	tied := func(a *Account) *Identity {
		a.Identity = &Identity{Mode: DemoMode, Keys: []ExtendedKey{{}}}
		return a.Identity
	}
	each("Identity", func(a *Account) any { return tied(a) }, inPlace)
	each("ExtendedKey", func(a *Account) any { return &tied(a).Keys[0] }, inPlace)
	each("PayoutTx", func(a *Account) any { paying(a); return a.PayoutTxs.List[0] }, inPlace)
	going := func(a *Account) *Outgoing {
		a.Outgoing = &Outgoing{Claims: []Claim{{}}, Refunds: []Refund{{}}}
		return a.Outgoing
	}
	each("Claim", func(a *Account) any { return &going(a).Claims[0] }, inPlace)
	each("Refund", func(a *Account) any { return &going(a).Refunds[0] }, inPlace)
	for what, alter := range map[string]func(*Account){
		"sale's user":     func(a *Account) { paying(a).Sales[0].User[0]++ },
		"sale's number":   func(a *Account) { paying(a).Sales[0].N++ },
		"coin":            func(a *Account) { paying(a).Coins[0].Out.Index++ },
		"second key":      func(a *Account) { i := tied(a); i.Keys = append(i.Keys, i.Keys[0]) },
		"spent coin":      func(a *Account) { paying(a); a.PayoutTxs.List[0].Spends[0].Index++ },
		"paid sale":       func(a *Account) { paying(a); a.PayoutTxs.List[0].Pays[0].Sale.N++ },
		"paying output":   func(a *Account) { paying(a); a.PayoutTxs.List[0].Pays[0].Index++ },
		"change":          func(a *Account) { paying(a); a.PayoutTxs.List[0].Change[0].Out.Index++ },
		"second payout":   func(a *Account) { p := paying(a); a.Payouts.List = append(a.Payouts.List, p) },
		"refunded output": func(a *Account) { going(a).Refunds[0].Out.Index++ },
		"no refund":       func(a *Account) { going(a).Refunds = nil },
		"no claim":        func(a *Account) { going(a).Claims = nil },
		"no transaction":  func(a *Account) { paying(a).Unsigned = nil },
	} {
		a := fresh()
		alter(a)
		check(what, a)
	}
	for what, alter := range restoredChanges() {
		a := fresh()
		a.Restores, a.Restored = 1, someRestored()
		alter(a)
		check(what, a)
	}
	book := func() *AddressBook {
		return &AddressBook{Last: 2, Addresses: []KnownAddress{{N: 1, Kind: AddressAITBC, Label: "l", Address: "a", CreatedAt: start, UsableAt: start}}}
	}
	a := fresh()
	a.AddressBook = book()
	check("address book", a)
	a = fresh()
	a.AddressBook = &AddressBook{Last: 3, Addresses: book().Addresses}
	check("last address", a)
	for i := range reflect.TypeFor[KnownAddress]().NumField() {
		a := fresh()
		a.AddressBook = book()
		change(t, reflect.ValueOf(&a.AddressBook.Addresses[0]).Elem().Field(i))
		check("KnownAddress."+reflect.TypeFor[KnownAddress]().Field(i).Name, a)
	}
	for what, c := range map[string]Command{
		"session": login(1, start), "no session": &Logout{Session: session(0)}, "transaction": &Deposit{Amount: 1},
	} {
		a := fresh()
		do(t, a, c, start)
		a.Seq, a.Balance = fresh().Seq, fresh().Balance
		check(what, a)
	}
	a = fresh()
	first := transaction(t, a, 1)
	first.Detail = &Detail{}
	a.History.replace(1, first)
	check("empty detail", a)
	for what, alter := range map[string]func(*keyUse){
		"key":          func(use *keyUse) { use.key[0]++ },
		"fingerprint":  func(use *keyUse) { use.fingerprint[0]++ },
		"key's time":   func(use *keyUse) { use.at++ },
		"key's number": func(use *keyUse) { use.n++ },
	} {
		a := fresh()
		alter(&a.keys[0])
		check(what, a)
	}
	a = fresh()
	a.addKey(keyUse{key: Key{2}, at: start})
	check("second key", a)
}

// change gives a field another value.
func change(t *testing.T, field reflect.Value) {
	t.Helper()
	switch field.Kind() {
	case reflect.Int32, reflect.Int64:
		field.SetInt(field.Int() + 1)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		field.SetUint(field.Uint() + 1)
	case reflect.String:
		field.SetString(field.String() + "x")
	case reflect.Bool:
		field.SetBool(!field.Bool())
	case reflect.Slice:
		field.Set(reflect.Append(field, reflect.ValueOf(byte(9))))
	case reflect.Array:
		field.Index(0).SetUint(field.Index(0).Uint() + 1)
	default:
		t.Fatalf("no other value for a %s", field.Type())
	}
}

func TestATallyCountsWhatCameInWhatWentOutAndTheFees(t *testing.T) {
	var tally Tally
	for _, r := range goldenHistory() {
		tally.Add(r)
	}
	// In: deposit 100, buy 7, credit 5. Out: withdrawal 30, debit 2, and a fee of 1.
	got := fmt.Sprint(&tally.Credits, &tally.Debits, &tally.Fees, tally.Balance())
	if want := fmt.Sprint(int64(112*Unit), int64(32*Unit), int64(Unit), int64(79*Unit)); got != want {
		t.Errorf("credits, debits, fees and balance are %s, want %s", got, want)
	}
	// Sums over many accounts leave the range of Money.
	for range 3 {
		tally.Add(&Record{Events: []Event{&Credited{Amount: MaxMoney}}})
	}
	if tally.Balance().IsInt64() {
		t.Errorf("three times the most of an account is %s", tally.Balance())
	}
}
