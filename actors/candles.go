package actors

import (
	"math/bits"
	"time"

	"github.com/aitbc/exchange/actors/account"
)

// Candle is what a stretch of time did to the price. A price is that of a Trade:
// BTC for AITBC.
type Candle struct {
	Start     account.Time
	Open      Trade
	High      Trade
	Low       Trade
	Close     Trade
	Volume    account.Money // AITBC
	VolumeBTC account.Money // satoshi

	openAt, closeAt account.Time
}

// series keeps the latest candles of one length, and so a bounded time: a ring by
// the candle's number since the epoch.
type series struct {
	length account.Time
	ring   []Candle // Start is zero where there was no trade
}

func newSeries(length time.Duration, candles int) series {
	return series{length: account.Time(length / time.Microsecond), ring: make([]Candle, candles)}
}

// The lengths that are kept. Others are made of minutes.
const (
	minuteCandles = 24 * 60
	hourCandles   = 30 * 24
	dayCandles    = 10 * 366
)

// traded adds a trade at the price of a quote. One that is older than the ring is left out. The order in
// which trades come does not matter, but for those of the same microsecond.
func (s *series) traded(quote, t Trade, at account.Time) {
	start := at - at%s.length
	c := &s.ring[int64(start/s.length)%int64(len(s.ring))]
	switch {
	case start < c.Start:
		return
	case start > c.Start:
		*c = Candle{Start: start, Open: quote, High: quote, Low: quote, openAt: at}
	}
	if at < c.openAt {
		c.Open, c.openAt = quote, at
	}
	if at >= c.closeAt {
		c.Close, c.closeAt = quote, at
	}
	if higher(quote, c.High) {
		c.High = quote
	}
	if higher(c.Low, quote) {
		c.Low = quote
	}
	c.Volume, c.VolumeBTC = saturate(c.Volume, t.AITBC), saturate(c.VolumeBTC, t.BTC)
}

// higher reports whether a's price is above b's, exactly.
func higher(a, b Trade) bool {
	aHigh, aLow := bits.Mul64(uint64(a.BTC), uint64(b.AITBC))
	bHigh, bLow := bits.Mul64(uint64(b.BTC), uint64(a.AITBC))
	return aHigh > bHigh || (aHigh == bHigh && aLow > bLow)
}

// latest returns the candles of the given length, a multiple of the series', that
// begin within the time the ring covers before now; at most limit, oldest first.
func (s *series) latest(now, length account.Time, limit int) []Candle {
	var list []Candle
	first := now/s.length - account.Time(len(s.ring)) + 1
	for number := first; number <= now/s.length; number++ {
		if number < 0 {
			continue
		}
		c := s.ring[int64(number)%int64(len(s.ring))]
		if c.Start != number*s.length || c.Start == 0 {
			continue
		}
		start := c.Start - c.Start%length
		if n := len(list); n > 0 && list[n-1].Start == start {
			list[n-1].merge(&c)
			continue
		}
		c.Start = start
		list = append(list, c)
	}
	return list[max(0, len(list)-limit):]
}

// merge adds a later candle.
func (c *Candle) merge(later *Candle) {
	c.Close, c.closeAt = later.Close, later.closeAt
	if higher(later.High, c.High) {
		c.High = later.High
	}
	if higher(c.Low, later.Low) {
		c.Low = later.Low
	}
	c.Volume, c.VolumeBTC = saturate(c.Volume, later.Volume), saturate(c.VolumeBTC, later.VolumeBTC)
}

// Candles returns at most limit candles of a length, the latest ones, oldest
// first; none for a time without a trade. A length of a day is kept for ten
// years, one of an hour for 30 days, and whole minutes under an hour for 24 hours.
func (x *Exchange) Candles(length time.Duration, limit int) []Candle {
	m := &x.market
	kept := &m.minuteCandles
	switch {
	case length >= 24*time.Hour:
		kept = &m.dayCandles
	case length >= time.Hour:
		kept = &m.hourCandles
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return kept.latest(x.now(), account.Time(length/time.Microsecond), limit)
}
