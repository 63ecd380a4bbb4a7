// @ts-check
/** A form that says which variant a user gets of a flag, and why. */

import { problem } from '../action.js';
import { call } from '../api.js';
import { command } from '../command.js';
import { h, replace, setText } from '../dom.js';

export class EvaluateForm {
  #flag;
  #revision = 0;
  /** The context that the answer below the form is for. @type {Record<string, unknown> | null} */
  #asked = null;
  #leaving = new AbortController();
  #key = h('input', { type: 'text', name: 'key', autocomplete: 'off', spellcheck: 'false', placeholder: 'ann' });
  #attributes = h('textarea', { name: 'attributes', rows: 2, spellcheck: 'false', placeholder: 'plan=pro' });
  #command = h('code', {});
  #answer = h('div', { class: 'evaluated', 'aria-live': 'polite' });
  element;

  /** @param {string} flag */
  constructor(flag) {
    this.#flag = flag;
    const form = h('form', { onsubmit: (/** @type {Event} */ event) => this.#submit(event), oninput: () => this.#show() },
      h('label', { class: 'field' }, 'Key of the user', this.#key),
      h('label', { class: 'field' }, 'Attributes, one on a line', this.#attributes),
      h('div', { class: 'command' }, this.#command),
      h('div', { class: 'buttons' }, h('button', { type: 'submit' }, 'Evaluate')));
    this.element = h('section', { class: 'card', 'aria-labelledby': 'flag-evaluate' },
      h('h2', { id: 'flag-evaluate' }, 'What does a user get?'), form, this.#answer);
    this.#show();
  }

  leave() {
    this.#leaving.abort();
  }

  /**
   * What was asked is asked again when the traffic has changed.
   *
   * @param {number} revision
   * @param {boolean} imported rules of an imported file see numbers and lists as well
   */
  refresh(revision, imported) {
    this.#attributes.placeholder = imported ? 'plan=pro, or an object of JSON' : 'plan=pro';
    if (revision === this.#revision) return;
    this.#revision = revision;
    if (this.#asked) void this.#ask(this.#asked);
  }

  #show() {
    /** @type {[string, unknown][]} */
    let pairs = [];
    try {
      pairs = this.#pairs();
    } catch {
      // What is wrong is said when it is asked.
    }
    const attributes = pairs.map(([name, value]) => ({ attribute: `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}` }));
    const key = this.#key.value === '' ? [] : [this.#key.value];
    setText(this.#command, command('flag', 'evaluate', this.#flag, ...key, ...attributes));
  }

  /** @returns {[string, unknown][]} */
  #pairs() {
    const text = this.#attributes.value.trim();
    if (text.startsWith('{')) return Object.entries(JSON.parse(text));
    return text.split('\n').filter((line) => line.trim()).map((line) => {
      const at = line.indexOf('=');
      if (at < 1) throw new Error(`found “${line}”, want NAME=VALUE, such as plan=pro`);
      return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
    });
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    try {
      const context = Object.fromEntries(this.#pairs());
      if (this.#key.value !== '') context.targetingKey = this.#key.value;
      this.#asked = context;
    } catch (error) {
      this.#asked = null;
      replace(this.#answer, problem(error));
      return;
    }
    void this.#ask(this.#asked);
  }

  /** @param {Record<string, unknown>} context */
  async #ask(context) {
    try {
      const body = { context };
      const answer = await call('POST', `v1/flags/${encodeURIComponent(this.#flag)}/evaluate`, { body, signal: this.#leaving.signal });
      if (this.#asked === context) replace(this.#answer, evaluated(answer));
    } catch (error) {
      if (!this.#leaving.signal.aborted && this.#asked === context) replace(this.#answer, problem(error));
    }
  }
}

/** @param {any} answer */
function evaluated(answer) {
  const variant = answer.variant ?? 'no variant: the default of the code';
  const facts = [['value', JSON.stringify(answer.value) ?? '–'], ['reason', answer.reason], ['rule', answer.rule], ['slot', answer.slot],
    ['experiment', answer.experiment], ['revision', answer.revision]];
  return h('div', {}, h('p', { class: 'variant' }, variant), h('p', {}, answer.why),
    h('dl', {}, facts.filter(([, value]) => value !== undefined && value !== null).flatMap(([name, value]) =>
      [h('dt', {}, String(name)), h('dd', {}, h('code', {}, String(value)))])),
    (answer.warnings ?? []).map((/** @type {string} */ text) => h('p', { class: 'warning' }, text)));
}
