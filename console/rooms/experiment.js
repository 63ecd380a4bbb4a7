// @ts-check
/** One experiment: what it compares, what it has come to, and how it goes on. */

import { act, problem } from '../action.js';
import { blob, call } from '../api.js';
import { bar, describe } from '../change.js';
import { command } from '../command.js';
import { h, replace, setText } from '../dom.js';
import { chance, compares, significant, stateBadge } from '../experiment.js';
import { count, duration, percent, when } from '../format.js';
import { canAct } from '../live.js';
import { to } from '../rooms.js';
import { metricCards } from './experiment_metric.js';

/** A result is asked for as often as this: it is about people, over weeks. */
const EVERY_MS = 5_000;

class Experiment extends HTMLElement {
  /** @type {Record<string, string>} */
  params = {};
  #timer = 0;
  #revision = 0;
  /** Whether the config file has no such experiment. */
  #missing = true;
  #leaving = new AbortController();
  /** @type {any} */
  #page = null;
  /** What each part shows, so that it is made anew only if that is another. @type {Record<string, string>} */
  #keys = {};
  #badge = h('span', { class: 'row' });
  #buttons = h('span', { class: 'row end-of-row' });
  #facts = h('p', { class: 'dim' });
  #share = h('div', {});
  #trouble = h('div', { role: 'alert' });
  #sentence = h('p', { class: 'verdict' });
  #warnings = h('div', {});
  #users = h('section', { class: 'card', 'aria-label': 'Users by arm' });
  #metrics = h('div', { class: 'stack' });
  #rest = h('div', { class: 'columns' });

  connectedCallback() {
    this.append(h('p', { class: 'crumbs' }, h('a', { href: to('experiments') }, 'Experiments')),
      h('div', { class: 'row heading' }, h('h1', {}, this.params.experiment ?? ''), this.#badge, this.#buttons),
      this.#facts, this.#share, this.#trouble,
      h('div', { class: 'stack' }, this.#sentence, this.#warnings, this.#users, this.#metrics, this.#rest));
    this.#users.hidden = true;
    this.#timer = window.setInterval(() => document.hidden || this.#missing || void this.#read(), EVERY_MS);
  }

  disconnectedCallback() {
    clearInterval(this.#timer);
    this.#leaving.abort();
  }

  /** @param {any} state */
  refresh(state) {
    const name = this.params.experiment ?? '';
    const missing = !Object.hasOwn(state.experiments ?? {}, name);
    if (missing && !this.#page) setText(this.#sentence, `There is no experiment ${name}: the config file has none of this name.`);
    const news = state.revision !== this.#revision || missing !== this.#missing;
    this.#revision = state.revision;
    this.#missing = missing;
    if (news && !missing) void this.#read();
    if (this.#page) this.#part('buttons', `${this.#page.state} ${canAct()} ${this.#page.share}`, () => this.#actions());
  }

  #path(step = '') {
    return `v1/experiments/${encodeURIComponent(this.params.experiment ?? '')}${step}`;
  }

  async #read() {
    try {
      this.#page = await call('GET', this.#path(), { signal: this.#leaving.signal });
      this.#part('trouble', '', () => replace(this.#trouble));
      this.#show();
    } catch (error) {
      if (!this.#leaving.signal.aborted) this.#part('trouble', String(error), () => replace(this.#trouble, problem(error)));
    }
  }

  /**
   * @param {string} name
   * @param {string} key
   * @param {() => void} show
   */
  #part(name, key, show) {
    if (this.#keys[name] === key) return;
    this.#keys[name] = key;
    show();
  }

  #show() {
    const page = this.#page;
    const { result, runs, events } = page;
    this.#part('badge', `${page.state} ${page.since}`, () => replace(this.#badge, stateBadge(page)));
    this.#part('buttons', `${page.state} ${canAct()} ${page.share}`, () => this.#actions());
    const { service, flag, control, treatment, share, segment, layer, since } = page;
    this.#part('facts', JSON.stringify([service, flag, control, treatment, share, segment, layer, since]), () => {
      replace(this.#facts, compares(page), `, for ${percent(page.share)} of the users${page.segment ? ' of its segment' : ''}`,
        page.layer ? `, in the layer ${page.layer}` : null, '. ',
        h('a', { href: `${to('history')}?about=${encodeURIComponent(page.name)}` }, 'History'));
    });
    const tone = !result ? 'dim' : !result.comparable || found(result, 'treatment_worse') ? 'bad' : found(result, 'treatment_better') ? 'good' : '';
    this.#sentence.className = `verdict ${tone}`;
    setText(this.#sentence, result?.sentence ?? 'Nothing was counted yet. It begins when it is started.');
    this.#part('warnings', JSON.stringify([result?.warnings, page.compared_something_else]), () => this.#warn(page));
    this.#users.hidden = !result;
    if (result) {
      const { control: one, treatment: other, sample_ratio: ratio, in_both_arms: both, not_admitted: refused } = result;
      this.#part('users', JSON.stringify([one, other, ratio, both, refused]), () => this.#arms(page));
    }
    this.#part('metrics', JSON.stringify(result?.metrics ?? page.metrics), () =>
      replace(this.#metrics, result ? metricCards(result) : planned(page)));
    this.#part('rest', JSON.stringify([runs, events]), () => this.#others(page));
  }

  #actions() {
    const { state, share, control, treatment } = this.#page;
    if (!canAct()) {
      replace(this.#buttons);
      return replace(this.#share);
    }
    const running = state === 'running';
    const ship = (/** @type {string} */ arm, /** @type {string} */ name) =>
      h('button', { type: 'button', onclick: () => void this.#ship(arm, name) }, `Ship ${name}`);
    const begin = h('button', { type: 'button', class: running ? '' : 'primary', 'aria-expanded': 'false', onclick: () => this.#ask(begin) },
      running ? 'Take in more users' : 'Start');
    const focused = this.#buttons.contains(document.activeElement);
    replace(this.#buttons,
      running && share >= 100 ? null : begin,
      running && h('button', { type: 'button', onclick: () => void this.#stop() }, 'Stop'),
      state !== 'never_started' && [ship('control', control), ship('treatment', treatment)]);
    if (focused) this.#buttons.querySelector('button')?.focus();
  }

  /**
   * Asks for the share, and starts.
   *
   * @param {HTMLElement} button
   */
  #ask(button) {
    const close = () => {
      const focused = this.#share.contains(document.activeElement);
      replace(this.#share);
      button.setAttribute('aria-expanded', 'false');
      if (focused) this.#buttons.querySelector('button')?.focus();
    };
    if (this.#share.childElementCount > 0) return close();
    button.setAttribute('aria-expanded', 'true');
    const { share } = this.#page;
    const limits = { min: 0.001, max: 100, step: 0.001, required: true, inputmode: 'decimal' };
    const field = h('input', { type: 'number', name: 'share', value: String(share), ...limits });
    const form = h('form', { class: 'card row' },
      h('label', { class: 'field' }, 'Per cent of all users, a half in each arm', field),
      h('button', { type: 'submit', class: 'primary' }, 'See what changes'), h('button', { type: 'button', onclick: close }, 'Cancel'));
    form.addEventListener('keydown', (key) => key.key === 'Escape' && close());
    form.addEventListener('submit', async (submitted) => {
      submitted.preventDefault();
      if (await this.#start(Number(field.value))) close();
      void this.#read();
    });
    replace(this.#share, form);
    field.focus();
  }

  /** @param {number} share */
  #start(share) {
    const { name, state } = this.#page;
    return act({
      title: state === 'running' ? `Have ${name} take in ${percent(share)} of the users` : `Start ${name} with ${percent(share)} of the users`,
      does: state === 'running' ? 'Take in' : 'Start',
      method: 'POST',
      path: this.#path('/start'),
      body: (reason) => ({ share, ...(reason ? { reason } : {}) }),
      command: (reason) => command('experiment', 'start', name, { share, reason }),
      describe,
    });
  }

  async #stop() {
    const { name } = this.#page;
    await act({
      title: `Stop ${name}: its users get what all others do`,
      does: 'Stop',
      method: 'POST',
      path: this.#path('/stop'),
      body: (reason) => (reason ? { reason } : {}),
      command: (reason) => command('experiment', 'stop', name, { reason }),
      describe,
    });
    void this.#read();
  }

  /**
   * @param {string} arm
   * @param {string} what the version or variant
   */
  async #ship(arm, what) {
    const { name, state } = this.#page;
    await act({
      title: `Give all users ${what}${state === 'running' ? `, and end ${name}` : ''}`,
      does: 'Ship',
      method: 'POST',
      path: this.#path('/ship'),
      body: (reason) => ({ arm, ...(reason ? { reason } : {}) }),
      command: (reason) => command('experiment', 'ship', name, arm, { reason }),
      describe,
    });
    void this.#read();
  }

  /** @param {any} page */
  #warn(page) {
    // Arms that are not as planned are the sentence above.
    const others = (page.result?.warnings ?? []).filter((/** @type {any} */ warning) => warning.sentence !== page.result.sentence);
    const warnings = others.map((/** @type {any} */ warning) =>
      h('p', { class: `card ${warning.kind === 'sample_ratio' ? 'problem' : 'warning'}`, role: 'alert' }, warning.sentence));
    replace(this.#warnings, warnings,
      page.compared_something_else && h('p', { class: 'card warning' }, 'The run compared something else than the config file says by now.'));
  }

  /** @param {any} page */
  #arms(page) {
    const { control, treatment, sample_ratio: ratio, comparable, in_both_arms: both, not_admitted: refused } = page.result;
    const test = ratio.chi_square;
    const numbers = test ? ` (E ${significant(Math.exp(ratio.ln_evidence))}, chi-square p ${chance(test.p)})` : '';
    const verdict = !comparable ? `not as planned${numbers}` : test ? `as planned${numbers}` : 'nothing to compare yet';
    const words = `${control.name} ${count(control.users)}, ${treatment.name} ${count(treatment.users)}`;
    const part = (/** @type {any} */ arm, /** @type {string} */ role, /** @type {number} */ index) =>
      h('span', {}, h('span', { class: `swatch part-${index}`, 'aria-hidden': 'true' }), `${arm.name} `,
        h('b', { class: 'number' }, count(arm.users)), h('span', { class: 'dim' }, ` ${role}`));
    replace(this.#users, h('h2', {}, 'Users by arm'),
      h('div', { class: 'row arms' }, part(control, 'control', 0), part(treatment, 'treatment', 1)),
      h('span', { class: 'bars wide', role: 'img', 'aria-label': words }, bar([control.users, treatment.users])),
      h('p', { class: comparable ? 'dim' : 'problem' }, `${verdict}`, both > 0 ? `; ${count(both)} seen in both arms, left out` : '',
        refused > 0 ? `; ${count(refused)} exposures of users for whom there was no room (it admits ${count(page.users_max)})` : ''));
  }

  /** @param {any} page */
  #others(page) {
    const told = Object.entries(page.events ?? {}).filter(([, number]) => Number(number) > 0);
    const runs = page.runs.map((/** @type {any} */ run) => h('tr', {},
      h('td', {}, h('a', { href: `${to('history')}?revision=${run.since}` }, `revision ${run.since}`)), h('td', {}, when(run.began_at)),
      h('td', {}, run.ended_at ? `${when(run.ended_at)}, after ${duration((Date.parse(run.ended_at) - Date.parse(run.began_at)) / 1_000)}` : 'it runs'),
      h('td', {}, count(run.users))));
    const heads = ['Begun by', 'At', 'Ended', 'Users'];
    replace(this.#rest,
      runs.length > 0 && h('section', { class: 'card' }, h('h2', {}, 'Runs'), h('div', { class: 'scroll' },
        h('table', {}, h('thead', {}, h('tr', {}, heads.map((head) => h('th', { scope: 'col' }, head)))), h('tbody', {}, runs)))),
      told.length > 0 && h('section', { class: 'card' }, h('h2', {}, 'What users did'), h('ul', { class: 'plain tally' },
        told.map(([what, number]) => h('li', {}, h('b', { class: 'number' }, count(Number(number))), ` ${what.replaceAll('_', ' ')}`)))),
      runs.length > 0 && this.#exports(page));
  }

  /** @param {any} page */
  #exports(page) {
    const status = h('p', { class: 'dim', role: 'status' });
    const button = (/** @type {string} */ format, /** @type {string} */ name) => {
      const element = h('button', { type: 'button' }, `Download ${name}`);
      element.addEventListener('click', async () => {
        element.disabled = true;
        setText(status, 'Reading…');
        try {
          save(await blob(this.#path(`/export?format=${format}`), this.#leaving.signal), `${page.name}.${format}`);
          setText(status, '');
        } catch (error) {
          if (!this.#leaving.signal.aborted) replace(status, problem(error));
        } finally {
          element.disabled = false;
        }
      });
      return element;
    };
    return h('section', { class: 'card' }, h('h2', {}, 'Export'),
      h('p', {}, 'A line for each user of the last run: the arm, since when, and what was measured. Users are told by a hash of their keys.'),
      h('div', { class: 'row' }, button('csv', 'CSV'), button('ndjson', 'NDJSON')), status,
      h('div', { class: 'command' }, h('code', {}, `${command('experiment', 'export', page.name, { format: 'csv' })} > ${page.name}.csv`)));
  }
}

/**
 * What will be measured.
 *
 * @param {any} page
 */
function planned(page) {
  const item = (/** @type {any} */ metric) => {
    const by = metric.event ? `by the event ${metric.event}` : 'by requests';
    const each = metric.denominator ? ` for each ${metric.denominator}` : '';
    return h('li', {}, h('b', {}, metric.name), h('span', { class: 'dim' },
      `${metric.guardrail ? ', a guardrail' : ''}, ${by}${each}, for ${duration(metric.window_seconds)} from a user's first exposure`));
  };
  return h('section', { class: 'card' }, h('h2', {}, 'What is measured'), h('ul', { class: 'plain' }, page.metrics.map(item)));
}

/**
 * @param {any} result
 * @param {string} finding
 */
function found(result, finding) {
  return result.metrics.some((/** @type {any} */ metric) => metric.finding === finding);
}

/**
 * @param {Blob} content
 * @param {string} name
 */
function save(content, name) {
  const href = URL.createObjectURL(content);
  h('a', { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

customElements.define('pm-experiment', Experiment);
