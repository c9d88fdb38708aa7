package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
)

// quoteCase is a quote by the Go code, all in base units as text.
type quoteCase struct {
	Rate, FeePPM       string
	Amount, Total, Fee string // of a buy
	Payout, SaleFee    string // of a sale
	Text               string // the amount as the API writes it
	Budget, Most       string // the largest amount that Budget satoshi pay for
}

func units(m account.Money) string { return fmt.Sprint(int64(m)) }

// quoteCases are random terms and amounts of every size.
func quoteCases(t *testing.T, n int) []quoteCase {
	random := rand.New(rand.NewPCG(5, 5))
	size := func(bits int) account.Money { return account.Money(random.Int64N(1<<random.IntN(bits)) + 1) }
	var cases []quoteCase
	for len(cases) < n {
		terms := actors.Terms{Rate: size(60), FeePPM: random.Int64N(200_001), MinPayment: 1, MaxPayment: account.MaxMoney}
		if random.IntN(3) == 0 {
			terms = actors.DefaultTerms()
			terms.MinPayment, terms.MaxPayment = 1, account.MaxMoney
		}
		amount := size(62)
		total, fee, refused := terms.BuyQuote(amount)
		if refused != nil {
			continue
		}
		c := quoteCase{Rate: units(terms.Rate), FeePPM: fmt.Sprint(terms.FeePPM), Amount: units(amount),
			Total: units(total), Fee: units(fee), Text: amount.String()}
		if payout, fee, refused := terms.SaleQuote(amount); refused == nil {
			c.Payout, c.SaleFee = units(payout), units(fee)
		}
		// What this budget buys is the largest amount whose quote it covers: found here
		// by bisection, not by the page's formula.
		budget := total + account.Money(random.Int64N(3))
		fits := func(m account.Money) bool {
			cost, _, refused := terms.BuyQuote(m)
			return refused == nil && cost <= budget
		}
		low, high := amount, account.MaxMoney
		for low < high {
			if middle := low + (high-low)/2 + 1; fits(middle) {
				low = middle
			} else {
				high = middle - 1
			}
		}
		if low == account.MaxMoney {
			continue
		}
		c.Budget, c.Most = units(budget), units(low)
		cases = append(cases, c)
	}
	return cases
}

func TestThePageQuotesAsTheExchangeDoes(t *testing.T) {
	s := startService(t, t.TempDir())
	p := openPage(t, s, "/", desktop)
	cases, err := json.Marshal(quoteCases(t, 5000))
	if err != nil {
		t.Fatal(err)
	}
	wrong := eval[[]string](p, fmt.Sprintf(`(async () => {
		const money = await import("/assets/money.js");
		const { decode, encode } = await import("/assets/json.js");
		const wrong = [];
		for (const c of %s) {
			const terms = { rate: BigInt(c.Rate), feePPM: BigInt(c.FeePPM) };
			const amount = BigInt(c.Amount);
			const is = (what, got, want) => { if (want !== "" && String(got) !== want) wrong.push(what + " of " + JSON.stringify(c) + " is " + got); };
			const buy = money.buyQuote(amount, terms);
			is("total", buy.total, c.Total);
			is("fee", buy.fee, c.Fee);
			const sale = money.saleQuote(amount, terms);
			is("payout", sale.payout, c.Payout);
			is("sale fee", sale.fee, c.SaleFee);
			is("most", money.mostFor(BigInt(c.Budget), terms), c.Most);
			is("text", money.plain(amount), c.Text);
			is("parsed", money.parse(c.Text), c.Amount);
			is("read", money.fromJSON(decode('{"a":' + c.Text + '}').a), c.Amount);
			is("sent", encode({ a: amount }), '{"a":' + c.Text + '}');
			is("grouped", money.format(amount, 0).replaceAll(",", ""), c.Text);
		}
		return wrong.slice(0, 5);
	})()`, cases))
	for _, problem := range wrong {
		t.Error(problem)
	}
}

func TestThePageReadsAmountsStrictly(t *testing.T) {
	s := startService(t, t.TempDir())
	p := openPage(t, s, "/", desktop)
	for _, test := range []struct{ typed, want string }{
		{"1", "100000000"}, {" 1.5 ", "150000000"}, {".5", "50000000"}, {"5.", "500000000"}, {"0.00000001", "1"},
		{"92233720368.54775807", "9223372036854775807"}, {"92233720368.54775808", "That is more than can be held"},
		{"0.000000001", "At most 8 decimals"}, {"1,5", "Write decimals with a point and no commas, such as 1234.5"},
		{"1e5", "Write a number, such as 12.5"}, {"-1", "Write a number, such as 12.5"}, {".", "Write a number, such as 12.5"},
		{"0x10", "Write a number, such as 12.5"}, {"１", "Write a number, such as 12.5"},
	} {
		got := eval[string](p, fmt.Sprintf(`import("/assets/money.js").then((m) => { try { return String(m.parse(%s)); } catch (error) { return error.message; } })`, quote(test.typed)))
		if got != test.want {
			t.Errorf("%q is read as %q, want %q", test.typed, got, test.want)
		}
	}
	// A number in a string is left alone, one outside keeps every digit.
	got := eval[string](p, `import("/assets/json.js").then((m) => JSON.stringify(m.decode('{"a":92233720368.54775807,"b":"1 \\"2\\" 3","c":[-1,null,true,1e-7]}')))`)
	if want := `{"a":"92233720368.54775807","b":"1 \"2\" 3","c":["-1",null,true,"1e-7"]}`; got != want {
		t.Errorf("decoded %s, want %s", got, want)
	}
}
