package httpapi

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"github.com/aitbc/exchange/actors/account"
)

func TestTheCSVHasTheLinesOfTheHistoryThatTheFilterSelects(t *testing.T) {
	l := startLive(t, t.TempDir(), nil)
	id, token := l.login("aitbc1wallet_csv")
	for range 3 {
		l.do("POST", "/api/users/"+id+"/deposits", token, `{"amount":1000.00000001}`, 201)
	}
	l.do("POST", "/api/users/"+id+"/withdrawals", token, `{"amount":1,"to_address":"aitbc1wallet_elsewhere"}`, 201)
	l.do("POST", "/api/exchange/create-payment", token, `{"aitbc_amount":100,"notes":"=HYPERLINK(\"http://x\"), second line"}`, 201)
	l.do("POST", "/api/operator/users/"+id+"/credit", liveKey, `{"amount":2,"reason":"+sorry"}`, 201)

	for query, want := range map[string]int{"": 6, "?type=deposit": 3, "?status=pending": 2, "?type=buy&status=completed": 0, "?from=2100-01-01T00:00:00Z": 0} {
		header, content := l.do("GET", "/api/users/"+id+"/transactions.csv"+query, token, "", 200)
		if got := header.Get("Content-Disposition"); got != `attachment; filename="aitbc-transactions.csv"` {
			t.Errorf("Content-Disposition is %q", got)
		}
		lines, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		var list struct {
			Transactions []struct {
				ID     string      `json:"id"`
				Type   string      `json:"type"`
				Status string      `json:"status"`
				Amount json.Number `json:"amount"`
			} `json:"transactions"`
		}
		l.get("/api/users/"+id+"/transactions"+query, token, &list)
		if len(lines) != want+1 || len(list.Transactions) != want || strings.Join(lines[0], ",")+"\r\n" != csvHeader {
			t.Fatalf("%q gives %d lines and a list of %d, want %d", query, len(lines), len(list.Transactions), want)
		}
		for i, tx := range list.Transactions {
			if got := strings.Join(lines[i+1][:4], ","); got != strings.Join([]string{tx.ID, tx.Type, tx.Status, tx.Amount.String()}, ",") {
				t.Errorf("line %d is %q, the list has %+v", i+1, got, tx)
			}
		}
	}
	_, content := l.do("GET", "/api/users/"+id+"/transactions.csv?type=buy", token, "", 200)
	if !bytes.Contains(content, []byte("\"'=HYPERLINK(\"\"http://x\"\"), second line\"")) {
		t.Errorf("the note is written as %s", content)
	}
	if _, nothing := l.do("HEAD", "/api/users/"+id+"/transactions.csv", token, "", 200); len(nothing) != 0 {
		t.Errorf("HEAD is answered with %s", nothing)
	}
	l.do("GET", "/api/users/"+id+"/transactions.csv?limit=1", token, "", 400)
	other, _ := l.login("aitbc1wallet_other")
	l.do("GET", "/api/users/"+other+"/transactions.csv", token, "", 403)
}

func TestNoCellIsTakenForAFormula(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "plain": "plain", "a=b": "a=b", "=1": `"'=1"`, "+1": `"'+1"`, "-1": `"'-1"`, "@x": `"'@x"`, "\tx": "\"'\tx\"",
		`a"b`: `"a""b"`, "a,b": `"a,b"`, "a\r\nb": "\"a\r\nb\"", `="x",y`: `"'=""x"",y"`,
	} {
		if got := string(appendCell(nil, text)); got != want {
			t.Errorf("%q is written as %s, want %s", text, got, want)
		}
	}
}

func TestACSVLineHasAsManyCellsAsTheHeader(t *testing.T) {
	for kind := account.TypeBuy; kind <= account.TypeDebit; kind++ {
		for _, detail := range []*account.Detail{{}, {BTC: 1, BTCFee: 1, Notes: ",", Reason: "\""}} {
			line := appendCSV(nil, account.TransactionID{N: 1}, &account.Transaction{Type: kind, Status: account.Pending, Detail: detail})
			cells, err := csv.NewReader(bytes.NewReader(line)).Read()
			if want := strings.Count(csvHeader, ",") + 1; err != nil || len(cells) != want {
				t.Errorf("%s has %d cells, want %d: %v", line, len(cells), want, err)
			}
		}
	}
}
