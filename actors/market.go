package actors

import (
	"iter"
	"math/big"
	"sync"
	"time"

	"github.com/aitbc/exchange/actors/account"
)

// Trade is a completed buy or sale at its price before the fee.
type Trade struct {
	AITBC account.Money
	BTC   account.Money // satoshi
}

// tradeOf returns the trade of a completed buy or sale.
func tradeOf(t *account.Transaction) Trade {
	if t.Type == account.TypeSell {
		return quoteOf(t)
	}
	return Trade{AITBC: t.Credited(), BTC: boughtFor(t, t.Credited())}
}

// quoteOf returns the whole of a buy or sale as it was quoted. Its price is that of all
// trades of it, however much of a buy is credited, and in how many parts.
func quoteOf(t *account.Transaction) Trade {
	if t.Type == account.TypeSell {
		return Trade{AITBC: t.Amount, BTC: t.Detail.BTC + t.Detail.BTCFee}
	}
	return Trade{AITBC: t.Amount, BTC: t.Detail.BTC - t.Detail.BTCFee}
}

// boughtFor is the part of a buy's price before the fee that so much of it cost.
func boughtFor(t *account.Transaction, credited account.Money) account.Money {
	btc, ok := (t.Detail.BTC - t.Detail.BTCFee).MulDivDown(credited, t.Amount)
	if !ok {
		return account.MaxMoney
	}
	return btc
}

// MarketStats are derived from trades, and from nothing else.
type MarketStats struct {
	Last          Trade         // the latest trade, as it was quoted; zero if there has been none
	DayAgo        Trade         // the same of the latest trade 24 hours ago; the earliest since, if there was none before
	Volume        account.Money // AITBC traded in the last 24 hours
	VolumeBTC     account.Money // satoshi traded in the last 24 hours
	TotalPayments uint64        // ever created
	OpenPayments  int
}

const (
	marketMinute = account.Time(time.Minute / time.Microsecond)
	marketDay    = 24 * 60 // minutes
)

// market keeps a day of trades by the minute, which bounds its memory: the edge
// of the 24 hours is exact to a minute.
type market struct {
	mu       sync.RWMutex
	total    uint64 // guarded by mu, as all that follows
	last     Trade
	lastAt   account.Time
	before   Trade // the latest trade older than the minutes below
	beforeAt int64
	minutes  [marketDay + 1]tradeMinute // by minute number modulo the length

	minuteCandles, hourCandles, dayCandles series
}

func (m *market) init() {
	m.minuteCandles = newSeries(time.Minute, minuteCandles)
	m.hourCandles = newSeries(time.Hour, hourCandles)
	m.dayCandles = newSeries(24*time.Hour, dayCandles)
}

type tradeMinute struct {
	number          int64 // minutes since the epoch
	aitbc, btc      account.Money
	first, last     Trade
	firstAt, lastAt account.Time
}

func (m *market) paymentCreated() {
	m.mu.Lock()
	m.total++
	m.mu.Unlock()
}

// restore sets what recovery has found: how many payments there ever were, and
// every trade in the order of its time.
func (m *market) restore(payments uint64, trades iter.Seq[datedTrade]) {
	m.mu.Lock()
	m.total = payments
	m.mu.Unlock()
	for t := range trades {
		m.traded(t.quote, t.Trade, t.at)
	}
}

// traded adds a trade at the price of a quote. Trades come in the journal's order, in
// which the times of different users may differ a little, and what is credited later
// counts to the time of a payment's first credit; how the market stands follows from
// the times alone, but for trades of the same microsecond.
func (m *market) traded(quote, t Trade, at account.Time) {
	number := int64(at / marketMinute)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.chart(quote, t, at)
	if at >= m.lastAt {
		m.last, m.lastAt = quote, at
	}
	slot := &m.minutes[number%int64(len(m.minutes))]
	if number < slot.number { // a day late: it can only be what came before
		m.keepBefore(quote, number)
		return
	}
	if number > slot.number {
		if slot.number != 0 {
			m.keepBefore(slot.last, slot.number)
		}
		*slot = tradeMinute{number: number, first: quote, firstAt: at}
	}
	slot.aitbc, slot.btc = saturate(slot.aitbc, t.AITBC), saturate(slot.btc, t.BTC)
	if at < slot.firstAt {
		slot.first, slot.firstAt = quote, at
	}
	if at >= slot.lastAt {
		slot.last, slot.lastAt = quote, at
	}
}

func (m *market) keepBefore(t Trade, number int64) {
	if number >= m.beforeAt {
		m.before, m.beforeAt = t, number
	}
}

// chart adds a trade to the candles, in any order. The caller holds mu, or is
// recovery.
func (m *market) chart(quote, t Trade, at account.Time) {
	for _, s := range [...]*series{&m.minuteCandles, &m.hourCandles, &m.dayCandles} {
		s.traded(quote, t, at)
	}
}

// saturate adds two amounts and stays at the largest: a statistic must not wrap.
func saturate(a, b account.Money) account.Money {
	if sum, ok := a.Add(b); ok {
		return sum
	}
	return account.MaxMoney
}

// stats sums up the 24 hours before now.
func (m *market) stats(now account.Time) MarketStats {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := MarketStats{Last: m.last, TotalPayments: m.total}
	newest := int64(now / marketMinute)
	oldest := newest - marketDay
	before, beforeAt := m.before, m.beforeAt
	var earliest *tradeMinute
	for i := range m.minutes {
		slot := &m.minutes[i]
		switch {
		case slot.number == 0:
		case slot.number <= oldest:
			if slot.number >= beforeAt {
				before, beforeAt = slot.last, slot.number
			}
		default:
			s.Volume, s.VolumeBTC = saturate(s.Volume, slot.aitbc), saturate(s.VolumeBTC, slot.btc)
			if earliest == nil || slot.number < earliest.number {
				earliest = slot
			}
		}
	}
	switch {
	case beforeAt != 0:
		s.DayAgo = before
	case earliest != nil:
		s.DayAgo = earliest.first
	}
	return s
}

// Market returns the market's statistics of this moment.
func (x *Exchange) Market() MarketStats {
	s := x.market.stats(x.now())
	s.OpenPayments = x.open.count(account.TypeBuy)
	return s
}

// Change is the change of the price over 24 hours in percent, as a decimal with
// two places; "0" where there is nothing to compare with.
func (s MarketStats) Change() string {
	if s.Last.AITBC == 0 || s.DayAgo.AITBC == 0 || s.DayAgo.BTC == 0 {
		return "0"
	}
	now := big.NewRat(int64(s.Last.BTC), int64(s.Last.AITBC))
	then := big.NewRat(int64(s.DayAgo.BTC), int64(s.DayAgo.AITBC))
	change := now.Quo(now, then)
	change.Sub(change, big.NewRat(1, 1))
	return change.Mul(change, big.NewRat(100, 1)).FloatString(2)
}
