// The table of transactions: filters, endless scroll, and rows that change with events.

import * as api from './api.js';
import * as session from './session.js';
import { $, alarm, copyButton, h, say, setText, show, time } from './dom.js';
import { format, fromJSON, group } from './money.js';

const PAGE = 50;
const MAX_PAGE = 500; // of the API

const NAMES = { buy: 'Buy', sell: 'Sale', deposit: 'Deposit', withdrawal: 'Withdrawal', credit: 'Credit', debit: 'Debit' };
const STATUSES = { pending: 'Pending', completed: 'Completed', failed: 'Failed' };
const INCOMING = new Set(['buy', 'deposit', 'credit']);

const rows = new Map(); // id: {text, element}, newest first
let cursor = null; // where the next page begins; null at the end
let total = 0;
let generation = 0; // counts the loads: the response to an earlier one is ignored
let loading = false;
let updated = new Set(); // ids with an event since the load began, whose response may lack them
let openPayment;

// start wires the table; openPayment(id) shows a pending payment.
export function start(on) {
  openPayment = on.openPayment;
  for (const filter of [$('filter-type'), $('filter-status')]) {
    filter.addEventListener('change', () => {
      reset();
      load(PAGE).catch(failed);
    });
  }
  $('csv').addEventListener('click', async () => {
    try {
      await api.download(`/api/users/${session.get().user_id}/transactions.csv?${query()}`, 'aitbc-transactions.csv');
      say('The CSV file is in your downloads');
    } catch (error) {
      say(error.message || 'The file could not be fetched; try again');
    }
  });
  observeEnd();
}

const observer = new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting)) loadMore();
}, { rootMargin: '400px', scrollMargin: '400px' });

// observeEnd checks again whether the end of the list is in view: an observer reports only
// changes, and there is none where the end stays in view.
function observeEnd() {
  observer.unobserve($('history-more'));
  observer.observe($('history-more'));
}

// refresh reads again as many rows as are shown.
export const refresh = () => load(Math.min(MAX_PAGE, Math.max(PAGE, rows.size)));

// clear empties the table and its filters, at logout.
export function clear() {
  reset();
  $('filter-type').value = $('filter-status').value = '';
}

// upsert adds a transaction to the table, or updates its row.
export function upsert(transaction) {
  updated.add(transaction.id);
  const matches = (!$('filter-type').value || $('filter-type').value === transaction.type)
    && (!$('filter-status').value || $('filter-status').value === transaction.status);
  const known = rows.has(transaction.id);
  if (!matches) {
    if (known) {
      rows.get(transaction.id).element.remove();
      rows.delete(transaction.id);
      total--;
    }
  } else {
    if (!known) {
      const oldest = [...rows.keys()].at(-1);
      if (cursor !== null && oldest && number(transaction.id) < number(oldest)) return; // on a page that was not read
      total++;
    }
    put(transaction, !known);
  }
  finish();
}

function reset() {
  generation++;
  rows.clear();
  $('history').replaceChildren();
  cursor = null;
  loading = false;
  total = 0;
  show($('history-empty'), false);
  setText($('history-count'), '');
}

function query() {
  const q = new URLSearchParams();
  if ($('filter-type').value) q.set('type', $('filter-type').value);
  if ($('filter-status').value) q.set('status', $('filter-status').value);
  return q;
}

const page = (limit, from) => {
  const q = query();
  q.set('limit', limit);
  if (from) q.set('cursor', from);
  return api.get(`/api/users/${session.get().user_id}/transactions?${q}`);
};

async function load(limit) {
  const own = ++generation;
  loading = true;
  updated = new Set();
  if (rows.size === 0) skeleton();
  try {
    const answer = await page(limit);
    if (own !== generation) return;
    const now = new Set(answer.transactions.map((t) => t.id));
    for (const [id, row] of rows) {
      if (now.has(id) || updated.has(id)) continue;
      row.element.remove();
      rows.delete(id);
    }
    const later = [...rows.keys()].filter((id) => updated.has(id) && !now.has(id)).length;
    $('history').querySelectorAll('.skeleton-row').forEach((row) => row.remove());
    answer.transactions.forEach((t) => put(t));
    cursor = answer.next_cursor;
    total = Number(answer.total) + later;
    loading = false;
    finish();
  } finally {
    if (own === generation) loading = false;
  }
}

async function loadMore() {
  if (loading || cursor === null || !session.get()) return;
  const own = generation;
  loading = true;
  setText($('history-more'), 'Loading…');
  try {
    const answer = await page(PAGE, cursor);
    if (own !== generation) return;
    answer.transactions.forEach((t) => put(t));
    cursor = answer.next_cursor;
    total = Number(answer.total);
    loading = false;
    finish();
  } catch (error) {
    if (own === generation) $('history-more').replaceChildren(`${error.message}. `, h('button', { type: 'button', class: 'link', onclick: loadMore }, 'Try again'));
  } finally {
    if (own === generation) loading = false;
  }
}

const number = (id) => Number(id.slice(id.lastIndexOf('-') + 1));

// put adds a row at its place, or replaces it.
function put(transaction, fresh = false) {
  const text = JSON.stringify(transaction);
  const known = rows.get(transaction.id);
  // Completed and failed are final: a transaction that is pending again is from an older response.
  if (known?.text === text || (known && known.element.dataset.status !== 'pending' && transaction.status === 'pending')) return;
  const element = line(transaction);
  if (fresh || known) element.classList.add('fresh');
  if (known) {
    known.element.replaceWith(element);
    rows.set(transaction.id, { text, element });
    return;
  }
  const n = number(transaction.id);
  const body = $('history');
  let place = null; // the first line that is older
  const last = body.lastElementChild;
  if (last && Number(last.dataset.n) < n) {
    place = [...body.children].find((row) => Number(row.dataset.n) < n);
  }
  body.insertBefore(element, place);
  rows.set(transaction.id, { text, element });
}

function line(t) {
  const amount = `${INCOMING.has(t.type) ? '+' : '−'}${format(fromJSON(t.amount))}`;
  const fee = t.btc_fee ? `${t.btc_fee} BTC` : t.fee === '0' ? '–' : `${format(fromJSON(t.fee))} AITBC`;
  return h('tr', { 'data-n': number(t.id), 'data-id': t.id, 'data-type': t.type, 'data-status': t.status },
    h('td', { class: 'c-time' }, time(t.created_at)),
    h('td', { class: 'c-type' }, h('span', { class: 'type' }, NAMES[t.type] ?? t.type), h('small', { class: 'narrow-only' }, time(t.created_at)),
      t.reason && h('small', { class: 'narrow-only break' }, t.reason)),
    h('td', { class: 'c-detail' }, h('span', { class: 'detail', title: t.description }, t.description),
      t.reason && t.reason !== t.description && h('small', {}, t.reason),
      t.tx_hash && h('small', { class: 'hash' }, 'tx ', h('span', { class: 'mono', title: t.tx_hash }, `${t.tx_hash.slice(0, 12)}…`), copyButton('Copy transaction id', () => t.tx_hash))),
    h('td', { class: `number ${INCOMING.has(t.type) ? 'in' : 'out'}${t.status === 'completed' ? '' : ' unsettled'}` }, amount, h('small', { class: 'narrow-only' }, fee === '–' ? '' : `fee ${fee}`)),
    h('td', { class: 'number c-fee' }, fee),
    h('td', { class: 'c-status' }, t.type === 'buy' && t.status === 'pending'
      ? h('button', { type: 'button', class: 'status pending', onclick: () => openPayment(t.id) }, 'Pending', h('span', { class: 'sr-only' }, ': show the payment'))
      : h('span', { class: `status ${t.status}` }, STATUSES[t.status] ?? t.status)));
}

function finish() {
  $('history').querySelectorAll('.skeleton-row').forEach((row) => row.remove());
  const filtered = Boolean($('filter-type').value || $('filter-status').value);
  setText($('history-count'), total === 0 ? '' : `${group(String(total))}${filtered ? ' found' : ''}`);
  const empty = $('history-empty');
  show(empty, rows.size === 0);
  if (rows.size === 0) {
    empty.replaceChildren(...(filtered
      ? [h('b', {}, 'Nothing matches'), h('span', {}, 'Choose another type or status.')]
      : [h('b', {}, 'Nothing here yet'), h('span', {}, 'Your buys, sales, deposits and withdrawals will be listed here.')]));
  }
  setText($('history-more'), '');
  if (cursor !== null) observeEnd();
}

function skeleton() {
  if ($('history').childElementCount > 0) return;
  show($('history-empty'), false);
  $('history').replaceChildren(...Array.from({ length: 6 }, () => h('tr', { class: 'skeleton-row', 'aria-hidden': 'true' },
    ...['c-time', 'c-type', 'c-detail', 'number', 'number c-fee', 'c-status'].map((name) => h('td', { class: name }, h('span', { class: 'skeleton' }, '00000000'))))));
}

function failed(error) {
  if (error.status === 401) return;
  const empty = $('history-empty');
  $('history').replaceChildren();
  rows.clear();
  empty.replaceChildren(h('b', {}, 'The history could not be read'), h('span', {}, error.message),
    h('button', { type: 'button', class: 'ghost', onclick: () => load(PAGE).catch(failed) }, 'Try again'));
  show(empty, true);
  alarm('The history could not be read');
}
