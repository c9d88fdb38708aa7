package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/audit"
	"github.com/aitbc/exchange/persistence"
)

// dumper prints what it is shown and the options let through.
type dumper struct {
	w        *bufio.Writer
	user     account.UserID // the zero id: every user
	from, to account.Time   // at or after, and before; zero: any
	history  bool
}

func dump(args []string, env func(string) string, stdout, stderr io.Writer) error {
	dir, what := "./data", "events"
	var d dumper
	o := newOptions("dump", "Print the log of a stopped service, or of a copy, as JSON lines: every event,\nevery account as the newest snapshot and the log make it, or the audit log. Nothing\nis changed.\nEvents whose frames a snapshot has replaced are gone.")
	o.text(&dir, "data", "directory of the log")
	o.choice(&what, "what", []string{"events", "accounts", "audit"}, "what to print")
	o.Var(value[account.UserID]{&d.user, account.ParseUserID[string], printUser}, "user", "id of the one user to print")
	o.Var(value[account.Time]{&d.from, parseTime, printTime}, "from", "print events, or transactions, at or after this time (RFC 3339)")
	o.Var(value[account.Time]{&d.to, parseTime, printTime}, "to", "print events, or transactions, before this time (RFC 3339)")
	o.BoolVar(&d.history, "history", false, "print an account's transactions too")
	if err := o.parse(args, env, stdout); err != nil {
		return err
	}
	d.w = bufio.NewWriterSize(stdout, 64<<10)
	switch what {
	case "events":
		return errors.Join(d.events(dir, stderr), d.w.Flush())
	case "audit":
		return errors.Join(d.audit(dir), d.w.Flush())
	}
	l, err := readLedger(dir, nil)
	if err != nil {
		return err
	}
	return errors.Join(d.accounts(l), d.w.Flush())
}

func printUser(id account.UserID) string {
	if id == (account.UserID{}) {
		return ""
	}
	return id.String()
}

func parseTime(s string) (account.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, errors.New("want a time such as 2025-12-31T23:59:59Z")
	}
	return account.TimeOf(t), nil
}

func printTime(t account.Time) string {
	if t == 0 {
		return ""
	}
	return t.String()
}

func (d *dumper) wants(at account.Time) bool {
	return (d.from == 0 || at >= d.from) && (d.to == 0 || at < d.to)
}

// events prints the log as it is: what an event means for its account is not asked.
func (d *dumper) events(dir string, stderr io.Writer) error {
	var decoder account.Decoder
	var record account.Record
	report, err := persistence.Scan(dir, 0, func(p persistence.Position, encoded []byte) error {
		if err := decoder.Decode(&record, encoded); err != nil {
			return fmt.Errorf("frame %d, record %d: %w", p.Frame, p.Record, err)
		}
		if (d.user != account.UserID{} && record.User != d.user) || !d.wants(record.At) {
			return nil
		}
		for i, event := range record.Events {
			line := object{
				{"frame", p.Frame}, {"record", p.Record}, {"index", i}, {"user_id", record.User},
				{"seq", record.Seq}, {"at", record.At}, {"event", snake(account.EventName(event))},
			}
			if err := d.line(append(line, fields(event)...)); err != nil {
				return err
			}
		}
		return nil
	})
	if report.First > 1 {
		fmt.Fprintf(stderr, "exchange dump: the log begins with frame %d; a snapshot stands for the events before\n", report.First)
	}
	return err
}

// audit prints the audit log, oldest first. A user is who did it or whom it was done to.
func (d *dumper) audit(dir string) error {
	var chain audit.Chain
	_, err := scanAudit(dir, &chain, func(e actors.AuditEntry) error {
		at := account.Time(e.At / 1000)
		if name := "user:" + d.user.String(); (d.user != account.UserID{} && e.Actor != name && e.Target != name) || !d.wants(at) {
			return nil
		}
		return d.line(object{
			{"n", e.N}, {"at", at}, {"actor", e.Actor}, {"action", e.Action}, {"target", e.Target}, {"note", e.Note}, {"hash", e.Hash},
		})
	})
	return err
}

// accounts prints every account, by user id.
func (d *dumper) accounts(l *ledger) error {
	ids := make([]account.UserID, 0, len(l.accounts))
	for id := range l.accounts {
		if d.user == (account.UserID{}) || id == d.user {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b account.UserID) int { return slices.Compare(a[:], b[:]) })
	for _, id := range ids {
		s := &l.accounts[id].State
		line := object{
			{"user_id", id}, {"seq", s.Seq}, {"wallet", s.Wallet}, {"address", id.Address()}, {"email", s.Email}, {"username", s.Username},
			{"status", s.Status}, {"created_at", s.CreatedAt}, {"last_login", s.LastLogin}, {"updated_at", s.UpdatedAt},
			{"balance", s.Balance}, {"held", s.Held}, {"sessions", len(s.Sessions)}, {"second_factors", s.Factors.Kinds().Names()}, {"transaction_count", s.History.Size()},
		}
		if s.Identity != nil {
			line = append(line, member{"identity", identityObject(s.Identity)})
		}
		if d.history {
			list := []object{}
			for n, t := range s.History.Backward(1, s.History.Last(), 0, 0) {
				if d.wants(t.CreatedAt) {
					list = append(list, transactionObject(account.TransactionID{User: id, N: n}, &t))
				}
			}
			slices.Reverse(list) // oldest first
			line = append(line, member{"transactions", list})
		}
		if err := d.line(line); err != nil {
			return err
		}
	}
	return nil
}

func transactionObject(id account.TransactionID, t *account.Transaction) object {
	line := object{{"id", id}}
	for _, m := range fields(t) {
		if m.name != "detail" {
			line = append(line, m)
		}
	}
	if t.Detail != nil {
		line = append(line, fields(t.Detail)...)
	}
	return line
}

func (d *dumper) line(o object) error {
	text, err := o.MarshalJSON()
	if err != nil {
		return err
	}
	_, err = d.w.Write(append(text, '\n'))
	return err
}

// object is a JSON object whose members keep their order.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON implements json.Marshaler. Amounts are exact decimals, times RFC 3339
// or null, hashes hexadecimal.
func (o object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), m.name...), '"', ':')
		text, err := marshal(m.value)
		if err != nil {
			return nil, err
		}
		b = append(b, text...)
	}
	return append(b, '}'), nil
}

func marshal(v any) ([]byte, error) {
	switch v := v.(type) {
	case account.Money:
		return v.Append(nil), nil
	case account.Time:
		if v == 0 {
			return []byte("null"), nil
		}
		return json.Marshal(v.String())
	case fmt.Stringer: // ids, types and statuses
		return json.Marshal(v.String())
	}
	if bytesOf := reflect.ValueOf(v); bytesOf.Kind() == reflect.Array {
		b := make([]byte, bytesOf.Len())
		reflect.Copy(reflect.ValueOf(b), bytesOf)
		return json.Marshal(hex.EncodeToString(b))
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSpace(text.Bytes()), err
}

// fields returns the fields of the struct that p points to, each named by its json tag.
func fields(p any) object {
	v := reflect.ValueOf(p).Elem()
	var o object
	for i := range v.NumField() {
		o = append(o, member{v.Type().Field(i).Tag.Get("json"), v.Field(i).Interface()})
	}
	return o
}

// snake turns TxCompleted into tx_completed, and TOTPUsed into totp_used.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		begins := i > 0 && unicode.IsUpper(r) && (unicode.IsLower(runes[i-1]) || (i+1 < len(runes) && unicode.IsLower(runes[i+1])))
		if begins {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
