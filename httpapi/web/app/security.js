// The account dialog's Security section: lists, enrols, replaces and removes second factors.
// Responses rotate the session's token (api.js).

import * as api from './api.js';
import * as passkey from './passkey.js';
import * as session from './session.js';
import * as terms from './terms.js';
import { $, alarm, copyButton, h, say, show, time } from './dom.js';
import { Form } from './form.js';

const FACTORS = '/api/users/me/factors';

let codes = null; // new recovery codes, until the person confirms to have kept them
let forms;

export function start() {
  forms = { app: appForm(), passkey: passkeyForm() };
  $('codes-kept').addEventListener('change', () => { $('codes-done').disabled = !$('codes-kept').checked; });
  $('codes-done').addEventListener('click', () => { codes = null; $('codes').close(); });
  $('codes').addEventListener('close', () => {
    if (!$('codes').open) $('codes-list').replaceChildren(); // the event comes later than the closing
    load();
  });
  $('codes-copy').replaceChildren(copyButton('Copy recovery codes', text));
  $('codes-file').addEventListener('click', () => {
    api.save(new Blob([`Recovery codes of ${session.get().username} at ${location.host}\nEach is good once.\n\n${text()}\n`], { type: 'text/plain' }), 'aitbc-recovery-codes.txt');
    say('The file is in your downloads');
  });
  $('account').addEventListener('close', close);
  session.watch(() => { codes = null; });
}

const text = () => codes.join('\n');

// open shows the section as it is now.
export async function open() {
  close();
  await load();
}

// openForEnrolment opens the section for a user who has no second factor yet.
export function openForEnrolment() {
  $('account-open').click();
  const title = $('security-title');
  title.scrollIntoView({ block: 'start', behavior: 'instant' });
  title.focus({ preventScroll: true });
}

function close() {
  for (const id of ['app-form', 'passkey-form', 'security-error']) show($(id), false);
  $('app-qr').removeAttribute('src');
  $('app-secret').textContent = '';
}

async function load() {
  if (!session.get()) return;
  try {
    draw(await api.get(FACTORS));
  } catch (error) {
    failed(error);
  }
}

function draw(f) {
  const any = f.totp || f.passkeys.length > 0;
  show($('security-none'), !any);
  $('security-none').textContent = f.required
    ? 'You have no second factor yet. This exchange wants one before anything leaves your account.'
    : 'You have no second factor yet: whoever gets at your wallet or this session can take what is in the account.';
  const list = [line('Authenticator app', f.totp ? 'On' : 'An app on your phone shows a new six-digit code every 30 seconds.',
    f.totp ? [button('Replace', 'the authenticator app', enrolApp), button('Remove', 'the authenticator app', () => remove('/totp', 'The authenticator app is removed'), true)]
      : [button('Set up', 'an authenticator app', enrolApp)], f.totp)];
  const here = passkey.supported() && f.passkey_origins.includes(location.origin);
  list.push(line('Passkeys', 'Your fingerprint, face or screen lock, or a security key. No false page can ask for it.',
    here ? [button('Add', 'a passkey', namePasskey)] : []));
  if (!here) list.push(h('li', { class: 'factor-note', id: 'passkey-elsewhere' }, ...elsewhere(f.passkey_origins)));
  for (const p of f.passkeys) {
    list.push(h('li', { class: 'session passkey', 'data-id': p.id },
      h('span', { class: 'break' }, h('b', {}, p.name), h('small', {}, 'added ', time(p.created_at), ', ', ...(p.last_used_at ? ['last used ', time(p.last_used_at)] : ['not used yet']))),
      button('Remove', `the passkey ${p.name}`, () => remove(`/passkeys/${p.id}`, 'The passkey is removed'), true)));
  }
  if (any) {
    list.push(line('Recovery codes', codes ? 'You have not said yet that you kept the new ones.' : `${f.recovery_codes_left} left. For the day when the phone or the passkey is lost.`,
      codes ? [button('Show', 'the new recovery codes', showCodes)] : [button('New codes', 'in place of the old recovery codes', newCodes)]));
  }
  $('factors').replaceChildren(...list);
}

function line(name, words, buttons, on = false) {
  return h('li', { class: 'session' },
    h('span', { class: 'factor-name' }, h('b', {}, name), on ? h('span', { class: 'status active' }, words) : h('small', {}, words)),
    h('span', { class: 'factor-buttons' }, ...buttons));
}

const button = (words, rest, act, danger) => h('button', { type: 'button', class: danger ? 'ghost danger' : 'ghost', onclick: act }, words, h('span', { class: 'sr-only' }, ` ${rest}`));

// elsewhere says where passkeys work, if not here.
function elsewhere(origins) {
  if (origins.length === 0) return ['This exchange has no passkeys.'];
  if (!window.PublicKeyCredential && origins.includes(location.origin)) return ['This browser has no passkeys.'];
  return ['Passkeys are bound to a name, not to an address such as this one. To use one, open ', h('a', { href: origins[0] }, origins[0]), ' and connect your wallet there',
    terms.get()?.demo ? ' (the demo makes another wallet there).' : '.'];
}

// enrolApp draws a secret and shows it.
async function enrolApp() {
  close();
  try {
    const { secret, uri, qr_code: image } = await api.post(`${FACTORS}/totp`);
    $('app-qr').src = image;
    $('app-secret').textContent = secret.replace(/.{4}(?=.)/g, '$& ');
    $('app-copy').replaceChildren(copyButton('Copy secret', () => secret));
    $('app-link').href = uri;
    unfold(forms.app, $('app-form'), $('app-code'));
  } catch (error) {
    failed(error);
  }
}

function unfold(form, element, input) {
  form.reset();
  form.fail('');
  show(element, true);
  element.scrollIntoView({ block: 'nearest' });
  input.focus();
}

function appForm() {
  $('app-cancel').addEventListener('click', cancel);
  return new Form($('app-form'), {
    read() {
      const code = $('app-code').value.replaceAll(' ', '');
      return { members: { code }, errors: /^\d{6}$/.test(code) ? {} : { code: code && 'The six digits that the app shows' } };
    },
    send: (members) => api.post(`${FACTORS}/totp/confirm`, members).catch((error) => {
      if (error.code !== 'second_factor_refused') throw error;
      throw new api.Problem(403, { code: error.code, field: 'code', detail: 'Wrong code. Enter the newest one, and check that your phone\'s clock is right' });
    }),
    done: (answer) => enrolled(answer, 'The authenticator app is set up'),
  });
}

function namePasskey() {
  close();
  unfold(forms.passkey, $('passkey-form'), $('passkey-name'));
}

function passkeyForm() {
  $('passkey-cancel').addEventListener('click', cancel);
  return new Form($('passkey-form'), {
    read() {
      const name = $('passkey-name').value.trim();
      return { members: { name }, errors: name ? {} : { name: '' } };
    },
    send: async ({ name }) => {
      const options = await api.post(`${FACTORS}/passkeys/options`);
      const credential = await passkey.create(options).catch((error) => { throw new api.Problem(400, { code: 'passkey', detail: error.message }); });
      return api.post(`${FACTORS}/passkeys`, { name, credential });
    },
    done: (answer) => enrolled(answer, 'The passkey is added'),
  });
}

function cancel() {
  close();
  $('security-title').focus();
}

async function enrolled(answer, words) {
  close();
  say(words);
  $('security-title').focus();
  if (answer.recovery_codes) {
    codes = answer.recovery_codes;
    showCodes();
  }
  await load();
}

async function newCodes() {
  close();
  try {
    codes = (await api.post(`${FACTORS}/recovery-codes`)).recovery_codes;
    showCodes();
  } catch (error) {
    failed(error);
  }
}

function showCodes() {
  $('codes-list').replaceChildren(...codes.map((code) => h('li', { class: 'mono' }, code)));
  $('codes-kept').checked = false;
  $('codes-done').disabled = true;
  $('codes').showModal();
}

async function remove(path, words) {
  close();
  try {
    await api.request('DELETE', FACTORS + path);
    say(words);
    await load();
    $('security-title').focus();
  } catch (error) {
    failed(error);
  }
}

function failed(error) {
  if (error.status === 401) return;
  $('security-error').textContent = error.message;
  show($('security-error'), true);
  alarm(error.message);
}
