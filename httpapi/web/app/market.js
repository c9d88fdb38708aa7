// The market, which anybody may see: the figures in the bar and the candles. Prices
// are ratios, for reading only, so here, and only here, they become floats.

import { CandlestickSeries, HistogramSeries, createChart } from '/assets/lightweight-charts-5.2.1.js';

import * as api from './api.js';
import * as terms from './terms.js';
import * as theme from './theme.js';
import { $, h, setText, show } from './dom.js';
import { format, fromJSON, group } from './money.js';

const EVERY = 10_000; // ms between two readings
const CANDLES = 500;
const SATOSHI = 1e8; // in one BTC

let chart, candles, volumes;
let drawn = ''; // what the chart shows, to redraw only what changed
let latest = []; // the candles it shows
let timer;

export function start() {
  makeChart();
  theme.watch(colour);
  $('intervals').addEventListener('change', () => { drawn = ''; draw().catch(() => {}); });
  document.addEventListener('visibilitychange', () => { if (document.visibilityState === 'visible') refresh(); });
  refresh();
}

// refresh reads everything now, and again after a while.
export async function refresh() {
  clearTimeout(timer);
  await Promise.allSettled([terms.refresh(), figures(), draw()]);
  clearTimeout(timer);
  if (document.visibilityState === 'visible') timer = setTimeout(refresh, EVERY);
}

const satoshi = (price, places = 2) => {
  const [whole, fraction] = (Number(price) * SATOSHI).toFixed(places).split('.');
  return group(whole) + (fraction ? `.${fraction}` : '');
};

async function figures() {
  const m = await api.get('/api/exchange/market-stats', { token: null });
  setText($('price'), `${satoshi(m.price)} sat`);
  const change = Number(m.price_change_24h);
  const sign = change > 0 ? '+' : change < 0 ? '−' : '';
  setText($('change'), `${sign}${Math.abs(change).toFixed(2)} %`);
  $('change').className = change > 0 ? 'up' : change < 0 ? 'fall' : '';
  setText($('volume'), `${rounded(m.daily_volume, 0)} AITBC`);
  setText($('volume-btc'), `${rounded(m.daily_volume_btc, 4)} BTC`);
  setText($('payments'), `${group(m.pending_payments)} open of ${group(m.total_payments)}`);
  for (const id of ['price', 'volume', 'volume-btc', 'payments']) $(id).classList.remove('skeleton');
  document.title = `${satoshi(m.price)} sat · AITBC Exchange`;
}

// rounded cuts an amount to a few decimals, without rounding it up.
function rounded(text, places) {
  const [whole, fraction = ''] = format(fromJSON(text), 8).split('.');
  return places ? `${whole}.${fraction.slice(0, places)}` : whole;
}

async function draw() {
  const interval = document.querySelector('input[name=interval]:checked').value;
  const answer = await api.get(`/api/exchange/candles?interval=${interval}&limit=${CANDLES}`, { token: null });
  const text = JSON.stringify(answer);
  if (text === drawn || interval !== document.querySelector('input[name=interval]:checked').value) return;
  const fit = !drawn;
  drawn = text;
  latest = answer.candles.map((c) => ({
    time: Date.parse(c.time) / 1000,
    open: Number(c.open) * SATOSHI, high: Number(c.high) * SATOSHI, low: Number(c.low) * SATOSHI, close: Number(c.close) * SATOSHI,
    volume: c.volume,
  }));
  chart.applyOptions({ timeScale: { timeVisible: interval !== '1d' } });
  candles.setData(latest.map(({ volume, ...c }) => c));
  colourVolumes();
  if (fit) chart.timeScale().setVisibleLogicalRange({ from: latest.length - visible(), to: latest.length + 2 });
  show($('chart-empty'), latest.length === 0);
  const last = latest.at(-1);
  legend(last);
  setText($('chart-summary'), last
    ? `Chart of ${latest.length} candles of ${interval}. Last price ${last.close.toFixed(2)} satoshi, highest ${Math.max(...latest.map((c) => c.high)).toFixed(2)}, lowest ${Math.min(...latest.map((c) => c.low)).toFixed(2)}.`
    : 'There are no trades yet.');
}

const visible = () => Math.max(24, Math.floor($('chart').clientWidth / 9));

function makeChart() {
  const zone = (options) => new Intl.DateTimeFormat(undefined, { hour12: false, ...options });
  const day = zone({ month: 'short', day: 'numeric' });
  const month = zone({ month: 'short', year: 'numeric' });
  const minute = zone({ hour: '2-digit', minute: '2-digit' });
  const full = zone({ month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' });
  chart = createChart($('chart'), {
    autoSize: true,
    // The library's own logo brings a style element, which the page's policy forbids;
    // the credit under the chart is the attribution that its licence asks for.
    layout: { attributionLogo: false, fontSize: 11, fontFamily: getComputedStyle(document.body).fontFamily },
    localization: { timeFormatter: (t) => full.format(t * 1000) },
    timeScale: {
      borderVisible: false, timeVisible: true, rightOffset: 2, barSpacing: 9, minBarSpacing: 2,
      tickMarkFormatter: (t, kind) => [month, month, day, minute, minute][kind].format(t * 1000),
    },
    rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.08, bottom: 0.24 } },
    handleScroll: { vertTouchDrag: false },
    crosshair: { mode: 0 },
  });
  candles = chart.addSeries(CandlestickSeries, { priceFormat: { type: 'price', precision: 2, minMove: 0.01 }, borderVisible: false });
  volumes = chart.addSeries(HistogramSeries, { priceScaleId: 'volume', priceFormat: { type: 'volume' }, lastValueVisible: false, priceLineVisible: false });
  chart.priceScale('volume').applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
  chart.subscribeCrosshairMove(({ time }) => legend(latest.find((c) => c.time === time) ?? latest.at(-1)));
  colour();
}

function colour() {
  const of = theme.colour;
  chart.applyOptions({
    layout: { background: { color: of('panel') }, textColor: of('soft') },
    grid: { vertLines: { color: of('grid') }, horzLines: { color: of('grid') } },
    crosshair: { vertLine: { color: of('soft'), labelBackgroundColor: of('label') }, horzLine: { color: of('soft'), labelBackgroundColor: of('label') } },
  });
  candles.applyOptions({ upColor: of('up'), downColor: of('fall'), wickUpColor: of('up'), wickDownColor: of('fall') });
  colourVolumes();
}

function colourVolumes() {
  const [up, down] = ['up-volume', 'fall-volume'].map(theme.colour);
  volumes.setData(latest.map((c) => ({ time: c.time, value: Number(c.volume), color: c.close >= c.open ? up : down })));
}

function legend(c) {
  const place = $('legend');
  if (!c) {
    place.replaceChildren();
    return;
  }
  const part = (name, value) => h('span', {}, `${name} `, h('b', { class: c.close >= c.open ? 'up' : 'fall' }, value));
  place.replaceChildren(...['open', 'high', 'low', 'close'].map((name) => part(name[0].toUpperCase(), c[name].toFixed(2))),
    part('Vol', rounded(c.volume, 0)));
}
