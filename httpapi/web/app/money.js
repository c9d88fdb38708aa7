// Exact amounts. An amount is a BigInt of base units: 1 AITBC = 10^8 units, 1 BTC
// = 10^8 satoshi. It never becomes a JavaScript number, which holds 53 bits: the
// exchange holds 63. The quotes are those of actors/terms.go, to the satoshi;
// cmd/exchange/browser_money_test.go compares the two over random values.

export const UNIT = 100_000_000n;
export const MAX = 9_223_372_036_854_775_807n; // of an int64

const PLACES = 8;
const MILLION = 1_000_000n;

// parse reads a plain decimal as a person types it, and throws an Error that says
// what is wrong with it.
export function parse(text) {
  const match = /^(\d*)(?:\.(\d*))?$/.exec(text.trim());
  if (!match || (!match[1] && !match[2])) {
    throw new Error(/,/.test(text) ? 'Write decimals with a point and no commas, such as 1234.5' : 'Write a number, such as 12.5');
  }
  const fraction = match[2] ?? '';
  if (fraction.length > PLACES) throw new Error('At most 8 decimals');
  const units = BigInt(match[1] || '0') * UNIT + BigInt(fraction.padEnd(PLACES, '0'));
  if (units > MAX) throw new Error('That is more than can be held');
  return units;
}

// fromJSON reads an amount of the API, which json.js has kept as text.
export function fromJSON(text) {
  const match = /^(-?)(\d+)(?:\.(\d{1,8}))?$/.exec(text);
  if (!match) throw new Error(`not an amount: ${text}`);
  const units = BigInt(match[2]) * UNIT + BigInt((match[3] ?? '').padEnd(PLACES, '0'));
  return match[1] ? -units : units;
}

// plain writes units as the shortest exact decimal, which is also a JSON number.
export function plain(units) {
  const [whole, fraction] = split(units);
  const short = fraction.replace(/0+$/, '');
  return short ? `${whole}.${short}` : whole;
}

// format writes units for reading: the whole part in groups of three, and at least
// least decimals.
export function format(units, least = 2) {
  const [whole, fraction] = split(units);
  const short = fraction.replace(/0+$/, '').padEnd(least, '0');
  return group(whole) + (short ? `.${short}` : '');
}

export const group = (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ',');

function split(units) {
  const sign = units < 0n ? '-' : '';
  const digits = (units < 0n ? -units : units).toString().padStart(PLACES + 1, '0');
  return [sign + digits.slice(0, -PLACES), digits.slice(-PLACES)];
}

const up = (a, b) => (a + b - 1n) / b;

// buyQuote is what amount AITBC costs in satoshi: {total, fee}. rate is AITBC units
// for one BTC, fee in millionths; fractions of a satoshi are rounded up.
export function buyQuote(amount, { rate, feePPM }) {
  const net = up(amount * UNIT, rate);
  const fee = up(net * feePPM, MILLION);
  return { total: net + fee, fee };
}

// mostFor is the largest amount of AITBC whose quote is at most total satoshi.
export function mostFor(total, { rate, feePPM }) {
  const net = (total * MILLION) / (MILLION + feePPM);
  return (net * rate) / UNIT;
}

// saleQuote is what a sale of amount AITBC pays out in satoshi: {payout, fee, gross}.
export function saleQuote(amount, { rate, feePPM }) {
  const gross = (amount * UNIT) / rate;
  const fee = up(gross * feePPM, MILLION);
  return { payout: gross - fee, fee, gross };
}
