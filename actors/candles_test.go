package actors

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aitbc/exchange/actors/account"
)

const candleDay = account.Time(24 * time.Hour / time.Microsecond)

func TestCandlesAreWhatTheTradesSay(t *testing.T) {
	s := newSeries(time.Minute, minuteCandles)
	minute := account.Time(time.Minute / time.Microsecond)
	start := 20_000 * candleDay
	trade := func(aitbc, btc account.Money, at account.Time) { s.traded(Trade{aitbc, btc}, Trade{aitbc, btc}, at) }
	trade(100, 10, start)          // 0.1
	trade(200, 60, start+1)        // 0.3
	trade(300, 15, start+minute-1) // 0.05
	trade(100, 20, start+minute)   // 0.2
	trade(100, 10, start+7*minute) // 0.1
	now := start + 8*minute

	got := s.latest(now, minute, 100)
	want := []Candle{
		{Start: start, Open: Trade{100, 10}, High: Trade{200, 60}, Low: Trade{300, 15}, Close: Trade{300, 15}, Volume: 600, VolumeBTC: 85},
		{Start: start + minute, Open: Trade{100, 20}, High: Trade{100, 20}, Low: Trade{100, 20}, Close: Trade{100, 20}, Volume: 100, VolumeBTC: 20},
		{Start: start + 7*minute, Open: Trade{100, 10}, High: Trade{100, 10}, Low: Trade{100, 10}, Close: Trade{100, 10}, Volume: 100, VolumeBTC: 10},
	}
	compareCandles(t, got, want)
	compareCandles(t, s.latest(now, minute, 1), want[2:])
	compareCandles(t, s.latest(now, 5*minute, 100), []Candle{
		{Start: start, Open: Trade{100, 10}, High: Trade{200, 60}, Low: Trade{300, 15}, Close: Trade{100, 20}, Volume: 700, VolumeBTC: 105},
		{Start: start + 5*minute, Open: Trade{100, 10}, High: Trade{100, 10}, Low: Trade{100, 10}, Close: Trade{100, 10}, Volume: 100, VolumeBTC: 10},
	})
	compareCandles(t, s.latest(start+candleDay, minute, 100), want[1:])
	compareCandles(t, s.latest(start+candleDay+8*minute, minute, 100), nil)
	trade(1, 1, start+candleDay) // takes the first candle's place
	compareCandles(t, s.latest(now, minute, 100), want[1:])
	trade(1, 1, start) // too late for the ring
	compareCandles(t, s.latest(now, minute, 100), want[1:])
}

func compareCandles(t *testing.T, got, want []Candle) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("there are %d candles, want %d: %+v", len(got), len(want), got)
	}
	for i := range want {
		got[i].openAt, got[i].closeAt = 0, 0 // told by the order of prices
		if got[i] != want[i] {
			t.Errorf("candle %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}

func TestALongerCandleIsTheSumOfTheShorterOnes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		minutes, hours := newSeries(time.Minute, minuteCandles), newSeries(time.Hour, hourCandles)
		backwards := newSeries(time.Hour, hourCandles)
		type dated struct {
			Trade
			at account.Time
		}
		var trades []dated
		at := 20_000 * candleDay
		var last account.Time
		for range rapid.IntRange(1, 50).Draw(t, "trades") {
			trade := Trade{
				AITBC: account.Money(rapid.Int64Min(1).Draw(t, "aitbc")),
				BTC:   account.Money(rapid.Int64Min(1).Draw(t, "btc")),
			}
			minutes.traded(trade, trade, at)
			hours.traded(trade, trade, at)
			trades = append(trades, dated{trade, at})
			last = at
			at += account.Time(rapid.Int64Range(1, 20*60_000_000).Draw(t, "step"))
		}
		for i := len(trades) - 1; i >= 0; i-- {
			backwards.traded(trades[i].Trade, trades[i].Trade, trades[i].at)
		}
		hour := account.Time(time.Hour / time.Microsecond)
		if forth, back := hours.latest(last, hour, 1000), backwards.latest(last, hour, 1000); !slices.Equal(forth, back) {
			t.Fatalf("the order of the trades changes the candles: %+v, %+v", forth, back)
		}
		// The minutes reach back 24 hours; what begins an hour in the middle is left out.
		from := last - last%hour - 22*hour
		after := func(list []Candle) (kept []Candle) {
			for _, c := range list {
				if c.Start >= from {
					kept = append(kept, c)
				}
			}
			return kept
		}
		got, want := after(minutes.latest(last, hour, 1000)), after(hours.latest(last, hour, 1000))
		if len(got) != len(want) {
			t.Fatalf("%d hours of minutes, %d hours", len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("the hour is %+v, of minutes %+v", want[i], got[i])
			}
			if higher(got[i].Low, got[i].High) || higher(got[i].Open, got[i].High) || higher(got[i].Low, got[i].Close) {
				t.Fatalf("the candle %+v contradicts itself", got[i])
			}
		}
	})
}
