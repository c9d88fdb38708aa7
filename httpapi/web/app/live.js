// News of the logged-in user. It comes as server-sent events over fetch, because
// EventSource cannot send the session's header; a broken stream is opened again
// with Last-Event-ID after a growing, random pause. While the stream cannot be had
// the page asks every few seconds instead. Each opening reads everything anew, so
// what a restarted server says replaces what the page believed.

import * as session from './session.js';

const FIRST_PAUSE = 500; // ms; doubles at every failure
const LONGEST_PAUSE = 20_000;
const FAILURES = 2; // before it asks instead
const ASK_EVERY = 4000; // ms
const SILENCE = 50_000; // ms without a byte: the connection is dead (the server's heartbeat is faster)

// follow begins. on(name, data) gets the text of each event's data; refresh() reads all
// there is and rejects where that fails; state(word) gets 'live', 'reconnecting' or
// 'polling'. It returns a function that ends it.
export function follow({ userID, on, refresh, state }) {
  const end = new AbortController();
  const { signal } = end;
  let lastID = '';
  let failures = 0;
  let wake = () => {};

  const pause = (ms) => new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    wake = () => { clearTimeout(timer); resolve(); };
  });
  const hurry = () => { if (document.visibilityState === 'visible') wake(); };
  addEventListener('online', hurry, { signal });
  document.addEventListener('visibilitychange', hurry, { signal });

  async function stream(token) {
    let dead = false; // the token
    const attempt = new AbortController();
    const stop = () => attempt.abort();
    signal.addEventListener('abort', stop, { once: true });
    let watchdog = setTimeout(stop, SILENCE);
    try {
      const headers = { Accept: 'text/event-stream', 'X-Session-Token': token };
      if (lastID) headers['Last-Event-ID'] = lastID;
      const response = await fetch(`/api/users/${userID}/events`, { headers, cache: 'no-store', signal: attempt.signal });
      if (response.status === 401) {
        dead = true;
        return;
      }
      if (!response.ok || !response.headers.get('Content-Type')?.startsWith('text/event-stream')) throw new Error(`status ${response.status}`);
      // What happened before the stream was open is read now; what happens during
      // the reading comes after it, on the stream.
      await refresh();
      failures = 0;
      if (!signal.aborted) state('live');
      const parser = new EventParser((event) => {
        if (event.id) lastID = event.id;
        if (event.name === 'session' && JSON.parse(event.data).reason === 'rotated') dead = true;
        else if (!signal.aborted) on(event.name, event.data);
      });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(watchdog);
        watchdog = setTimeout(stop, SILENCE);
        parser.push(value);
      }
    } finally {
      clearTimeout(watchdog);
      signal.removeEventListener('abort', stop);
      attempt.abort();
      if (dead && !await session.goesOn(token) && !signal.aborted) session.end('Your session has ended. Connect your wallet to go on.');
    }
  }

  async function ask(until) {
    while (!signal.aborted && Date.now() < until) {
      const answered = await refresh().then(() => true, () => false);
      if (signal.aborted) return;
      state(answered ? 'polling' : 'reconnecting');
      await pause(Math.min(ASK_EVERY, Math.max(0, until - Date.now())));
    }
  }

  (async () => {
    while (!signal.aborted) {
      const { token } = session.get();
      await stream(token).catch(() => {});
      if (signal.aborted) return;
      if (session.get().token !== token) continue; // the session goes on under another one
      failures++;
      const wait = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
      if (failures <= FAILURES) {
        state('reconnecting');
        await pause(wait);
      } else {
        await ask(Date.now() + wait);
      }
    }
  })();
  return () => { end.abort(); wake(); };
}

// EventParser reads the event stream format of the HTML standard, section 9.2.6.
export class EventParser {
  #emit;
  #rest = '';
  #name = '';
  #id = '';
  #data = [];

  constructor(emit) { this.#emit = emit; }

  push(chunk) {
    const lines = (this.#rest + chunk).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    lines.forEach((line) => this.#line(line));
  }

  #line(line) {
    if (line === '') {
      if (this.#data.length > 0) this.#emit({ name: this.#name || 'message', id: this.#id, data: this.#data.join('\n') });
      this.#name = '';
      this.#data = [];
      return;
    }
    const [, field, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
    if (field === 'event') this.#name = value ?? '';
    else if (field === 'data') this.#data.push(value ?? '');
    else if (field === 'id' && !value?.includes('\0')) this.#id = value ?? '';
  }
}
