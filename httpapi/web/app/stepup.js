// The dialog that asks for a second factor after a request was refused without one (api.js).

import * as api from './api.js';
import * as passkey from './passkey.js';
import { $, alarm, h, show } from './dom.js';
import { Form } from './form.js';

// The methods, in the order in which they are offered.
const METHODS = {
  passkey: { offer: 'Use a passkey', words: 'Your device asks for your fingerprint, face or screen lock.' },
  totp: { offer: 'Use the authenticator app', words: 'Type the six digits that your authenticator app shows now.', member: 'code', label: 'Code of the app', inputmode: 'numeric', maxlength: 16, wrong: 'Wrong code. Check that it is the code of this account, or wait for the next one: each code works once' },
  recovery_code: { offer: 'Use a recovery code', words: 'Type one of the codes that you kept. It is good once.', member: 'recovery_code', label: 'Recovery code', inputmode: 'text', maxlength: 64, wrong: 'Wrong recovery code, or one that has been used' },
};

let open = null; // the promise of the dialog that is open
let settle = () => {};
let method;
let kinds;
let form;

export function start() {
  const input = $('stepup-code');
  form = new Form($('stepup-form'), {
    read() {
      const code = input.value.trim();
      const errors = {};
      if (code === '') errors.code = '';
      else if (method === 'totp' && !/^\d{6}$/.test(code.replaceAll(' ', ''))) errors.code = 'Six digits';
      return { members: { code }, errors };
    },
    send: ({ code }) => sendFactor({ [METHODS[method].member]: code }),
    done: () => end(true),
  });
  $('stepup-passkey').addEventListener('click', byPasskey);
  $('stepup').addEventListener('close', () => { if (!$('stepup').open) end(false); }); // the event comes later than the closing
}

// ask opens the dialog and resolves to whether a factor of these kinds was accepted. A call
// while the dialog is open gets the same result.
export function ask(names) {
  open ??= new Promise((resolve) => {
    settle = resolve;
    kinds = Object.keys(METHODS).filter((name) => names.includes(name) && (name !== 'passkey' || passkey.supported()));
    const elsewhere = names.includes('passkey') && !passkey.supported();
    $('stepup-note').textContent = elsewhere ? 'Your passkey cannot be used at this address: it is bound to a name, such as localhost.' : '';
    show($('stepup-note'), elsewhere);
    choose(kinds[0]);
    $('stepup').showModal();
    focus();
  });
  return open;
}

function end(held) {
  const resolve = settle;
  open = null;
  settle = () => {};
  $('stepup').close();
  form.reset();
  resolve(held);
}

function choose(name) {
  method = name;
  const { words, label, inputmode, maxlength } = METHODS[method] ?? { words: '' };
  $('stepup-words').textContent = words;
  $('stepup-error').hidden = true;
  show($('stepup-passkey'), method === 'passkey');
  show($('stepup-form'), Boolean(label));
  form.reset();
  form.fail('');
  if (label) {
    $('stepup-label').textContent = label;
    for (const [key, value] of Object.entries({ inputmode, maxlength, autocomplete: method === 'totp' ? 'one-time-code' : 'off' })) $('stepup-code').setAttribute(key, value);
  }
  $('stepup-others').replaceChildren(...kinds.filter((other) => other !== method).map((other) => h('button', {
    type: 'button', class: 'link', 'data-way': other, onclick: () => { choose(other); focus(); },
  }, METHODS[other].offer)));
}

const focus = () => $(method === 'passkey' ? 'stepup-passkey' : 'stepup-code').focus();

// sendFactor sends a factor. An error is shown at the field.
async function sendFactor(members) {
  try {
    return await api.post('/api/auth/step-up', members);
  } catch (error) {
    if (error.code === 'second_factor_refused') throw new api.Problem(403, { code: error.code, field: 'code', detail: METHODS[method].wrong ?? error.message });
    if (error.field) error.field = 'code';
    throw error;
  }
}

async function byPasskey() {
  const button = $('stepup-passkey');
  if (button.getAttribute('aria-disabled')) return;
  button.setAttribute('aria-disabled', 'true');
  show($('stepup-error'), false);
  try {
    await sendFactor({ passkey: await passkey.get(await api.post('/api/auth/step-up/options')) });
    end(true);
  } catch (error) {
    $('stepup-error').textContent = error.message;
    show($('stepup-error'), true);
    alarm(error.message);
  } finally {
    button.removeAttribute('aria-disabled');
  }
}
