// Events of the logged-in user: server-sent events over fetch, because EventSource cannot
// send the session's header. A broken stream is opened again with Last-Event-ID after an
// exponential, jittered backoff. While there is no stream the page polls. Each opening reads
// everything again, so that the state of a restarted server replaces the page's.

import * as session from './session.js';

const FIRST_PAUSE = 500; // ms; doubles at every failure
const MAX_PAUSE = 20_000;
const FAILURES_BEFORE_POLLING = 2; // in a row
const POLL_INTERVAL = 4000; // ms
const MAX_SILENCE = 50_000; // ms without a byte: the connection is dead (the server's heartbeat is faster)

// follow opens the stream. onEvent(name, data) gets the text of each event's data; refresh()
// reads everything, and rejects if it cannot; onState(name) gets 'live', 'reconnecting' or
// 'polling'. It returns a function that ends the stream.
export function follow({ userID, onEvent, refresh, onState }) {
  const end = new AbortController();
  const { signal } = end;
  let lastID = '';
  let failures = 0;
  let wake = () => {};

  const pause = (ms) => new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    wake = () => { clearTimeout(timer); resolve(); };
  });
  const retryNow = () => { if (document.visibilityState === 'visible') wake(); };
  addEventListener('online', retryNow, { signal });
  document.addEventListener('visibilitychange', retryNow, { signal });

  async function stream(token) {
    let invalid = false; // the token
    const attempt = new AbortController();
    const stop = () => attempt.abort();
    signal.addEventListener('abort', stop, { once: true });
    let watchdog = setTimeout(stop, MAX_SILENCE);
    try {
      const headers = { Accept: 'text/event-stream', 'X-Session-Token': token };
      if (lastID) headers['Last-Event-ID'] = lastID;
      const response = await fetch(`/api/users/${userID}/events`, { headers, cache: 'no-store', signal: attempt.signal });
      if (response.status === 401) {
        invalid = true;
        return;
      }
      if (!response.ok || !response.headers.get('Content-Type')?.startsWith('text/event-stream')) throw new Error(`status ${response.status}`);
      // Reads what happened before the stream was open; later changes come on the stream.
      await refresh();
      failures = 0;
      if (!signal.aborted) onState('live');
      const parser = new EventParser((event) => {
        if (event.id) lastID = event.id;
        if (event.name === 'session' && JSON.parse(event.data).reason === 'rotated') invalid = true;
        else if (!signal.aborted) onEvent(event.name, event.data);
      });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(watchdog);
        watchdog = setTimeout(stop, MAX_SILENCE);
        parser.push(value);
      }
    } finally {
      clearTimeout(watchdog);
      signal.removeEventListener('abort', stop);
      attempt.abort();
      if (invalid && !await session.wasRotated(token) && !signal.aborted) session.end('Your session has ended. Connect your wallet to go on.');
    }
  }

  async function poll(until) {
    while (!signal.aborted && Date.now() < until) {
      const reached = await refresh().then(() => true, () => false);
      if (signal.aborted) return;
      onState(reached ? 'polling' : 'reconnecting');
      await pause(Math.min(POLL_INTERVAL, Math.max(0, until - Date.now())));
    }
  }

  (async () => {
    while (!signal.aborted) {
      const { token } = session.get();
      await stream(token).catch(() => {});
      if (signal.aborted) return;
      if (session.get().token !== token) continue; // it was rotated
      failures++;
      const wait = Math.min(MAX_PAUSE, FIRST_PAUSE * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
      if (failures <= FAILURES_BEFORE_POLLING) {
        onState('reconnecting');
        await pause(wait);
      } else {
        await poll(Date.now() + wait);
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
