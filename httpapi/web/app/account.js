// The account dialog: profile, the sessions that are open, and security.js.

import * as api from './api.js';
import * as security from './security.js';
import { $, h, say, show, time } from './dom.js';
import { encode } from './json.js';
import { Form } from './form.js';

let profile = null;

// start wires the dialog; onChange(profile) is called after a change of name or address.
export function start({ onChange }) {
  const form = new Form($('profile'), {
    read() {
      const username = $('profile-username').value.trim();
      const email = $('profile-email').value.trim();
      const errors = {};
      if (username.length < 3) errors.username = username ? 'At least 3 characters' : '';
      else if (/[^0-9A-Za-z_.-]/.test(username)) errors.username = 'Letters, digits, “-”, “_” and “.” only';
      if (!/^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(email)) errors.email = email ? 'An address such as name@example.com' : '';
      return { members: { username, email }, errors };
    },
    send: ({ username, email }) => {
      const members = {
        username: username === profile.username ? undefined : username,
        email: email === profile.email ? undefined : email,
      };
      if (!members.username && !members.email) return profile;
      return api.request('PATCH', '/api/users/me', { body: encode(members) });
    },
    done: (answer) => {
      fill(answer);
      onChange(answer);
      say('Profile saved');
    },
  });
  $('account-open').addEventListener('click', async () => {
    form.reset();
    if (profile) fill(profile);
    $('account').showModal();
    security.open();
    sessions();
    try {
      fill(await api.get('/api/users/me'));
    } catch (error) {
      form.fail(error.message);
    }
  });
  $('end-others').addEventListener('click', () => end('/api/users/me/sessions', 'The other sessions are ended'));
}

// setProfile sets the profile that was read elsewhere.
export const setProfile = (answer) => { profile = answer; };

function fill(answer) {
  const untouched = !profile || ($('profile-username').value === profile.username && $('profile-email').value === profile.email);
  profile = answer;
  if (untouched || $('profile-username').value === '') {
    $('profile-username').value = profile.username;
    $('profile-email').value = profile.email;
  }
  const fact = (name, ...value) => h('div', {}, h('dt', {}, name), h('dd', {}, ...value));
  $('profile-facts').replaceChildren(
    fact('Wallet', h('span', { class: 'mono break' }, profile.wallet_address)),
    fact('Status', profile.status),
    fact('Member since', time(profile.created_at)));
}

async function sessions() {
  show($('sessions-error'), false);
  try {
    const list = (await api.get('/api/users/me/sessions')).sessions;
    $('sessions').replaceChildren(...list.map((s) => h('li', { class: 'session' },
      h('span', {}, s.current ? h('b', {}, 'This session') : 'Session', h('small', {}, 'since ', time(s.created_at), ', ends ', time(s.expires_at))),
      s.current ? null : h('button', { type: 'button', class: 'ghost', onclick: () => end(`/api/users/me/sessions/${s.id}`, 'The session is ended') }, 'End', h('span', { class: 'sr-only' }, ' this session')))));
    show($('end-others'), list.length > 1);
  } catch (error) {
    failed(error);
  }
}

async function end(path, words) {
  try {
    await api.request('DELETE', path);
    say(words);
    await sessions();
    $('account').querySelector('[data-close]').focus();
  } catch (error) {
    failed(error);
  }
}

function failed(error) {
  $('sessions-error').textContent = error.message;
  show($('sessions-error'), true);
}
