// @ts-check
/** One run of a chaos experiment, live: what is injected, what both slices get, and what that proves. */

import { act, problem } from '../action.js';
import { blob, call } from '../api.js';
import { endedBy, expected, fault, stateBadge, stopsWhen, target } from '../chaos.js';
import { command } from '../command.js';
import { h, keyed, replace, setAttribute, setText } from '../dom.js';
import { count, duration, milliseconds, share, when } from '../format.js';
import { canAct } from '../live.js';
import { to } from '../rooms.js';

/** A run that goes on is asked for as often as this. */
const EVERY_MS = 1_000;

/** E on its scale: from one in a thousand. */
const LOG_MIN = -3;

/** @type {[string, string, string][]} */
const SLICES = [['before', 'All users, before', ''], ['fault_slice', 'With the fault', 'tone-1'], ['control_slice', 'Without it', 'tone-0']];

const COLUMNS = ['Requests', 'Failed', 'Failed share', 'Users', 'Injected', 'Median', '90 %', '99 %'];

/** @type {[string, string][]} */
const REPORTS = [['markdown', 'md'], ['json', 'json'], ['journal', 'json']];

class ChaosRun extends HTMLElement {
  /** @type {Record<string, string>} */
  params = {};
  #timer = 0;
  #leaving = new AbortController();
  /** @type {any} */
  #run = null;
  #keys = /** @type {Record<string, string>} */ ({});
  #title = h('h1', {});
  #badge = h('span', { class: 'row' });
  #buttons = h('span', { class: 'row end-of-row' });
  #trouble = h('div', { role: 'alert' });
  #sentence = h('p', { class: 'verdict' });
  #facts = h('p');
  #terms = h('p', { class: 'dim' });
  #phases = h('div', { class: 'phases', role: 'img' }, h('span', { class: 'phase' }), h('span', { class: 'phase fault' }));
  #times = h('p', { class: 'dim small number' });
  #rows = h('tbody');
  #slices = h('section', { class: 'card' }, h('h2', {}, 'What users get'), h('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'Figures of both slices' },
    h('table', {}, h('thead', {}, h('tr', {}, ['', ...COLUMNS].map((name, index) => h('th', { scope: 'col', class: index === 0 ? null : 'number' }, name || h('span', { class: 'heard' }, 'Slice'))))), this.#rows)));
  #scale = h('div', { class: 'scale', role: 'img' }, h('span', { class: 'fill' }));
  #proof = h('p', { class: 'dim number' });
  #evidence = h('section', { class: 'card' }, h('h2', {}, 'Evidence that users are worse off'), this.#scale, this.#proof);
  #undo = h('section', { class: 'card', hidden: true });
  #body = h('div', { class: 'stack', hidden: true }, this.#sentence,
    h('section', { class: 'card', 'aria-label': 'The experiment' }, this.#facts, this.#terms, this.#phases, this.#times), this.#slices, this.#evidence, this.#undo);

  connectedCallback() {
    setText(this.#title, `Run ${this.params.run}`);
    this.append(h('p', { class: 'crumbs' }, h('a', { href: to('chaos') }, 'Chaos experiments')),
      h('div', { class: 'row heading' }, this.#title, this.#badge, this.#buttons), this.#trouble, this.#body);
    this.#timer = window.setInterval(() => document.hidden || this.#run?.restored_at || void this.#read(), EVERY_MS);
    void this.#read();
  }

  disconnectedCallback() {
    clearInterval(this.#timer);
    this.#leaving.abort();
  }

  refresh() {
    if (this.#run) this.#part('buttons', `${this.#run.state} ${canAct()}`, () => this.#actions());
  }

  async #read() {
    try {
      this.#run = await call('GET', `v1/chaos/${encodeURIComponent(this.params.run ?? '')}`, { signal: this.#leaving.signal });
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
    const run = this.#run;
    this.#body.hidden = false;
    setText(this.#title, `Run ${run.id} of ${run.name}`);
    this.#part('badge', `${run.state} ${run.ending}`, () => replace(this.#badge, stateBadge(run)));
    this.#part('buttons', `${run.state} ${canAct()}`, () => this.#actions());
    this.#sentence.className = `verdict ${run.ending === 'held' ? 'good' : run.ending === 'broken' ? 'bad' : ''}`;
    setText(this.#sentence, run.sentence ?? '');
    this.#part('facts', JSON.stringify([run.fault, run.target, run.author, run.reason, run.started_at]), () => replace(this.#facts,
      h('b', {}, fault(run.fault)), ' for ', h('a', { href: to('service', run.service) }, target(run)),
      `. Begun ${when(run.started_at)} by ${run.author ?? 'the proxy'}${run.reason ? `, “${run.reason}”` : ''}.`));
    const stops = stopsWhen(run.stop_when);
    setText(this.#terms, `Expected of them, against as many others: ${expected(run.hypothesis)}${stops ? ` · ends early when ${stops}` : ''}`);
    this.#phase(run);
    keyed(this.#rows, SLICES.filter(([key]) => run[key]), ([key]) => key, ([, name, tone]) => h('tr', {},
      h('th', { scope: 'row' }, tone ? h('span', { class: `swatch ${tone}`, 'aria-hidden': 'true' }) : null, name), COLUMNS.map(() => h('td', { class: 'number' }))),
    (row, [key]) => figures(run[key]).forEach((text, index) => {
      const cell = row.children[index + 1];
      if (cell) setText(cell, text);
    }));
    this.#proved(run.evidence);
    this.#undone(run.undo);
  }

  /** How far it is. @param {any} run */
  #phase(run) {
    const { baseline_s: before, duration_s: lasts } = run;
    const now = run.ended_at ? Date.parse(run.ended_at) : Date.now();
    const begun = (now - Date.parse(run.started_at)) / 1_000;
    const injected = run.injecting_since ? (now - Date.parse(run.injecting_since)) / 1_000 : 0;
    const whole = Math.max(1, before + lasts);
    const [first, second] = /** @type {HTMLElement[]} */ ([...this.#phases.children]);
    if (!first || !second) return;
    first.style.flexGrow = String(before / whole);
    second.style.flexGrow = String(lasts / whole);
    part(first, run.injecting_since ? 1 : begun / Math.max(before, 0.001));
    part(second, injected / Math.max(lasts, 0.001));
    const left = Math.max(0, (Date.parse(run.ends_at) - Date.now()) / 1_000);
    const restored = run.restored_at ? ` All was as before at ${when(run.restored_at)}.` : run.ended_at ? ' The fault is being taken back.' : '';
    const end = run.ended_at ? `Ended ${when(run.ended_at)} by ${endedBy(run.ended_by ?? '')}.${restored}` : `Ends in ${duration(left)} at the latest.`;
    const text = `Baseline ${duration(before)}, then the fault for ${duration(lasts)}${run.injecting_since ? `, since ${when(run.injecting_since)}` : ''}. ${end}`;
    setText(this.#times, text);
    setAttribute(this.#phases, 'aria-label', `${run.state}: ${Math.round(100 * Math.min(1, begun / whole))} % of the time`);
  }

  /** @param {any} found */
  #proved(found) {
    this.#evidence.hidden = typeof found?.e !== 'number' || typeof found?.alarm !== 'number';
    if (this.#evidence.hidden) return;
    const [e, alarm] = [Math.log10(Math.max(found.e, 1e-300)), Math.log10(Math.max(found.alarm, 1))];
    const filled = Math.min(1, Math.max(0, (e - LOG_MIN) / (alarm - LOG_MIN)));
    const fill = /** @type {HTMLElement | null} */ (this.#scale.firstElementChild);
    if (fill) {
      fill.style.width = `${filled * 100}%`;
      setAttribute(fill, 'data-tone', e >= alarm ? 'bad' : e >= 1 ? 'warn' : 'good');
    }
    const text = `E = 10^${e.toFixed(1)}; the hypothesis is broken at 10^${alarm.toFixed(1)}`;
    const { ratio_low: low, ratio_high: high } = found.errors ?? {};
    const times = typeof low === 'number' ? `. They fail ${low.toFixed(2)} to ${typeof high === 'number' ? high.toFixed(2) : 'any number of'} times as often (95 %, at all times).` : '';
    setText(this.#proof, text + times);
    setAttribute(this.#scale, 'aria-label', text);
  }

  /** @param {any} undo */
  #undone(undo) {
    this.#undo.hidden = !undo;
    if (!undo) return;
    this.#part('undo', JSON.stringify(undo), () => {
      const tries = undo.tries === 1 ? '1 try' : `${undo.tries} tries`;
      /** @type {Record<string, string>} */
      const state = { done: `The command was undone after ${tries}.`, waiting: undo.tries > 0 ? `The undo failed ${tries}, and is tried again.` : 'The undo is done when the fault ends.' };
      const text = state[undo.state] ?? `The undo has failed after ${tries}. Do it by hand.`;
      replace(this.#undo, h('h2', {}, 'The undo of its command'), h('p', { class: undo.state === 'failed' ? 'problem' : '' }, text), undo.error && h('p', { class: 'dim' }, undo.error));
    });
  }

  #actions() {
    const { state } = this.#run;
    const focused = this.#buttons.contains(document.activeElement);
    replace(this.#buttons, state !== 'ended' && canAct() && h('button', { type: 'button', class: 'danger', onclick: () => void this.#stop() }, 'Stop'),
      REPORTS.map(([format, ending]) => h('button', { type: 'button', onclick: () => void this.#report(format, ending) }, format === 'json' ? 'JSON' : format === 'journal' ? 'Journal' : 'Report')));
    if (focused) this.#buttons.querySelector('button')?.focus();
  }

  async #stop() {
    const { id, name } = this.#run;
    await act({
      title: `Stop run ${id} of ${name}, and take its fault back`,
      does: 'Stop',
      method: 'POST',
      path: `v1/chaos/${id}/stop`,
      body: (reason) => (reason ? { reason } : {}),
      command: (reason) => command('chaos', 'stop', String(id), { reason }),
      dryRun: false,
      danger: true,
    });
    void this.#read();
  }

  /**
   * @param {string} format
   * @param {string} ending
   */
  async #report(format, ending) {
    const { id, name } = this.#run;
    try {
      const href = URL.createObjectURL(await blob(`v1/chaos/${id}/report?format=${format}`, this.#leaving.signal));
      h('a', { href, download: `${name}-${id}${format === 'journal' ? '-journal' : ''}.${ending}` }).click();
      setTimeout(() => URL.revokeObjectURL(href), 60_000);
    } catch (error) {
      if (!this.#leaving.signal.aborted) this.#part('trouble', String(error), () => replace(this.#trouble, problem(error)));
    }
  }
}

/**
 * What a slice got, by columns.
 *
 * @param {any} slice
 */
function figures(slice) {
  const known = (/** @type {unknown} */ value) => (typeof value === 'number' ? count(value) : '–');
  const part = slice.requests > 0 && typeof slice.failed === 'number' ? share(slice.failed / slice.requests) : '–';
  return [known(slice.requests), known(slice.failed), part, known(slice.users), known(slice.injected), milliseconds(slice.p50_ms), milliseconds(slice.p90_ms), milliseconds(slice.p99_ms)];
}

/**
 * @param {HTMLElement} phase
 * @param {number} done 0 to 1
 */
function part(phase, done) {
  phase.style.setProperty('--done', `${Math.min(1, Math.max(0, done)) * 100}%`);
}

customElements.define('pm-chaos-run', ChaosRun);
