package httpapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestCandlesComeFromTradesAlsoAfterARestart(t *testing.T) {
	dir := t.TempDir()
	l := startLive(t, dir, nil)
	id, token := l.login("aitbc1wallet_candles")
	if _, empty := l.do("GET", "/api/exchange/candles?interval=1d", "", "", 200); string(empty) != `{"interval":"1d","candles":[]}` {
		t.Errorf("without a trade the answer is %s", empty)
	}
	for i := range 3 {
		_, made := l.do("POST", "/api/exchange/create-payment", token, `{"aitbc_amount":1000}`, 201)
		var payment struct {
			ID string `json:"payment_id"`
		}
		if err := json.Unmarshal(made, &payment); err != nil {
			t.Fatal(err)
		}
		if i < 2 { // the third is no trade yet
			l.do("POST", "/api/exchange/confirm-payment/"+payment.ID, token, `{"tx_hash":"`+strings.Repeat("cd", 32)+`"}`, 200)
		}
	}
	l.do("POST", "/api/users/"+id+"/deposits", token, `{"amount":5}`, 201) // nor is this
	for range 2 {
		for _, interval := range []string{"1m", "5m", "15m", "1h", "1d"} {
			var answer struct {
				Interval string
				Candles  []struct {
					Open, High, Low, Close, Volume float64
					VolumeBTC                      float64 `json:"volume_btc"`
				}
			}
			l.get("/api/exchange/candles?interval="+interval, "", &answer)
			volume, btc := 0.0, 0.0
			for _, c := range answer.Candles { // two, if an interval ended in between
				if c.Open != 0.00001 || c.High != c.Open || c.Low != c.Open || c.Close != c.Open {
					t.Errorf("%s: the candle is %+v", interval, c)
				}
				volume, btc = volume+c.Volume, btc+c.VolumeBTC
			}
			if answer.Interval != interval || volume != 2000 || fmt.Sprintf("%.8f", btc) != "0.02000000" {
				t.Errorf("%s: the answer is %+v", interval, answer)
			}
		}
		l.stop()
		l = startLive(t, dir, nil)
	}
	for _, query := range []string{"interval=2m", "limit=0", "limit=1501", "interval=", "from=1"} {
		l.do("GET", "/api/exchange/candles?"+query, "", "", 400)
	}
}

func TestTheOperatorSeesTheServicesHealth(t *testing.T) {
	l := startLive(t, t.TempDir(), nil)
	id, token := l.login("aitbc1wallet_health")
	l.do("POST", "/api/users/"+id+"/deposits", token, `{"amount":5}`, 201)
	l.do("POST", "/api/users/"+id+"/withdrawals", token, `{"amount":1,"to_address":"aitbc1wallet_elsewhere"}`, 201)
	l.open(id, token, "").expect("position")
	var health map[string]any
	l.get("/api/operator/health", liveKey, &health)
	for name, want := range map[string]any{
		"version": "test", "accounts": 1.0, "pending_withdrawals": 1.0, "pending_buys": 0.0, "open_streams": 1.0, "journal_records": 3.0, "journal_epoch": 1.0,
	} {
		if health[name] != want {
			t.Errorf("%s is %v, want %v", name, health[name], want)
		}
	}
	l.do("GET", "/api/operator/health", token, "", 403)
	l.do("GET", "/api/operator/health", "", "", 401)
}
