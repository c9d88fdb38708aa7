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

// get returns {user_id, token, wallet, demo}, or null.
export const get = () => current;

// begin keeps a session. end forgets it; reason, if any, is shown to the person.
export function begin(session) {
  current = session;
  sessionStorage.setItem(NAME, JSON.stringify(session));
  tell();
}

export function end(reason = '') {
  if (!current) return;
  current = null;
  sessionStorage.removeItem(NAME);
  tell(reason);
}

// watch calls listener(session or null, reason) at every change.
export const watch = (listener) => { listeners.add(listener); };

const tell = (reason = '') => listeners.forEach((listener) => listener(current, reason));
