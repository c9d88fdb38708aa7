// Making and changing elements. Nothing here takes markup: text is set as text, so
// no name, note or address can become HTML.

const SVG = 'http://www.w3.org/2000/svg';

// h makes an element: h('button', {class: 'ghost', onclick: f}, 'Copy', icon('copy')).
// A false, null or undefined attribute or child is left out.
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value === 'boolean') element[name] = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== false && child !== null && child !== undefined));
  return element;
}

export const $ = (id) => document.getElementById(id);

export const show = (element, visible) => { element.hidden = !visible; };

// setText changes only what differs, so that a live region speaks only of changes.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// icon is a picture from the sprite in the page, hidden from screen readers: the
// words beside it, or the label around it, say the same.
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

// copyButton copies what text() returns, and says so.
export function copyButton(label, text) {
  const button = h('button', { type: 'button', class: 'icon-button', 'aria-label': label, title: label }, icon('copy'));
  button.addEventListener('click', async () => {
    const done = await copy(text());
    say(done ? `${label.replace(/^Copy /, '').replace(/^./, (c) => c.toUpperCase())} copied` : 'Your browser did not allow copying; select the text instead');
    if (!done) return;
    button.replaceChildren(icon('check'));
    setTimeout(() => button.replaceChildren(icon('copy')), 1500);
  });
  return button;
}

// copy works on plain http addresses too, where navigator.clipboard is missing.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h('textarea', { readonly: true, class: 'sr-only' });
    area.value = text;
    ([...document.querySelectorAll('dialog[open]')].at(-1) ?? document.body).append(area); // the one on top is the last
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

let quiet;

// say shows a short message at the edge of the page, and has it read out.
export function say(message) {
  const toast = $('toast');
  toast.textContent = message;
  toast.classList.add('shown');
  clearTimeout(quiet);
  quiet = setTimeout(() => toast.classList.remove('shown'), 4000);
}

// alarm has an error read out at once; what shows it is up to the caller.
export function alarm(message) {
  const region = $('alarm');
  region.textContent = '';
  requestAnimationFrame(() => { region.textContent = message; });
}

const shortDay = new Intl.DateTimeFormat(undefined, { month: 'short', day: '2-digit' });
const shortTime = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
const longTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'long', timeStyle: 'long' });

// time is a moment in the reader's own zone; its title has all of it.
export function time(iso) {
  const at = new Date(iso);
  return h('time', { datetime: iso, title: longTime.format(at) }, `${shortDay.format(at)} ${shortTime.format(at)}`);
}

export const shorten = (address, start = 10, end = 6) =>
  (address.length > start + end + 1 ? `${address.slice(0, start)}…${address.slice(-end)}` : address);
