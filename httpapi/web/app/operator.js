// The operator's page: what waits for a decision, the users, and the service's health.
//
// The key is kept in this variable and nowhere else. It is worth more than a session
// and does not expire, so it shall not outlive the page in sessionStorage; a password
// manager can fill it in after a reload.

import * as api from './api.js';
import * as theme from './theme.js';
import { $, alarm, copyButton, h, say, setText, show, shorten, time } from './dom.js';
import { Form } from './form.js';
import { format, fromJSON, group } from './money.js';

const EVERY = 5000; // ms between two readings
const PAGE = 50;

let key = '';
let role = ''; // what the key is good for: read, operate or admin
let timer;

const get = (path) => api.get(path, { token: key });

function start() {
  theme.attach($('theme'));
  new Form($('key'), {
    read: () => ({ members: { key: $('key-value').value.trim() }, errors: $('key-value').value.trim() ? {} : { key: '' } }),
    send: async (members) => {
      const answer = await api.get('/api/operator/health', { token: members.key }).catch((error) => {
        if (error.status === 401 || error.status === 403) throw new api.Problem(400, { field: 'key', detail: 'This key is not known here' });
        throw error;
      });
      role = answer.role;
      return members.key;
    },
    done: unlock,
  });
  $('lock').addEventListener('click', () => lock());
  $('kinds').addEventListener('change', () => { rows = PAGE; pending().catch(failed); });
  $('pending-more').addEventListener('click', () => { rows += PAGE; pending().catch(failed); });
  $('find').addEventListener('submit', (event) => { event.preventDefault(); users().catch(failed); });
  $('find-status').addEventListener('change', () => { $('find-text').value = ''; users().catch(failed); });
  $('users-more').addEventListener('click', () => users(next).catch(failed));
  document.querySelector('[data-close]').addEventListener('click', () => $('settle').close());
  document.addEventListener('visibilitychange', () => { if (key && document.visibilityState === 'visible') read(); });
  startSettle();
}

function unlock(value) {
  key = value;
  show($('key-view'), false);
  show($('desk'), true);
  show($('lock'), true);
  users().catch(failed);
  read();
  $('desk').querySelector('input').focus();
}

function lock(reason = '') {
  key = '';
  role = '';
  clearTimeout(timer);
  for (const id of ['pending', 'users', 'health']) $(id).replaceChildren();
  show($('desk'), false);
  show($('lock'), false);
  show($('connection'), false);
  show($('key-view'), true);
  $('settle').close();
  $('key-value').focus();
  if (reason) say(reason);
}

async function read() {
  clearTimeout(timer);
  try {
    await Promise.all([health(), pending()]);
    connection('live', 'Up to date');
  } catch (error) {
    failed(error);
    if (key) connection('reconnecting', 'Reconnecting');
  }
  clearTimeout(timer);
  if (key && document.visibilityState === 'visible') timer = setTimeout(read, EVERY);
}

function connection(state, words) {
  show($('connection'), key !== '');
  $('connection').dataset.state = state;
  setText($('connection-text'), words);
}

function failed(error) {
  if (!(error instanceof api.Problem)) throw error;
  if (error.status === 401 || (error.status === 403 && error.code !== 'role_required')) lock('The key is no longer valid');
  else if (error.status !== 0) {
    say(error.message);
    alarm(error.message);
  }
}

async function health() {
  const answer = await get('/api/operator/health');
  const { version, operator, role: now, started_at: started, uptime_seconds: uptime, ...figures } = answer;
  role = now;
  $('health-version').replaceChildren(`${operator}, ${{ read: 'who may read only', operate: 'who may operate', admin: 'an admin' }[role] ?? role}. ${version}, up ${duration(Number(uptime))} since `, time(started));
  const list = Object.entries(figures).filter(([name]) => !name.startsWith('pending_'));
  const place = $('health');
  if (place.childElementCount !== list.length) {
    place.replaceChildren(...list.map(([name]) => h('div', {}, h('dt', {}, words(name)), h('dd', {}))));
  }
  list.forEach(([, value], i) => setText(place.children[i].lastChild, /^\d+$/.test(value) ? group(value) : value));
  for (const [kind, name] of [['withdrawal', 'pending_withdrawals'], ['sell', 'pending_sells'], ['buy', 'pending_buys']]) {
    setText($(`count-${kind}`), group(figures[name]));
  }
}

const words = (name) => name.replaceAll('_', ' ').replace('microseconds', 'µs').replace(/^./, (c) => c.toUpperCase());

function duration(seconds) {
  const parts = [[Math.floor(seconds / 86_400), 'd'], [Math.floor(seconds / 3600) % 24, 'h'], [Math.floor(seconds / 60) % 60, 'min'], [seconds % 60, 's']];
  const first = parts.findIndex(([n]) => n > 0);
  return parts.slice(first < 0 ? 3 : first).slice(0, 2).map(([n, unit]) => `${n} ${unit}`).join(' ');
}

let rows = PAGE; // of what waits
let drawn = '';

async function pending() {
  const kind = document.querySelector('input[name=kind]:checked').value;
  const lists = { refund: refunds, unassigned };
  const limit = Math.min(500, rows);
  const [answer, due, ownerless] = await Promise.all([
    lists[kind] ? lists[kind](limit) : get(`/api/operator/transactions?type=${kind}&limit=${limit}`),
    kind === 'refund' ? null : get('/api/operator/refunds?limit=1'),
    kind === 'unassigned' ? null : get('/api/operator/unassigned-outputs?limit=1'),
  ]);
  setText($('count-refund'), group((due ?? answer).total));
  setText($('count-unassigned'), group((ownerless ?? answer).total));
  if (Number((ownerless ?? answer).total) > 0) show($('kind-unassigned'), true); // seldom: after a restored backup
  if (kind !== document.querySelector('input[name=kind]:checked').value) return;
  const text = kind + role + JSON.stringify(answer);
  if (text === drawn && $('pending').childElementCount > 0) return; // keep the focus where it is
  drawn = text;
  const focused = document.activeElement?.closest?.('#pending tr')?.dataset.id;
  const action = document.activeElement?.dataset?.action;
  $('pending').replaceChildren(...answer.transactions.map((t) => h('tr', { 'data-id': t.id },
    h('td', { class: 'nowrap' }, time(t.created_at)),
    h('td', { class: 'number' }, t.amount ? format(fromJSON(t.amount)) : '–', t.amount && t.fee !== '0' && h('small', {}, `fee ${t.fee}`),
      t.awaits_approval && h('small', {}, 'takes two operators'),
      t.approved_by && h('small', { title: t.approval }, `approved by ${t.approved_by}`)),
    h('td', { class: 'number' }, t.btc_amount ?? '–'),
    h('td', {}, t.to_address && h('span', { class: 'wallet-address' }, h('span', { class: 'mono', title: t.to_address }, shorten(t.to_address)), copyButton('Copy address', () => t.to_address))),
    h('td', { class: 'o-wide' }, t.type === 'unassigned' ? '–' : h('button', { type: 'button', class: 'link mono', onclick: () => find(userOf(t)), title: userOf(t) }, shorten(userOf(t), 8, 4))),
    h('td', {}, mayOperate() && h('div', { class: 'actions' }, lists[t.type] ? h('button', { type: 'button', class: 'ghost', 'data-action': SETTLES[t.type], onclick: () => openSettle(SETTLES[t.type], t) }, t.type === 'refund' ? 'Sent back' : 'Settle') : [
      t.awaits_approval
        ? h('button', { type: 'button', class: 'ghost', 'data-action': 'approve', onclick: () => openSettle('approve', t) }, 'Approve')
        : h('button', { type: 'button', class: 'ghost', 'data-action': 'complete', onclick: () => openSettle('complete', t) }, 'Complete'),
      h('button', { type: 'button', class: 'ghost danger', 'data-action': 'fail', onclick: () => openSettle('fail', t) }, 'Fail')])))));
  if (focused) $('pending').querySelector(`tr[data-id="${focused}"] [data-action="${action}"]`)?.focus();
  show($('pending-empty'), answer.transactions.length === 0);
  show($('pending-more'), answer.next_cursor !== null && rows < 500);
}

// refunds are what is to be sent back, in the form of what else waits.
async function refunds(limit) {
  const answer = await get(`/api/operator/refunds?limit=${limit}`);
  return { ...answer, transactions: answer.refunds.map((r) => ({
    id: r.payment_id, type: 'refund', created_at: r.received_at, btc_amount: r.btc, outpoint: r.outpoint, output: r.output,
  })) };
}

// unassigned is what came to addresses that nobody is known to have been given.
async function unassigned(limit) {
  const answer = await get(`/api/operator/unassigned-outputs?limit=${limit}`);
  return { ...answer, transactions: answer.outputs.map((o) => ({
    id: o.outpoint, type: 'unassigned', created_at: o.received_at, btc_amount: o.btc, to_address: o.address, outpoint: o.outpoint, output: o.output,
  })) };
}

// SETTLES has the action that ends what is no transaction.
const SETTLES = { refund: 'settle', unassigned: 'assign' };

// mayOperate: the server checks it too; here it keeps away buttons that would be refused.
const mayOperate = () => role !== 'read';

// userOf is the user's id, which a transaction's begins with.
const userOf = (t) => t.id.slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');

function find(text) {
  $('find-text').value = text;
  users().then(() => $('find-text').focus(), failed);
}

let next = null; // cursor of the next page of users

async function users(from = null) {
  const q = new URLSearchParams({ limit: PAGE });
  const text = $('find-text').value.trim();
  if (text) q.set('find', text);
  if ($('find-status').value && !text) q.set('status', $('find-status').value);
  if (from) q.set('cursor', from);
  const answer = await get(`/api/operator/users?${q}`);
  if (!from) $('users').replaceChildren();
  $('users').append(...answer.users.map(userLine));
  next = answer.next_cursor;
  setText($('users-count'), text ? `${answer.users.length} found` : group(answer.total));
  show($('users-more'), next !== null);
  show($('users-empty'), $('users').childElementCount === 0);
}

function userLine(user) {
  const act = (action, words, danger) => h('button', { type: 'button', class: danger ? 'ghost danger' : 'ghost', onclick: () => openSettle(action, user) }, words);
  return h('tr', { 'data-id': user.user_id },
    h('td', {}, h('span', { class: 'type' }, user.username), h('small', { class: 'break' }, user.email)),
    h('td', { class: 'o-wide' }, h('span', { class: 'wallet-address' }, h('span', { class: 'mono', title: user.wallet_address }, shorten(user.wallet_address)), copyButton('Copy wallet', () => user.wallet_address))),
    h('td', { class: 'number' }, format(fromJSON(user.balance))),
    h('td', { class: 'number o-wide' }, format(fromJSON(user.held))),
    h('td', { class: 'number o-wide' }, group(user.transactions)),
    h('td', {}, h('span', { class: `status ${user.status}` }, user.status)),
    h('td', {}, mayOperate() && h('div', { class: 'actions' },
      user.status === 'active' ? act('suspend', 'Suspend', true) : act('reactivate', 'Reactivate'),
      role === 'admin' && act('reset-factors', 'Reset factors', true))));
}

// The dialog that asks for the reason of what is about to be done.

const ACTIONS = {
  approve: { title: 'Approve', words: 'Approve, for another operator to complete', done: 'Approved', wants: true },
  complete: { title: 'Complete', words: 'Complete', done: 'Completed', wants: false },
  fail: { title: 'Fail', words: 'Fail, and give back what is held', done: 'Failed', wants: true },
  settle: { title: 'Settle', words: 'It has been sent back', done: 'Settled', wants: true },
  assign: { title: 'Settle', words: 'Its owner has been found, or it has been sent back', done: 'Settled', wants: true },
  suspend: { title: 'Suspend', words: 'Suspend this user', done: 'Suspended', wants: true },
  reactivate: { title: 'Reactivate', words: 'Reactivate this user', done: 'Reactivated', wants: true },
  'reset-factors': { title: 'Reset the second factors of', words: 'Remove every second factor, and log the user out', done: 'The second factors are removed', wants: true },
};

let asked; // {action, subject}
let settleForm;

function startSettle() {
  settleForm = new Form($('settle-form'), {
    read() {
      const errors = {};
      const reason = $('settle-reason').value.trim();
      const hash = $('settle-hash').value.trim();
      if (ACTIONS[asked?.action]?.wants && !reason) errors.reason = '';
      if (hash && !/^[0-9a-f]{64}$/i.test(hash)) errors.tx_hash = 'The 64 hexadecimal digits of a transaction id';
      return { members: { reason, tx_hash: hash }, errors };
    },
    send: (members, waiting) => {
      const { action, subject } = asked;
      if (subject.user_id) return api.post(`/api/operator/users/${subject.user_id}/${action}`, members, { token: key });
      if (subject.type === 'unassigned') return api.post(`/api/operator/unassigned-outputs/${subject.outpoint}/settle`, members, { token: key });
      const what = subject.type === 'refund' ? `refunds/${subject.id}/${subject.outpoint}` : `transactions/${subject.id}`;
      return api.postOnce(`/api/operator/${what}/${action}`, members, { token: key, waiting });
    },
    done: async (answer) => {
      const { action, subject } = asked;
      $('settle').close();
      say(ACTIONS[action].done);
      if (subject.user_id) {
        const line = $('users').querySelector(`tr[data-id="${answer.user_id}"]`);
        const fresh = userLine(answer);
        line?.replaceWith(fresh);
        fresh.querySelector('.actions button').focus();
      } else {
        await read();
        document.querySelector('#kinds input:checked').focus();
      }
    },
  });
}

function openSettle(action, subject) {
  asked = { action, subject };
  settleForm.reset();
  settleForm.fail('');
  const { title, words: button, wants } = ACTIONS[action];
  const fact = (name, value) => h('div', {}, h('dt', {}, name), h('dd', { class: 'break' }, value));
  $('settle-facts').replaceChildren(...(subject.user_id
    ? [fact('User', subject.username), fact('Wallet', subject.wallet_address), fact('Balance', `${format(fromJSON(subject.balance))} AITBC`)]
    : [subject.amount && fact('Amount', `${format(fromJSON(subject.amount))} AITBC`), subject.approved_by && fact(`Approved by ${subject.approved_by}`, subject.approval), subject.outpoint && fact('Output', `${subject.outpoint} (${subject.output})`), subject.btc_amount && fact('Bitcoin', `${subject.btc_amount} BTC`), subject.to_address && fact('To', subject.to_address)].filter(Boolean)));
  setText($('settle-title'), subject.user_id ? `${title} ${subject.username}` : `${title} this ${{ buy: 'payment', sell: 'sale', withdrawal: 'withdrawal', refund: 'refund', unassigned: 'output without an owner' }[subject.type]}`);
  setText($('settle-reason-label'), wants ? 'Reason' : 'Note, if you want');
  setText($('settle-words'), button);
  show($('settle-hash-field'), action === 'settle' || action === 'assign' || (action === 'complete' && subject.type !== 'withdrawal'));
  $('settle').showModal();
  $('settle-reason').focus();
}

start();
