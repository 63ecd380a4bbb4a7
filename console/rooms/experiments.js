// @ts-check
/** All experiments: what each compares, and what it has come to so far. */

import { problem } from '../action.js';
import { call } from '../api.js';
import { h, keyed, replace, setText } from '../dom.js';
import { compares, stateBadge } from '../experiment.js';
import { count, percent } from '../format.js';
import { to } from '../rooms.js';

/** Results are asked for as often as this: they are about people, over weeks. */
const EVERY_MS = 5_000;

class Experiments extends HTMLElement {
  /** @type {Record<string, string>} */
  params = {};
  #timer = 0;
  #revision = 0;
  #leaving = new AbortController();
  #list = h('ul', { class: 'plain' });
  #note = h('p', { class: 'empty', role: 'status', hidden: true });
  #trouble = h('div', { role: 'alert' });

  connectedCallback() {
    this.append(h('h1', {}, 'Experiments'), this.#trouble, this.#list, this.#note);
    this.#timer = window.setInterval(() => document.hidden || void this.#read(), EVERY_MS);
    void this.#read();
  }

  disconnectedCallback() {
    clearInterval(this.#timer);
    this.#leaving.abort();
  }

  /** @param {any} state */
  refresh(state) {
    if (state.revision === this.#revision) return;
    const first = this.#revision === 0;
    this.#revision = state.revision;
    if (!first) void this.#read();
  }

  async #read() {
    try {
      const { experiments } = await call('GET', 'v1/experiments', { signal: this.#leaving.signal });
      replace(this.#trouble);
      keyed(this.#list, experiments, (one) => one.name, make, update);
      this.#note.hidden = experiments.length > 0;
      setText(this.#note, 'There are no experiments: the config file has none.');
    } catch (error) {
      if (!this.#leaving.signal.aborted) replace(this.#trouble, problem(error));
    }
  }
}

/** @param {any} one */
function make(one) {
  const name = h('a', { class: 'name', href: to('experiment', one.name) }, one.name);
  return h('li', { class: 'card experiment' }, h('div', { class: 'row' }, name, h('span', {})), h('p', { class: 'dim' }), h('p', { class: 'sentence' }));
}

/**
 * @param {HTMLElement} row
 * @param {any} one
 */
function update(row, one) {
  const place = row.querySelector('.row > span');
  const facts = row.querySelector('p.dim');
  const sentence = row.querySelector('p.sentence');
  if (!place || !facts || !sentence) return;
  const key = JSON.stringify([one.state, one.since, one.share, one.users, one.control, one.treatment]);
  if (row.dataset.state !== key) {
    row.dataset.state = key;
    replace(place, stateBadge(one));
    const users = typeof one.users === 'number' ? `, ${count(one.users)} users so far` : '';
    replace(facts, compares(one), `, for ${percent(one.share)} of the users${one.segment ? ' of its segment' : ''}${users}`);
  }
  setText(sentence, one.sentence ?? 'Nothing was counted yet.');
}

customElements.define('pm-experiments', Experiments);
