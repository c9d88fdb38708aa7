package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// payoutAnswer is what the service says of a payout.
type payoutAnswer struct {
	Payout        json.Number   `json:"payout"`
	Status        string        `json:"status"`
	TxHash        string        `json:"tx_hash"`
	Paid          json.Number   `json:"btc_paid"`
	Fee           json.Number   `json:"btc_fee"`
	Change        json.Number   `json:"btc_change"`
	Sales         []string      `json:"sales"`
	Confirmations json.Number   `json:"confirmations"`
	ExportedAt    string        `json:"exported_at"`
	By            string        `json:"by"`
	PSBT          string        `json:"psbt"`
	SendError     string        `json:"send_error"`
	LeftOut       []saleLeftOut `json:"left_out"`
}

type saleLeftOut struct {
	ID  string `json:"id"`
	Why string `json:"why"`
}

func (p *payoutAnswer) line() string {
	return fmt.Sprintf("payout %s  %-9s  %d sales, %s BTC, fee %s BTC, change %s BTC, %s confirmations  %s", p.Payout, p.Status, len(p.Sales), p.Paid, p.Fee, p.Change, p.Confirmations, p.TxHash)
}

const payoutsUsage = `Usage: exchange payouts export|import|cancel|list [OPTIONS]

  export  make a payout of all sales that are free to go, and print it as a PSBT
  import  take the signed PSBT, and have it sent until a block has it
  cancel  give up a payout, so that its sales are free again
  list    list the payouts, newest first

Run 'exchange payouts export --help' for the options of one.
`

// payouts talks to the running service: it makes the transactions that pay sales, and
// the operator's own signer signs them.
func payouts(args []string, env func(string) string, stdout, stderr io.Writer) error {
	what := ""
	if len(args) > 0 {
		what, args = args[0], args[1:]
	}
	switch what {
	case "export":
		return exportPayout(args, env, stdout, stderr)
	case "import":
		return importPayout(args, env, stdout, stderr)
	case "cancel":
		return cancelPayout(args, env, stdout)
	case "list":
		return listPayouts(args, env, stdout)
	case "", "help", "-h", "-help", "--help":
		_, err := io.WriteString(stdout, payoutsUsage)
		return err
	}
	return &usageError{fmt.Sprintf("there is no %q: want export, import, cancel or list", what)}
}

// connect parses the options of a command that talks to the service.
func (c *operatorClient) connect(o *options, args []string, env func(string) string, stdout io.Writer) error {
	c.options(o)
	if err := o.parse(args, env, stdout); err != nil {
		return err
	}
	return c.open(env)
}

func exportPayout(args []string, env func(string) string, stdout, stderr io.Writer) error {
	var c operatorClient
	rate, number, out := 10, 0, ""
	o := newOptions("payouts export", "Make a payout of all pending sales that are free to go, and print it as a PSBT in\nbase64 (BIP-174) for your own signer. What becomes of each sale is said on the\nstandard error. The sales are in this payout alone from then on.")
	o.integer(&rate, "fee-rate", 1, 1000, "fee in satoshi per virtual byte")
	o.integer(&number, "payout", 0, 1<<31-1, "number of a payout that was exported before, to print its PSBT again; 0 makes a new one")
	o.text(&out, "out", "file for the PSBT; it must not be there yet; the standard output if not given")
	if err := c.connect(o, args, env, stdout); err != nil {
		return err
	}
	var p payoutAnswer
	var err error
	if number != 0 {
		err = c.call("GET", fmt.Sprintf("/api/operator/payouts/%d", number), nil, &p)
	} else {
		err = c.call("POST", "/api/operator/payouts", map[string]int{"fee_rate": rate}, &p)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(stderr, p.line())
	for _, l := range p.LeftOut {
		fmt.Fprintf(stderr, "left out %s: %s\n", l.ID, l.Why)
	}
	if p.PSBT == "" {
		return fmt.Errorf("payout %s is %s", p.Payout, p.Status)
	}
	if out == "" {
		_, err := fmt.Fprintln(stdout, p.PSBT)
		return err
	}
	file, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(file, p.PSBT)
		if closed := file.Close(); err == nil {
			err = closed
		}
	}
	if err != nil {
		return fmt.Errorf("%w; payout %s is exported all the same: print it again with --payout %s", err, p.Payout, p.Payout)
	}
	return nil
}

func importPayout(args []string, env func(string) string, stdout, stderr io.Writer) error {
	var c operatorClient
	number, in := 0, ""
	o := newOptions("payouts import", "Take the signed PSBT of a payout: what was exported, or a replacement with another\nfee, that pays every sale of it and gives the rest to the exchange's change\naddresses. It must be signed in full. The service writes it down, then sends it\nuntil a block has the payout; the newest that was imported is the one that is sent.")
	o.integer(&number, "payout", 1, 1<<31-1, "number of the payout")
	o.text(&in, "psbt", "file with the signed PSBT in base64; the standard input if not given")
	if err := c.connect(o, args, env, stdout); err != nil {
		return err
	}
	if number == 0 {
		return &usageError{"-payout is missing: the number that export said"}
	}
	var text []byte
	var err error
	if in == "" {
		text, err = io.ReadAll(io.LimitReader(os.Stdin, 1<<20))
	} else {
		text, err = os.ReadFile(in)
	}
	if err != nil {
		return err
	}
	var p payoutAnswer
	if err := c.call("POST", fmt.Sprintf("/api/operator/payouts/%d/import", number), map[string]string{"psbt": strings.TrimSpace(string(text))}, &p); err != nil {
		return err
	}
	if p.SendError != "" {
		fmt.Fprintf(stderr, "exchange payouts import: the node did not take it yet, and is asked again: %s\n", p.SendError)
	}
	_, err = fmt.Fprintln(stdout, p.line())
	return err
}

func cancelPayout(args []string, env func(string) string, stdout io.Writer) error {
	var c operatorClient
	number, reason, spentBy := 0, "", ""
	o := newOptions("payouts cancel", "Give up a payout, so that its sales are free for the next one, which is made so\nthat the chain takes one of both at most. One that is signed can be given up only\nonce another transaction has spent one of its inputs for good. If that one pays\nsales of the payout, it is the payout, and nothing is given up.")
	o.integer(&number, "payout", 1, 1<<31-1, "number of the payout")
	o.text(&reason, "reason", "why; kept in the log with the operator's name")
	o.text(&spentBy, "spent-by", "id of the transaction that has spent one of its inputs")
	if err := c.connect(o, args, env, stdout); err != nil {
		return err
	}
	if number == 0 || reason == "" {
		return &usageError{"-payout and -reason are needed: which payout, and why"}
	}
	body := map[string]string{"reason": reason}
	if spentBy != "" {
		body["spent_by"] = spentBy
	}
	var p payoutAnswer
	if err := c.call("POST", fmt.Sprintf("/api/operator/payouts/%d/cancel", number), body, &p); err != nil {
		return err
	}
	_, err := fmt.Fprintln(stdout, p.line())
	return err
}

func listPayouts(args []string, env func(string) string, stdout io.Writer) error {
	var c operatorClient
	asJSON := false
	o := newOptions("payouts list", "List the payouts, newest first.")
	o.BoolVar(&asJSON, "json", false, "print JSON lines, with sales and inputs")
	if err := c.connect(o, args, env, stdout); err != nil {
		return err
	}
	for cursor := ""; ; {
		var page struct {
			Payouts []json.RawMessage `json:"payouts"`
			Next    *string           `json:"next_cursor"`
		}
		if err := c.call("GET", "/api/operator/payouts?limit=500"+cursor, nil, &page); err != nil {
			return err
		}
		for _, text := range page.Payouts {
			line := string(text)
			if !asJSON {
				var p payoutAnswer
				if err := json.Unmarshal(text, &p); err != nil {
					return err
				}
				line = p.line()
			}
			if _, err := fmt.Fprintln(stdout, line); err != nil {
				return err
			}
		}
		if page.Next == nil {
			return nil
		}
		cursor = "&cursor=" + *page.Next
	}
}
