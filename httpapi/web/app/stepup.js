// The dialog that asks for a second factor, when a request has been refused for want of
// one (api.js).

import * as api from './api.js';
import * as passkey from './passkey.js';
import { $, alarm, h, show } from './dom.js';
import { Form } from './form.js';

// The ways, in the order in which they are offered.
const WAYS = {
  passkey: { offer: 'Use a passkey', words: 'Your device asks for your fingerprint, face or screen lock.' },
  totp: { offer: 'Use the authenticator app', words: 'Type the six digits that your authenticator app shows now.', member: 'code', label: 'Code of the app', inputmode: 'numeric', maxlength: 16, wrong: 'Wrong code. Check that it is the code of this account, or wait for the next one: each code works once' },
  recovery_code: { offer: 'Use a recovery code', words: 'Type one of the codes that you kept. It is good once.', member: 'recovery_code', label: 'Recovery code', inputmode: 'text', maxlength: 64, wrong: 'Wrong recovery code, or one that has been used' },
};

let asking = null; // the promise of the dialog that is open
let settle = () => {};
let way;
let kinds;
let form;

export function start() {
  const input = $('stepup-code');
  form = new Form($('stepup-form'), {
    read() {
      const code = input.value.trim();
      const errors = {};
      if (code === '') errors.code = '';
      else if (way === 'totp' && !/^\d{6}$/.test(code.replaceAll(' ', ''))) errors.code = 'Six digits';
      return { members: { code }, errors };
    },
    send: ({ code }) => shown({ [WAYS[way].member]: code }),
    done: () => end(true),
  });
  $('stepup-passkey').addEventListener('click', byPasskey);
  $('stepup').addEventListener('close', () => { if (!$('stepup').open) end(false); }); // the event comes later than the closing
}

// ask opens the dialog and resolves to whether a factor of these kinds was shown. Who
// asks while it is open gets the same answer.
export function ask(names) {
  asking ??= new Promise((resolve) => {
    settle = resolve;
    kinds = Object.keys(WAYS).filter((name) => names.includes(name) && (name !== 'passkey' || passkey.supported()));
    const elsewhere = names.includes('passkey') && !passkey.supported();
    $('stepup-note').textContent = elsewhere ? 'Your passkey cannot be used at this address: it is bound to a name, such as localhost.' : '';
    show($('stepup-note'), elsewhere);
    choose(kinds[0]);
    $('stepup').showModal();
    focus();
  });
  return asking;
}

function end(held) {
  const resolve = settle;
  asking = null;
  settle = () => {};
  $('stepup').close();
  form.reset();
  resolve(held);
}

function choose(name) {
  way = name;
  const { words, label, inputmode, maxlength } = WAYS[way] ?? { words: '' };
  $('stepup-words').textContent = words;
  $('stepup-error').hidden = true;
  show($('stepup-passkey'), way === 'passkey');
  show($('stepup-form'), Boolean(label));
  form.reset();
  form.fail('');
  if (label) {
    $('stepup-label').textContent = label;
    for (const [key, value] of Object.entries({ inputmode, maxlength, autocomplete: way === 'totp' ? 'one-time-code' : 'off' })) $('stepup-code').setAttribute(key, value);
  }
  $('stepup-others').replaceChildren(...kinds.filter((other) => other !== way).map((other) => h('button', {
    type: 'button', class: 'link', 'data-way': other, onclick: () => { choose(other); focus(); },
  }, WAYS[other].offer)));
}

const focus = () => $(way === 'passkey' ? 'stepup-passkey' : 'stepup-code').focus();

// shown sends a factor. What is wrong with it is said at the field.
async function shown(members) {
  try {
    return await api.post('/api/auth/step-up', members);
  } catch (error) {
    if (error.code === 'second_factor_refused') throw new api.Problem(403, { code: error.code, field: 'code', detail: WAYS[way].wrong ?? error.message });
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
    await shown({ passkey: await passkey.get(await api.post('/api/auth/step-up/options')) });
    end(true);
  } catch (error) {
    $('stepup-error').textContent = error.message;
    show($('stepup-error'), true);
    alarm(error.message);
  } finally {
    button.removeAttribute('aria-disabled');
  }
}
