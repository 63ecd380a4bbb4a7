// @ts-check
/** All chaos experiments, and what has become of their runs. */

import { act, problem } from '../action.js';
import { call } from '../api.js';
import { expected, fault, runsOf, stateBadge, stopsWhen, target, words } from '../chaos.js';
import { command } from '../command.js';
import { h, keyed, replace, setText } from '../dom.js';
import { duration, percent, when } from '../format.js';
import { canAct } from '../live.js';
import { to } from '../rooms.js';

/** They are asked for as often as this, and whenever the state of one is another. */
const EVERY_MS = 5_000;

class Chaos extends HTMLElement {
  /** @type {Record<string, string>} */
  params = {};
  #timer = 0;
  #seen = '';
  #leaving = new AbortController();
  #limits = h('p', { class: 'dim' });
  #trouble = h('div', { role: 'alert' });
  #list = h('ul', { class: 'plain' });
  #none = h('p', { class: 'empty', hidden: true }, 'The config file has no chaos experiments.');
  #rows = h('tbody');
  #runs = h('section', { class: 'card', hidden: true }, h('h2', {}, 'Runs'), h('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'Runs' },
    h('table', {}, h('thead', {}, h('tr', {}, ['Run', 'Experiment', 'Service', 'Ending', 'Begun', 'By', 'What was found'].map((name) => h('th', { scope: 'col' }, name)))), this.#rows)));

  connectedCallback() {
    this.append(h('div', { class: 'row heading' }, h('h1', {}, 'Chaos experiments')), this.#limits, this.#trouble,
      h('div', { class: 'stack' }, this.#list, this.#none, this.#runs));
    this.#timer = window.setInterval(() => document.hidden || void this.#read(), EVERY_MS);
  }

  disconnectedCallback() {
    clearInterval(this.#timer);
    this.#leaving.abort();
  }

  /** @param {any} state */
  refresh(state) {
    const seen = JSON.stringify([runsOf(state), canAct()]);
    if (seen === this.#seen) return;
    this.#seen = seen;
    void this.#read();
  }

  async #read() {
    try {
      const page = await call('GET', 'v1/chaos', { signal: this.#leaving.signal });
      replace(this.#trouble);
      this.#show(page);
    } catch (error) {
      if (!this.#leaving.signal.aborted) replace(this.#trouble, problem(error));
    }
  }

  /** @param {any} page */
  #show(page) {
    const { enabled, share_max: share, duration_max: longest, experiments, runs } = page;
    setText(this.#limits, enabled
      ? `A fault may reach ${percent(share)} of a service’s users at the most, for ${longest} at the most. It ends by itself, at the first proof of harm or at its time.`
      : 'Off: the config file does not have “enabled = true” in [chaos].');
    keyed(this.#list, experiments, (one) => one.name, make, (card, one) => update(card, one, enabled));
    this.#none.hidden = experiments.length > 0;
    this.#runs.hidden = runs.length === 0;
    keyed(this.#rows, runs, (run) => String(run.id), () => h('tr', {}), row);
  }
}

/** @param {any} one */
function make(one) {
  return h('li', { class: 'card' }, h('div', { class: 'row' }, h('h2', { class: 'name' }, one.name), h('span', { class: 'end-of-row' })),
    h('p'), h('p', { class: 'dim' }));
}

/**
 * @param {HTMLElement} card
 * @param {any} one
 * @param {boolean} enabled
 */
function update(card, one, enabled) {
  const key = JSON.stringify([one, enabled, canAct()]);
  if (card.dataset.shown === key) return;
  card.dataset.shown = key;
  const [what, terms] = card.querySelectorAll('p');
  const buttons = card.querySelector('.end-of-row');
  if (!what || !terms || !buttons) return;
  const lasts = one.duration ?? duration(one.duration_s);
  replace(what, h('b', {}, fault(one.fault)), ` for ${target(one)}, for ${lasts}`);
  const only = one.only?.length > 0 ? ` · only ${words(one.only)}` : '';
  const stops = stopsWhen(one.stop_when);
  setText(terms, `Expected of them, against as many others: ${expected(one.hypothesis)}${stops ? ` · ends early when ${stops}` : ''}${only}`);
  replace(buttons, enabled && canAct() && h('button', { type: 'button', onclick: () => void start(one) }, 'Start', h('span', { class: 'heard' }, ` ${one.name}`)));
}

/** @param {any} one */
async function start(one) {
  const { name } = one;
  const run = await act({
    title: `Start ${name}: ${fault(one.fault)} for ${target(one)}`,
    does: 'Start',
    method: 'POST',
    path: 'v1/chaos',
    body: (reason) => ({ experiment: name, ...(reason ? { reason } : {}) }),
    command: (reason) => command('chaos', 'start', name, { reason }),
    describe,
    danger: true,
  });
  if (run?.id) location.hash = to('chaos', String(run.id));
}

/**
 * What the dry run of a start says.
 *
 * @param {any} answer
 */
function describe(answer) {
  return h('p', { class: answer.open === false ? 'warning' : '' }, answer.sentence);
}

/**
 * @param {HTMLElement} line
 * @param {any} run
 */
function row(line, run) {
  const key = JSON.stringify(run);
  if (line.dataset.shown === key) return;
  line.dataset.shown = key;
  const cells = [h('a', { href: to('chaos', String(run.id)) }, `Run ${run.id}`), run.name, h('a', { href: to('service', run.service) }, run.service),
    stateBadge(run), when(run.started_at), run.author ?? '', run.sentence ?? ''];
  replace(line, cells.map((cell) => h('td', {}, cell)));
}

customElements.define('pm-chaos', Chaos);
