// A form: validates while one types, sends once at a time, and shows a server's refusal at
// the field that it names.

import { alarm, h, show } from './dom.js';
import { Problem } from './api.js';

export class Form {
  // read() returns {members, errors}: the members to send, and an error by field ('' where
  // the field is only empty). send(members, waiting) sends them; done(answer) is called after.
  constructor(form, { read, send, done }) {
    Object.assign(this, { form, read, send, done });
    this.button = form.querySelector('[type=submit]');
    this.general = form.querySelector('.form-error');
    this.validateAll = false;
    this.touched = new Set();
    this.refused = new Map(); // field: {message, value} of the server's last refusal
    for (const [, , place] of this.fields()) place.setAttribute('aria-live', 'polite');
    form.addEventListener('input', (event) => {
      this.touch(event.target);
      this.validate();
    });
    form.addEventListener('focusout', () => this.validate());
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.submit();
    });
  }

  touch(input) {
    const field = input.closest('[data-field]')?.dataset.field;
    if (field) this.touched.add(field);
    this.refused.delete(field);
    this.fail('');
  }

  // fields yields [name, input, place of the error].
  * fields() {
    for (const box of this.form.querySelectorAll('[data-field]')) {
      yield [box.dataset.field, box.querySelector('input, textarea'), box.querySelector('.error')];
    }
  }

  // validate shows what is wrong with the fields that were touched; all includes the
  // others, and empty ones. It returns what to send, or null.
  validate(all = this.validateAll) {
    this.validateAll = all; // after the first attempt to send, every field is validated
    const { members, errors = {} } = this.read();
    let wrong = null;
    for (const [name, input, place] of this.fields()) {
      let message = this.refused.get(name) ?? '';
      if (!message && name in errors) {
        if (errors[name]) message = this.touched.has(name) || all ? errors[name] : '';
        else if (all) message = 'Fill this in';
      }
      if (place.textContent !== message) place.textContent = message;
      if (message) {
        input.setAttribute('aria-invalid', 'true');
        wrong ??= input;
      } else {
        input.removeAttribute('aria-invalid');
      }
    }
    this.wrong = wrong;
    return Object.keys(errors).length === 0 && this.refused.size === 0 ? members : null;
  }

  fail(message) {
    this.general.textContent = message;
    show(this.general, message !== '');
    if (message) alarm(message);
  }

  async submit() {
    if (this.busy) return;
    this.refused.clear();
    this.fail('');
    const members = this.validate(true);
    if (!members) {
      this.wrong?.focus();
      if (this.wrong) alarm(this.wrong.closest('[data-field]').querySelector('.error').textContent);
      return;
    }
    this.setBusy(true);
    try {
      const answer = await this.send(members, (problem) => {
        this.general.textContent = `${problem.message}. Trying again…`;
        show(this.general, true);
      });
      this.fail('');
      this.reset();
      this.setBusy(false);
      this.done(answer);
    } catch (error) {
      this.setBusy(false);
      this.refuse(error);
    }
  }

  // refuse shows an error where it belongs.
  refuse(error) {
    if (!(error instanceof Problem)) throw error;
    for (const [name, input] of this.fields()) {
      if (name !== error.field) continue;
      this.refused.set(name, error.message);
      this.validate();
      input.focus();
      alarm(error.message);
      return;
    }
    if (error.status !== 401) this.fail(error.message);
  }

  setBusy(busy) {
    this.busy = busy;
    if (busy) {
      this.button.setAttribute('aria-disabled', 'true');
      this.words = [...this.button.childNodes];
      this.button.replaceChildren(h('span', { class: 'spinner', 'aria-hidden': 'true' }), h('span', {}, 'One moment…'));
    } else {
      this.button.removeAttribute('aria-disabled');
      this.button.replaceChildren(...this.words);
    }
  }

  reset() {
    this.form.reset();
    this.touched.clear();
    this.refused.clear();
    this.validate(false);
  }
}
