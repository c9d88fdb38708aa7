// Who is logged in. The token is kept in sessionStorage: it survives a reload, ends
// with the tab, and is sent only where this code puts it, so no other site can make
// the browser send it (an HttpOnly cookie would need protection against that, and
// would tie two tabs together). What could steal it is foreign script in the page,
// and the Content-Security-Policy lets none run.

const NAME = 'aitbc.session';

let current = null;
try {
  current = JSON.parse(sessionStorage.getItem(NAME));
} catch {
  sessionStorage.removeItem(NAME);
}

const listeners = new Set();

// get returns {user_id, token, wallet, username}, or null.
export const get = () => current;

// begin stores a session. end removes it; reason, if any, is shown to the person.
export function begin(session) {
  current = session;
  replaced.clear();
  sessionStorage.setItem(NAME, JSON.stringify(session));
  notify();
}

export function end(reason = '') {
  if (!current) return;
  current = null;
  replaced.clear();
  sessionStorage.removeItem(NAME);
  notify(reason);
}

// watch calls listener(session or null, reason) at every change.
export const watch = (listener) => { listeners.add(listener); };

const notify = (reason = '') => listeners.forEach((listener) => listener(current, reason));

// A step-up rotates the token: the old one is invalid at once.
// A tab that was duplicated has the same session as the one it came from, so tabs
// send each other new tokens.

const ROTATION_DELAY = 2000; // ms in which another tab sends the new token after the old one was refused

const replaced = new Set(); // tokens that this page's session had before
const tabs = new BroadcastChannel(NAME);

tabs.onmessage = ({ data: { from, to, wanted } }) => {
  if (to) replace(from, to);
  else if (current && replaced.has(wanted)) tabs.postMessage({ from: wanted, to: current.token });
};

// rotate replaces the session's token, in every tab.
export function rotate(from, to) {
  replace(from, to);
  tabs.postMessage({ from, to });
}

function replace(from, to) {
  if (current?.token !== from || from === to) return;
  replaced.add(from);
  current = { ...current, token: to };
  sessionStorage.setItem(NAME, JSON.stringify(current));
}

// wasRotated reports whether the session has another token now than the one that was refused.
export async function wasRotated(token) {
  if (current?.token === token) tabs.postMessage({ wanted: token });
  for (const end = Date.now() + ROTATION_DELAY; current?.token === token && Date.now() < end;) {
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
  return Boolean(current) && replaced.has(token);
}
