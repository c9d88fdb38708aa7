// The address book: lists, adds and removes addresses. A new address can be used only after
// a cooling-off time, in which the owner is notified of it.

import * as api from './api.js';
import * as session from './session.js';
import * as terms from './terms.js';
import { bitcoinError, walletError } from './address.js';
import { $, alarm, h, say, show, shorten, time } from './dom.js';
import { Form } from './form.js';

const BOOK = '/api/users/me/addresses';
const KINDS = {
  aitbc: { title: 'AITBC addresses', wrong: walletError },
  bitcoin: { title: 'Bitcoin addresses', wrong: bitcoinError },
};

let kind;
let choose;
let form;
let timer; // until an address that is shown may be used

export function start() {
  form = new Form($('book-form'), {
    read() {
      const label = $('book-label').value.trim();
      const address = $('book-address').value.trim();
      const errors = {};
      if (!label) errors.label = '';
      const wrong = address && KINDS[kind] ? KINDS[kind].wrong(address) : '';
      if (wrong || !address) errors.address = wrong;
      return { members: { label, address }, errors };
    },
    send: (members) => api.post(BOOK, members),
    done: async (entry) => {
      say(`${entry.label} is in your address book`);
      await load();
      ($('book-entries').querySelector(`[data-id="${entry.id}"] button:not(.danger)`) ?? $('book').querySelector('[data-close]')).focus();
    },
  });
}

// open shows the addresses of a kind; typed begins a new entry, and chosen(address) gets
// the one that is picked.
export async function open(wanted, typed, chosen) {
  kind = wanted;
  choose = chosen;
  form.reset();
  form.fail('');
  $('book-title').textContent = KINDS[kind].title;
  $('book-address').value = typed;
  const wait = terms.get()?.coolingOff ?? 0;
  $('book-words').textContent = wait > 0 ? `Only addresses of this book are paid to, and a new one after ${span(wait)}.` : 'Addresses that you pay to again and again.';
  $('book').showModal();
  await load();
}

// refusal says at the field of the address, in the reader's own time, what the server says
// of it in UTC.
export function refusal(error, field) {
  if (error.code !== 'address_not_usable') return error;
  const { status, code, retryAt } = error;
  const detail = retryAt
    ? `This address is new in your address book: it may be used from ${time(retryAt).textContent} on`
    : `This address is not in your address book. Put it there; it may be used ${span(terms.get()?.coolingOff ?? 0)} later`;
  return new api.Problem(status, { code, field, detail });
}

function span(seconds) {
  const [n, unit] = seconds % 3600 === 0 ? [seconds / 3600, 'hour'] : seconds % 60 === 0 ? [seconds / 60, 'minute'] : [seconds, 'second'];
  return `${n} ${unit}${n === 1 ? '' : 's'}`;
}

async function load() {
  if (!session.get()) return;
  clearTimeout(timer);
  show($('book-error'), false);
  try {
    const entries = (await api.get(BOOK)).addresses.filter((a) => a.kind === kind);
    $('book-entries').replaceChildren(...entries.map(line));
    show($('book-empty'), entries.length === 0);
    const next = Math.min(...entries.map((a) => Date.parse(a.usable_at) - Date.now()).filter((ms) => ms > 0 && ms < 3_600_000));
    if (next < Infinity) timer = setTimeout(() => { if ($('book').open) load(); }, next + 50);
  } catch (error) {
    failed(error);
  }
}

function line(entry) {
  const ready = Date.parse(entry.usable_at) <= Date.now();
  return h('li', { class: 'session', 'data-id': entry.id },
    h('span', { class: 'break' }, h('b', {}, entry.label), h('small', { class: 'mono', title: entry.address }, shorten(entry.address, 14, 8)),
      ready ? null : h('small', { class: 'warn' }, 'may be used from ', time(entry.usable_at), ' on')),
    h('span', { class: 'factor-buttons' },
      ready && h('button', { type: 'button', class: 'ghost', onclick: () => { $('book').close(); choose(entry.address); } }, 'Use', h('span', { class: 'sr-only' }, ` ${entry.label}`)),
      h('button', { type: 'button', class: 'ghost danger', onclick: () => remove(entry) }, 'Remove', h('span', { class: 'sr-only' }, ` ${entry.label}`))));
}

async function remove(entry) {
  try {
    await api.request('DELETE', `${BOOK}/${entry.id}`);
    say(`${entry.label} is removed`);
    await load();
    $('book-label').focus();
  } catch (error) {
    failed(error);
  }
}

function failed(error) {
  if (error.status === 401) return;
  $('book-error').textContent = error.message;
  show($('book-error'), true);
  alarm(error.message);
}
