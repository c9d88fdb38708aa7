// Requests to the API. An error is a Problem: what the server's problem document
// says (RFC 9457), or that the server could not be reached.

import { decode, encode } from './json.js';
import * as session from './session.js';

const TIMEOUT = 15_000; // ms for an answer
const RETRIES = [400, 1200, 3000, 6000, 10_000]; // ms between attempts to settle a POST

// Problem has status (0 where no answer came), code, field and a message for a person.
export class Problem extends Error {
  constructor(status, { code = '', field = '', detail = '', factors = [], retry_at: retryAt = '' } = {}) {
    // The server's detail of a field begins with the field's name, which a label says here.
    super(sentence(field && detail.startsWith(`${field}: `) ? detail.slice(field.length + 2) : detail));
    Object.assign(this, { status, code, field, factors, retryAt });
  }

  // outcomeUnknown: the change may have been made or not.
  get outcomeUnknown() {
    return this.status === 0 || this.status === 408 || (this.status >= 500 && this.code !== 'payments_off');
  }
}

const sentence = (text) => text && text[0].toUpperCase() + text.slice(1);

let secondFactor = { ask: async () => false, enrol: () => {} };

// onFactorRequired sets what is called if a request takes a second factor: ask(kinds)
// resolves to whether one was shown, enrol() opens the enrolment.
export const onFactorRequired = (handlers) => { secondFactor = handlers; };

// request sends and returns the decoded answer. token replaces the session's own.
//
// With the session's own, the server may require a second factor: the person is asked for
// it, and the same request is sent again, with the same Idempotency-Key. A token in a
// response replaces the session's. A 401 ends the session, unless the token was rotated.
export async function request(method, path, { token, ...options } = {}) {
  if (token !== undefined) return send(method, path, { token, ...options });
  for (let asked = false; ;) {
    const own = session.get()?.token;
    try {
      const answer = await send(method, path, { token: own, ...options });
      if (answer.session_token) session.rotate(own, answer.session_token);
      return answer;
    } catch (error) {
      if (error.status === 401 && own) {
        if (await session.wasRotated(own)) continue;
        if (own === session.get()?.token) session.end('Your session has ended. Connect your wallet to go on.');
      }
      if (error.code === 'second_factor_enrolment_required') {
        secondFactor.enrol();
        throw new Problem(403, { code: error.code, detail: 'Nothing was done: this takes a second factor, and you have none yet. Set one up under Account, Security, and try again' });
      }
      if (error.code !== 'second_factor_required' || asked) throw error;
      if (!await secondFactor.ask(error.factors)) {
        throw new Problem(403, { code: 'not_confirmed', detail: 'Nothing was done, because you did not show your second factor' });
      }
      asked = true;
    }
  }
}

async function send(method, path, { body, token, key, signal }) {
  const headers = {};
  if (token) headers['X-Session-Token'] = token;
  if (key) headers['Idempotency-Key'] = key;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let response, text;
  try {
    const limit = AbortSignal.timeout(TIMEOUT);
    response = await fetch(path, { method, headers, body, cache: 'no-store', signal: signal ? AbortSignal.any([signal, limit]) : limit });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, { code: 'unreachable', detail: 'The exchange cannot be reached right now' });
  }
  if (response.ok) return decode(text);
  let document = {};
  try {
    document = JSON.parse(text);
  } catch {
    document = { detail: `The exchange answered ${response.status} ${response.statusText}` };
  }
  throw new Problem(response.status, document);
}

export const get = (path, options) => request('GET', path, options);

// post sends members that change no value.
export const post = (path, members = {}, options = {}) => request('POST', path, { ...options, body: encode(members) });

// postOnce sends members that move value. The request has an Idempotency-Key that is kept,
// over a reload too, until the outcome is known: without a response it is sent again with
// the same key, automatically for a while and then whenever the person presses the button
// again, and the server carries it out once.
export async function postOnce(path, members, { waiting = () => {}, ...options } = {}) {
  const body = encode(members);
  const name = `aitbc.attempt ${session.get()?.user_id} ${path} ${body}`;
  const key = sessionStorage.getItem(name) ?? randomKey();
  sessionStorage.setItem(name, key);
  for (let attempt = 0; ; attempt++) {
    try {
      const answer = await request('POST', path, { ...options, body, key });
      sessionStorage.removeItem(name);
      return answer;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (!error.outcomeUnknown) {
        sessionStorage.removeItem(name);
        throw error;
      }
      if (attempt === RETRIES.length) {
        throw new Problem(error.status, { code: 'outcome_unknown', detail: `${error.message}. Whether this went through is not known yet: press the button again to find out, it is never done twice` });
      }
      waiting(error);
      await new Promise((resolve) => { setTimeout(resolve, RETRIES[attempt] * (0.75 + Math.random() / 2)); });
    }
  }
}

// randomKey is a UUID; crypto.randomUUID exists only on https and loopback addresses.
function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
}

// download fetches a file with the session's header, which a link cannot send.
export async function download(path, name) {
  const response = await fetch(path, { headers: { 'X-Session-Token': session.get().token } });
  if (!response.ok) throw new Problem(response.status, await response.json().catch(() => ({ detail: 'The file could not be made' })));
  save(await response.blob(), name);
}

// save puts a file into the person's downloads.
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
