// The open payment: address, QR code, countdown and progress.

import * as api from './api.js';
import * as session from './session.js';
import * as terms from './terms.js';
import { $, copyButton, h, icon, setText, show } from './dom.js';
import { format, fromJSON } from './money.js';

const NAME = 'aitbc.payment'; // in sessionStorage: the shown payment, with its QR code

let shown = null; // the payment, as create-payment or payment-status answers
let view = null; // its elements
let ticker = 0;

// open shows a payment, and keeps it over a reload.
export function open(payment) {
  shown = payment;
  sessionStorage.setItem(NAME, JSON.stringify(payment));
  build();
  update(payment);
  view.title.focus({ preventScroll: false });
}

// restore shows the payment that a reload interrupted.
export function restore() {
  const stored = JSON.parse(sessionStorage.getItem(NAME) ?? 'null');
  if (!stored || stored.user_id !== session.get()?.user_id) return;
  shown = stored;
  build();
  update(stored);
}

// find opens the payment of a transaction in the history.
export async function find(id) {
  const stored = JSON.parse(sessionStorage.getItem(NAME) ?? 'null');
  const status = await api.get(`/api/exchange/payment-status/${id}`);
  open(stored?.payment_id === id ? { ...stored, ...status } : { ...status, user_id: session.get().user_id });
}

export function close() {
  clearInterval(ticker);
  shown = view = null;
  sessionStorage.removeItem(NAME);
  $('payment').replaceChildren();
  show($('payment'), false);
  show($('buy'), true);
}

// refresh reads the status of the shown payment.
export async function refresh() {
  if (!shown || isFinal()) return;
  try {
    apply(await api.get(`/api/exchange/payment-status/${shown.payment_id}`));
  } catch (error) {
    if (error.status !== 404) throw error;
    close();
  }
}

// apply updates the shown payment; the status of another one is ignored.
export function apply(status) {
  // Responses may come out of order: a final status is not replaced.
  if (shown?.payment_id !== status.payment_id || isFinal()) return;
  shown = { ...shown, ...status };
  sessionStorage.setItem(NAME, JSON.stringify(shown));
  update(shown);
}

terms.watch(() => { if (shown) update(shown); });

const OPEN = new Set(['pending', 'seen', 'confirming', 'underpaid']);
const expired = () => Date.parse(shown.expires_at) <= Date.now() && (shown.status !== 'underpaid' || Number(shown.btc_refund) > 0);
// The rest of an underpaid payment may be paid until it expires.
const isFinal = () => !OPEN.has(shown.status) || (shown.status === 'underpaid' && (expired() || Number(shown.aitbc_credited) > 0));

function build() {
  const title = h('h3', { class: 'payment-title', tabindex: '-1' });
  view = {
    title,
    state: h('p', { class: 'payment-state', role: 'status' }),
    clock: h('b', { role: 'timer', 'aria-live': 'off' }),
    clockLine: null,
    steps: h('ol', { class: 'steps' }),
    demo: h('p', { class: 'fine demo-note' }, 'Demo: this payment is made by itself in a few seconds. Send nothing.'),
    pay: null,
    qr: shown.qr_code && h('img', { class: 'qr', src: shown.qr_code, alt: 'QR code of the payment', width: 148, height: 148 }),
    send: h('span', { class: 'label' }),
    amount: h('b', {}),
    link: h('a', { class: 'ghost wide' }, 'Open in a Bitcoin wallet'),
    done: h('button', { type: 'button', class: 'primary', onclick: backToForm }, 'Done'),
    back: h('button', { type: 'button', class: 'ghost wide', onclick: backToForm }, 'Back to the form'),
  };
  view.clockLine = h('p', { class: 'clock' }, 'Expires in ', view.clock);
  view.pay = h('div', { class: 'pay' },
    h('div', { class: 'pay-top' },
      view.qr,
      h('div', { class: 'pay-sum' },
        view.send,
        h('span', { class: 'pay-amount' }, view.amount, ' BTC', copyButton('Copy amount', () => view.amount.textContent)),
        h('span', { class: 'fine' }, `fee of ${shown.fee} BTC included`),
        view.clockLine)),
    h('span', { class: 'label' }, 'To this address'),
    h('span', { class: 'pay-address' }, h('span', { class: 'mono' }, shown.payment_address), copyButton('Copy address', () => shown.payment_address)),
    view.link,
    view.demo);
  $('payment').replaceChildren(
    title, view.state, view.steps, view.pay, view.done, view.back);
  show($('buy'), false);
  show($('payment'), true);
  clearInterval(ticker);
  ticker = setInterval(tick, 1000);
}

function backToForm() {
  close();
  $('buy-aitbc').focus();
}

function update(payment) {
  const needed = payment.confirmations_required ?? terms.get()?.confirmations ?? 1;
  const credited = `${format(fromJSON(payment.aitbc_credited ?? 0))} AITBC`;
  const paid = Number(payment.aitbc_credited ?? 0) > 0;
  const refund = Number(payment.btc_refund ?? 0) > 0 ? ` ${payment.btc_refund} BTC go back to you: the exchange will ask where to.` : '';
  const amount = `${format(fromJSON(payment.aitbc_amount))} AITBC`;
  const words = {
    pending: 'Waiting for your Bitcoin',
    seen: `Seen on the network: 0 of ${needed} confirmations`,
    confirming: `Seen on the network: ${payment.confirmations} of ${needed} confirmations`,
    underpaid: paid ? `Less was paid than quoted: ${credited} are in your balance.${refund}`
      : `${payment.btc_received} BTC have come so far; ${payment.btc_missing} BTC are missing.${refund}`,
    overpaid: `${credited} are in your balance, and more was paid than quoted.${refund}`,
    late: paid ? `Paid after the quote had expired: ${credited} are in your balance.${refund}` : `Paid after the quote had expired.${refund}`,
    confirmed: `${amount} are in your balance`,
    expired: 'The time is over and the quote no longer holds. Nothing was taken; start again for a new one.',
    failed: 'The exchange could not take this payment. Its line in the history says why.',
  }[payment.status];
  setText(view.title, payment.status === 'confirmed' || paid ? 'Bought' : `Buy ${amount}`);
  setText(view.state, words);
  // Of who paid too little only the rest is wanted; the QR code is of the whole.
  const rest = payment.status === 'underpaid' && !paid;
  setText(view.send, rest ? 'Send the rest, exactly' : 'Send exactly');
  setText(view.amount, rest ? payment.btc_missing : payment.btc_amount);
  view.link.href = rest || !payment.payment_uri ? `bitcoin:${payment.payment_address}?amount=${view.amount.textContent}` : payment.payment_uri;
  if (view.qr) show(view.qr, !rest);
  const at = { pending: 0, underpaid: paid ? 3 : 0, seen: 1, confirming: 1, confirmed: 3, overpaid: 3 }[payment.status] ?? -1;
  view.steps.replaceChildren(...['Payment', 'Confirmation', 'Credit'].map((name, i) => h('li', {
    class: i < at ? 'past' : i === at ? 'now' : '',
    'aria-current': i === at ? 'step' : null,
  }, h('span', { class: 'step-mark', 'aria-hidden': 'true' }, i < at ? icon('check') : String(i + 1)), name)));
  $('payment').dataset.status = payment.status;
  show(view.steps, at >= 0);
  show(view.pay, payment.status === 'pending' || (rest && !isFinal())); // what is seen is paid: nobody shall pay it twice
  show(view.demo, terms.get()?.demo ?? false);
  show(view.done, isFinal());
  show(view.back, !isFinal());
  if (isFinal()) clearInterval(ticker);
  tick();
}

function tick() {
  if (!view || isFinal()) return;
  const left = Math.max(0, Math.round((Date.parse(shown.expires_at) - Date.now()) / 1000));
  const two = (n) => String(n).padStart(2, '0');
  const hours = Math.floor(left / 3600);
  setText(view.clock, `${hours ? `${hours}:` : ''}${two(Math.floor(left / 60) % 60)}:${two(left % 60)}`);
  view.clockLine.classList.toggle('soon', left < 300);
}
