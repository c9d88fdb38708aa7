// Buy, sell, deposit and withdraw: the tabs and their forms.

import * as api from './api.js';
import * as book from './book.js';
import * as session from './session.js';
import * as terms from './terms.js';
import { bitcoinError, simulatedAddress, walletError } from './address.js';
import { $, h, say, setText, show } from './dom.js';
import { Form } from './form.js';
import { UNIT, buyQuote, format, fromJSON, mostFor, parse, plain, saleQuote } from './money.js';

const TABS = ['buy', 'sell', 'deposit', 'withdraw'];

let available = null; // AITBC units; null before the first balance
let forms;

// start wires the forms. onPayment(payment) gets a new payment; onChange() is called after
// the server accepted anything else.
export function start({ onPayment, onChange }) {
  startTabs();
  book.start();
  forms = { buy: buyForm(onPayment), sell: sellForm(onChange), deposit: depositForm(onChange), withdraw: withdrawForm(onChange) };
  terms.watch(showTerms);
}

// setAvailable sets the amount that can be sold and withdrawn.
export function setAvailable(units) {
  available = units;
  forms.sell.validate();
  forms.withdraw.validate();
}

// clear empties the forms, at logout.
export function clear() {
  available = null;
  Object.values(forms).forEach((form) => form.reset());
  select('buy');
}

export function select(name, focus = false) {
  for (const tab of TABS) {
    const button = $(`tab-${tab}`);
    const selected = tab === name;
    button.setAttribute('aria-selected', String(selected));
    button.tabIndex = selected ? 0 : -1;
    show($(`panel-${tab}`), selected);
    if (selected && focus) button.focus();
  }
}

function startTabs() {
  TABS.forEach((name, i) => {
    const button = $(`tab-${name}`);
    button.addEventListener('click', () => select(name));
    button.addEventListener('keydown', (event) => {
      const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: -1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      select(TABS.at(to % TABS.length), true);
    });
  });
}

// amountIn reads an amount out of an input: {units}, or {error}, '' for an empty one.
function amountIn(input) {
  if (input.value.trim() === '') return { error: '' };
  try {
    const units = parse(input.value);
    return units > 0n ? { units } : { error: 'More than 0' };
  } catch (error) {
    return { error: error.message };
  }
}

const btc = (units) => `${format(units, 8)} BTC`;
const aitbc = (units) => `${format(units)} AITBC`;
const amountOf = (transaction) => aitbc(fromJSON(transaction.amount));

function buyForm(onPayment) {
  const amount = $('buy-aitbc');
  const pay = $('buy-btc');
  let source = amount; // the field that was edited last; the other is computed from it

  function fillOther() {
    const other = source === amount ? pay : amount;
    const t = terms.get();
    const { units } = amountIn(source);
    if (!t || units === undefined) other.value = '';
    else other.value = plain(source === amount ? buyQuote(units, t).total : mostFor(units, t));
    if (other.value === '0') other.value = '';
  }

  const form = new Form($('buy'), {
    read() {
      const t = terms.get();
      const typed = amountIn(source);
      const errors = {};
      const field = source === amount ? 'aitbc_amount' : 'btc_amount';
      setText($('buy-fee'), '–');
      if (!t || typed.error !== undefined) return { errors: { [field]: typed.error ?? '' } };
      const units = source === amount ? typed.units : mostFor(typed.units, t);
      const { total, fee } = buyQuote(units, t);
      setText($('buy-fee'), btc(fee));
      const asked = source === amount ? total : typed.units;
      if (asked > t.maxPayment) errors[field] = `At most ${btc(t.maxPayment)}, which is ${aitbc(mostFor(t.maxPayment, t))}`;
      else if (asked < t.minPayment || total < t.minPayment) errors[field] = `At least ${btc(t.minPayment)}, which is ${aitbc(leastFor(t))}`;
      return { members: { aitbc_amount: units, btc_amount: total }, errors };
    },
    send: (members, waiting) => api.postOnce('/api/exchange/create-payment', members, { waiting }),
    done: onPayment,
  });
  for (const input of [amount, pay]) {
    // In the capture phase, so that the other field is filled before the form validates.
    input.form.addEventListener('input', (event) => {
      if (event.target !== input) return;
      source = input;
      form.refused.clear();
      fillOther();
    }, { capture: true });
  }
  // Not every number of satoshi is the price of some amount: this shows the real price.
  pay.addEventListener('change', () => {
    const { units } = amountIn(amount);
    if (units !== undefined) pay.value = plain(buyQuote(units, terms.get()).total);
  });
  chips($('buy-chips'), ['0.001', '0.01', '0.1', '1'], (text) => `${text} BTC`, (text) => type(pay, text));
  terms.watch(() => { fillOther(); form.validate(); });
  return form;
}

// leastFor is an amount that costs at least the smallest payment.
function leastFor(t) {
  const most = mostFor(t.minPayment, t);
  if (buyQuote(most, t).total >= t.minPayment) return most;
  return most + t.rate / UNIT + 1n; // a satoshi's worth more
}

function sellForm(onChange) {
  const amount = $('sell-aitbc');
  const address = $('sell-address');
  const form = new Form($('sell'), {
    read() {
      const t = terms.get();
      const typed = amountIn(amount);
      const errors = {};
      setText($('sell-fee'), '–');
      setText($('sell-payout'), '–');
      if (typed.error !== undefined || !t) errors.aitbc_amount = typed.error ?? '';
      else {
        const { payout, fee, gross } = saleQuote(typed.units, t);
        setText($('sell-fee'), btc(fee));
        setText($('sell-payout'), payout > 0n ? btc(payout) : '–');
        if (available !== null && typed.units > available) errors.aitbc_amount = `You have ${aitbc(available)} available`;
        else if (payout < t.minPayout) errors.aitbc_amount = `A sale pays out at least ${btc(t.minPayout)}`;
        else if (gross > t.maxPayment) errors.aitbc_amount = `A sale is at most ${btc(t.maxPayment)}`;
      }
      const wrong = address.value === '' ? '' : bitcoinError(address.value.trim());
      if (wrong || address.value === '') errors.btc_address = wrong;
      return { members: { aitbc_amount: typed.units, btc_address: address.value.trim() }, errors };
    },
    send: (members, waiting) => api.postOnce('/api/exchange/sell', members, { waiting }).catch((error) => { throw book.refusal(error, 'btc_address'); }),
    done: (sale) => {
      say(`Sale placed: ${amountOf(sale)} are held until the Bitcoin is paid`);
      onChange(sale);
    },
  });
  parts($('sell-chips'), amount, () => available ?? 0n);
  $('sell-book').addEventListener('click', () => fromBook('bitcoin', address));
  $('sell-demo-address').addEventListener('click', () => type(address, simulatedAddress()));
  return form;
}

function depositForm(onChange) {
  const amount = $('deposit-amount');
  const form = new Form($('deposit'), {
    read() {
      const { units, error } = amountIn(amount);
      return { members: { amount: units }, errors: error === undefined ? {} : { amount: error } };
    },
    send: (members, waiting) => api.postOnce(`/api/users/${session.get().user_id}/deposits`, members, { waiting }),
    done: (deposit) => {
      say(`${amountOf(deposit)} deposited`);
      onChange(deposit);
    },
  });
  chips($('deposit-chips'), ['100', '1000', '10000'], (text) => format(parse(text), 0), (text) => type(amount, text));
  return form;
}

function withdrawForm(onChange) {
  const amount = $('withdraw-amount');
  const address = $('withdraw-address');
  const most = () => {
    const left = (available ?? 0n) - (terms.get()?.withdrawalFee ?? 0n);
    return left > 0n ? left : 0n;
  };
  const form = new Form($('withdraw'), {
    read() {
      const { units, error } = amountIn(amount);
      const errors = {};
      const fee = terms.get()?.withdrawalFee ?? 0n;
      setText($('withdraw-total'), units === undefined ? '–' : aitbc(units + fee));
      if (error !== undefined) errors.amount = error;
      else if (available !== null && units > most()) errors.amount = fee > 0n ? `At most ${aitbc(most())}: the fee comes on top` : `You have ${aitbc(available)} available`;
      const to = address.value.trim();
      if (to === '' || walletError(to)) errors.to_address = to === '' ? '' : walletError(to);
      return { members: { amount: units, to_address: to }, errors };
    },
    send: (members, waiting) => api.postOnce(`/api/users/${session.get().user_id}/withdrawals`, members, { waiting }).catch((error) => { throw book.refusal(error, 'to_address'); }),
    done: (withdrawal) => {
      say(`Withdrawal placed: ${amountOf(withdrawal)} are held until it is sent`);
      onChange(withdrawal);
    },
  });
  $('withdraw-book').addEventListener('click', () => fromBook('aitbc', address));
  parts($('withdraw-chips'), amount, most);
  return form;
}

// fromBook opens the address book, which gives an address to the input.
function fromBook(kind, input) {
  book.open(kind, input.value.trim(), (chosen) => { type(input, chosen); input.focus(); });
}

// type puts text into input as a person would.
function type(input, text) {
  input.value = text;
  input.dispatchEvent(new Event('input', { bubbles: true }));
  input.dispatchEvent(new Event('change', { bubbles: true }));
}

function chips(place, values, label, choose) {
  place.append(...values.map((value) => h('button', { type: 'button', class: 'chip', onclick: () => choose(value) }, label(value))));
}

// parts are buttons for a share of the whole.
function parts(place, input, whole) {
  const choose = (percent) => type(input, plain((whole() * BigInt(percent)) / 100n));
  chips(place, ['25', '50', '75', '100'], (percent) => (percent === '100' ? 'All' : `${percent} %`), choose);
}

function showTerms(t) {
  const rate = `1 BTC = ${aitbc(t.rate)}`;
  setText($('buy-rate'), rate);
  setText($('sell-rate'), rate);
  setText($('connect-rate'), `${rate}, fee ${t.feePercent} %`);
  setText($('buy-fee-percent'), `${t.feePercent} %`);
  setText($('sell-fee-percent'), `${t.feePercent} %`);
  setText($('buy-limits'), `${plain(t.minPayment)} to ${btc(t.maxPayment).replace(/\.0+ /, ' ')}`);
  setText($('withdraw-fee'), aitbc(t.withdrawalFee));
  setText($('deposit-note'), t.demo ? 'This is a demo: take what you like to try things with.' : 'A deposit is credited by the operator once it has arrived.');
  show($('deposit'), t.demo);
  show($('sell-demo-address'), t.demo);
  forms.sell.validate();
  forms.withdraw.validate();
}
