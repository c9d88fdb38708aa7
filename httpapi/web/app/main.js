// The trade page. Plain ES modules, no build step: what is in this folder is what the
// browser gets. To change it, edit a file and run `make run`; nothing else is needed.
//
//   index.html, app.css   the page and its looks; colours are the variables on top
//   main.js               this file: logs in and out, and passes events to the parts
//   session.js            who is logged in, and why sessionStorage
//   api.js                requests, problems, and POSTs that happen once
//   live.js               server-sent events, reconnecting, polling
//   money.js, json.js     exact amounts (BigInt), and JSON that keeps them exact
//   terms.js              rate, fee and limits
//   wallet.js             demo wallet, browser wallets (EIP-1193, EIP-6963)
//   trade.js, form.js     buy, sell, deposit, withdraw; what every form does
//   book.js               the address book
//   payment.js            the open payment: address, QR code, progress
//   history.js            the table
//   market.js             figures and chart
//   account.js            profile and sessions
//   security.js, stepup.js, passkey.js   second factors: enrolment, step-up, the browser's passkeys
//   dom.js, theme.js, address.js   helpers
//   operator.html, operator.js     the operator's page
//   lightweight-charts-5.2.1.js    the chart library, as it is in its npm package
//
// Rules: an amount is a BigInt or its decimal text, never a number. Text is set as
// text, never as markup. The Content-Security-Policy allows no inline script and no
// inline style: use classes. What the server says wins over what the page believed;
// after every reconnection all of it is read again. The parts know each other only
// through here. cmd/exchange/browser_*_test.go drive the page in Chromium.

import * as account from './account.js';
import * as api from './api.js';
import * as history from './history.js';
import * as live from './live.js';
import * as market from './market.js';
import * as payment from './payment.js';
import * as security from './security.js';
import * as session from './session.js';
import * as stepup from './stepup.js';
import * as terms from './terms.js';
import * as theme from './theme.js';
import * as trade from './trade.js';
import * as wallet from './wallet.js';
import { $, alarm, copyButton, h, setText, show, shorten } from './dom.js';
import { decode } from './json.js';
import { format, fromJSON, plain } from './money.js';

let unfollow = () => {};

function start() {
  theme.attach($('theme'));
  trade.start({ onPayment: (p) => { payment.open(p); refreshNow(); }, onChange: refreshNow });
  history.start({
    openPayment: async (id) => {
      trade.select('buy');
      try {
        await payment.find(id);
        $('trade').scrollIntoView({ block: 'nearest' });
      } catch (error) {
        notice(error.message);
      }
    },
  });
  account.start({ onChange: showProfile });
  security.start();
  stepup.start();
  api.onFactorRequired({ ask: stepup.ask, enrol: security.openForEnrolment });
  // The banner keeps its place until the terms say whether this is a demo; the last answer
  // is remembered. So the page does not shift while somebody uses it.
  if (localStorage.getItem('aitbc.demo') === 'false') show($('demo'), false);
  terms.watch((t) => {
    show($('demo'), t.demo);
    $('demo').classList.remove('unsure');
    localStorage.setItem('aitbc.demo', t.demo);
  });
  market.start();
  $('connect').addEventListener('click', connect);
  $('logout').addEventListener('click', logout);
  $('notice-close').addEventListener('click', () => show($('notice'), false));
  $('wallet-copy').append(copyButton('Copy address', () => session.get().wallet));
  $('deposit-copy').append(copyButton('Copy address', () => $('deposit-address').title));
  for (const dialog of document.querySelectorAll('dialog')) {
    dialog.addEventListener('click', (event) => {
      if ((event.target === dialog && !('stay' in dialog.dataset)) || event.target.closest('[data-close]')) dialog.close();
    });
  }
  session.watch(showSession);
  showSession(session.get());
  // A reading that failed, such as of a first page without a server, is repeated by live.js.
}

// connect logs in with a wallet: the demo's at once, or the one that is chosen.
async function connect() {
  show($('connect-error'), false);
  const choices = wallet.browserWallets();
  const t = terms.get();
  const demo = t ? t.demo && !t.signed : true; // a demo wallet has no key to sign with
  if (choices.length === 0 && demo) {
    await login(wallet.connectDemo);
    return;
  }
  if (choices.length === 0) {
    connectFailed('There is no wallet in this browser. Install one, such as MetaMask, and load this page again.');
    return;
  }
  if (demo) choices.push({ name: 'Demo wallet', connect: wallet.connectDemo });
  $('wallet-choices').replaceChildren(...choices.map(({ name, connect: open }) => h('button', {
    type: 'button', class: 'ghost wide', onclick: () => { $('wallets').close(); login(open); },
  }, name)));
  $('wallets').showModal();
}

async function login(connectWallet) {
  const button = $('connect');
  if (button.getAttribute('aria-disabled')) return;
  button.setAttribute('aria-disabled', 'true');
  try {
    const { address, sign } = await connectWallet();
    const answer = await api.post('/api/users/login', await proof(address, sign), { token: null });
    show($('notice'), false);
    session.begin({ user_id: answer.user_id, token: answer.session_token, wallet: address, username: answer.username });
    $('tab-buy').focus();
  } catch (error) {
    connectFailed(error.code === 4001 ? 'The wallet was asked and said no.' : error.message);
  } finally {
    button.removeAttribute('aria-disabled');
  }
}

// proof is what a login takes: the address, and where the exchange asks for it the
// wallet's signature of a message made for this one login.
async function proof(address, sign) {
  if (!terms.get()?.signed) return { wallet_address: address };
  const { nonce, message } = await api.post('/api/auth/nonce', { wallet_address: address }, { token: null });
  return { wallet_address: address, nonce, signature: await sign(message) };
}

function connectFailed(message) {
  $('connect-error').textContent = message;
  show($('connect-error'), true);
}

async function logout() {
  try {
    await api.post('/api/users/logout');
  } catch (error) {
    if (error.status !== 401) {
      notice(`You are still logged in: ${error.message.toLowerCase()}. Try again.`);
      return;
    }
  }
  session.end();
  $('connect').focus();
}

// showSession shows the page of the session, or the page without one.
function showSession(now, reason = '') {
  unfollow();
  unfollow = () => {};
  const logged = Boolean(now);
  $('desk').dataset.session = logged ? 'open' : 'none';
  for (const id of ['wallet-view', 'trade-view', 'history-view', 'account-open', 'logout']) show($(id), logged);
  show($('connect-view'), !logged);
  show($('connection'), false);
  document.querySelectorAll('dialog[open]').forEach((dialog) => dialog.close());
  if (!logged) {
    payment.close();
    trade.clear();
    history.clear();
    showBalance(null);
    if (reason) notice(reason);
    if (reason) $('connect').focus({ preventScroll: true });
    return;
  }
  setText($('wallet-address'), shorten(now.wallet));
  $('wallet-address').title = now.wallet;
  setText($('wallet-name'), now.username);
  setText($('account-name'), now.username);
  const address = `aitbc_${now.user_id.replaceAll('-', '')}`;
  setText($('deposit-address'), shorten(address, 14, 8));
  $('deposit-address').title = address;
  showBalance(null);
  history.clear();
  payment.restore();
  unfollow = live.follow({ userID: now.user_id, onEvent: handleEvent, refresh, onState: showConnection });
}

// refresh reads all that is shown of the user. It rejects if any of it failed.
async function refresh() {
  const id = session.get()?.user_id;
  if (!id) return;
  await Promise.all([
    api.get('/api/users/me').then((profile) => { account.setProfile(profile); showProfile(profile); }),
    api.get(`/api/users/${id}/balance`).then(showBalance),
    history.refresh(),
    payment.refresh(),
  ]);
  market.refresh();
}

// handleEvent applies an event of the stream.
function handleEvent(name, data) {
  switch (name) {
    case 'balance':
      showBalance(decode(data));
      break;
    case 'transaction': {
      const transaction = decode(data);
      history.upsert(transaction);
      if (transaction.status === 'completed') market.refresh();
      break;
    }
    case 'payment':
      payment.apply(decode(data));
      break;
    case 'profile': {
      const profile = decode(data);
      account.setProfile(profile);
      showProfile(profile);
      break;
    }
    case 'session':
      session.end(JSON.parse(data).reason === 'expired'
        ? 'Your session has expired. Connect your wallet to go on.'
        : 'Your session was ended elsewhere. Connect your wallet to go on.');
      break;
    case 'reset': // the server no longer knows what this page has missed
      refresh().catch(() => {});
      break;
    default: // an event of a newer server
  }
}

// refreshNow reads everything after a change of the person's own, without waiting for the
// event that the stream sends of it too.
const refreshNow = () => { refresh().catch(() => {}); };

function showProfile(profile) {
  setText($('wallet-name'), profile.username);
  setText($('account-name'), profile.username);
  if (profile.status !== 'active') notice(`This account is ${profile.status}: it can be read, but not changed.`);
}

let newest = ''; // updated_at of the balance shown: an older answer does not replace it

function showBalance(balance) {
  const parts = ['balance-whole', 'balance-available', 'balance-held'];
  for (const id of parts) $(id).classList.toggle('skeleton', !balance);
  if (!balance) {
    newest = '';
    setText($('balance-whole'), '0,000.00');
    setText($('balance-rest'), '');
    setText($('balance-spoken'), '');
    return;
  }
  if (balance.updated_at && balance.updated_at < newest) return;
  newest = balance.updated_at ?? '';
  const [total, available, held] = ['balance', 'available', 'held'].map((name) => fromJSON(balance[name]));
  const text = format(total);
  const point = text.indexOf('.') + 3;
  setText($('balance-whole'), text.slice(0, point));
  setText($('balance-rest'), text.slice(point));
  setText($('balance-available'), format(available));
  setText($('balance-held'), format(held));
  setText($('balance-spoken'), `Balance ${plain(total)} AITBC, ${plain(available)} available, ${plain(held)} held`);
  trade.setAvailable(available);
}

function showConnection(state) {
  const place = $('connection');
  if (!session.get()) return;
  show(place, true);
  place.dataset.state = state;
  setText($('connection-text'), { live: 'Live', reconnecting: 'Reconnecting', polling: 'Polling' }[state]);
  place.title = {
    live: 'What happens is shown at once',
    reconnecting: 'The exchange cannot be reached; what is shown may be old',
    polling: 'There is no live stream right now; the page asks every few seconds',
  }[state];
}

function notice(message) {
  setText($('notice-text'), message);
  show($('notice'), true);
  alarm(message);
}

start();
