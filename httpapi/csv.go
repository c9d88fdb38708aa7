package httpapi

import (
	"bufio"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors/account"
)

// csvHeader names the columns of a history.
const csvHeader = "id,type,status,amount,fee,btc_amount,btc_fee,created_at,confirmed_at,to_address,tx_hash,description,notes,reason\r\n"

// transactionsCSV answers with the whole history that the filter selects, newest
// first, as RFC 4180 has it. It is written as the client takes it: the state
// never changes, so that it needs no copy, however long.
func (s *Server) transactionsCSV(r *request) error {
	f, p := decodeFilter(r.ctx.QueryArgs())
	if p != nil {
		return p
	}
	state := r.session.State
	r.ctx.SetStatusCode(fasthttp.StatusOK)
	h := &r.ctx.Response.Header
	h.SetContentType("text/csv; charset=utf-8; header=present")
	h.Set("Content-Disposition", `attachment; filename="aitbc-transactions.csv"`)
	conn := connOf(r.ctx.Conn())
	r.ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
		_, _ = w.WriteString(csvHeader)
		oldest, newest := window(&state.History, f.from, f.to)
		var line []byte
		lines := 0
		for n, t := range state.History.Backward(oldest, newest, f.kind, f.status) {
			line = appendCSV(line[:0], account.TransactionID{User: state.ID, N: n}, &t)
			if _, err := w.Write(line); err != nil {
				return // the client has gone
			}
			if lines++; lines%256 == 0 {
				conn.enter(phaseWriting) // the write timeout is for each part
			}
		}
	})
	return nil
}

// appendCSV writes one line.
func appendCSV(b []byte, id account.TransactionID, t *account.Transaction) []byte {
	var d account.Detail
	if t.Detail != nil {
		d = *t.Detail
	}
	b = append(id.Append(b), ',')
	b = append(append(b, t.Type.String()...), ',')
	b = append(append(b, t.Status.String()...), ',')
	b = append(t.Amount.Append(b), ',')
	b = append(t.Fee.Append(b), ',')
	if d.BTC != 0 {
		b = append(d.BTC.Append(b), ',')
		b = append(d.BTCFee.Append(b), ',')
	} else {
		b = append(b, ',', ',')
	}
	b = append(t.CreatedAt.Append(b), ',')
	if t.ConfirmedAt != 0 {
		b = t.ConfirmedAt.Append(b)
	}
	for _, text := range [...]string{d.To, d.TxHash, t.Description(), d.Notes, d.Reason} {
		b = appendCell(append(b, ','), text)
	}
	return append(b, '\r', '\n')
}

// appendCell writes a text. A quote before what a spreadsheet would take for a
// formula makes it a text there too (OWASP, CSV injection).
func appendCell(b []byte, text string) []byte {
	formula := text != "" && strings.IndexByte("=+-@\t\r", text[0]) >= 0
	if !formula && !strings.ContainsAny(text, ",\"\r\n") {
		return append(b, text...)
	}
	b = append(b, '"')
	if formula {
		b = append(b, '\'')
	}
	b = append(b, strings.ReplaceAll(text, `"`, `""`)...)
	return append(b, '"')
}
