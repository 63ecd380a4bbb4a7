// @ts-check
/** The split of a service: as it is configured and as it is in effect, and everything that moves it. */

import { act, problem } from '../action.js';
import { Problem, call } from '../api.js';
import { describe } from '../change.js';
import { command } from '../command.js';
import { h, keyed, replace, setAttribute, setText } from '../dom.js';
import { tones } from '../facts.js';
import { percent } from '../format.js';
import { canAct, live } from '../live.js';
import { inPercent, isSame, thousandths, withWeight } from './service_draft.js';
import { isApart, sentence } from './service_words.js';

/** @typedef {import('./service_draft.js').Weights} Weights */

/** The time that new requests wait at the most, where they shall. */
const HOLD_MAX = '2s';

/** How long a slider rests before it is asked what that would do. */
const REST_MS = 250;

export class SplitCard {
  #bar = h('div', { class: 'split tall', role: 'img' });
  #effective = h('div', { class: 'split', role: 'img' });
  #apart = h('div', { class: 'stack' }, h('span', { class: 'dim' }, 'In effect'), this.#effective);
  #reasons = h('ul', { class: 'plain' });
  #file = h('p', { class: 'dim' });
  #controls;
  #sliders = h('div', { class: 'sliders' });
  #would = h('p', { class: 'would', role: 'status' });
  #shift = h('button', { type: 'button', class: 'primary', onclick: () => void this.#ask() }, 'Shift');
  #reset = h('button', { type: 'button', class: 'quiet', onclick: () => this.#take(this.#now) }, 'Reset');
  #hold = h('input', { type: 'checkbox' });
  #to = h('select', { 'aria-label': 'Version to flip to' });
  #service = '';
  /** @type {Weights} */
  #now = new Map();
  /** @type {Weights} */
  #draft = new Map();
  #dragged = false;
  /** Whether the proxy could not say what the wanted weights would do. */
  #unanswered = false;
  /** @type {AbortController | null} */
  #asking = null;

  constructor() {
    const button = (/** @type {string} */ text, /** @type {() => void} */ onclick) => h('button', { type: 'button', onclick }, text);
    this.#controls = h('div', { class: 'stack controls' }, h('h3', {}, 'Move users'), this.#sliders,
      h('div', { class: 'row' }, this.#shift, this.#reset, this.#would),
      h('div', { class: 'row others' },
        h('span', { class: 'row together' }, button('Flip', () => void this.#flip()), this.#to),
        button('Roll back', () => void this.#rollBack()),
        button('Hold', () => void this.#holdRequests()),
        h('label', { class: 'row check' }, this.#hold, `New requests wait while the split moves (${HOLD_MAX.replace('s', ' s')} at the most)`)));
    this.element = h('section', { class: 'card stack', 'aria-label': 'Split' }, h('h2', {}, 'Split'), this.#bar, this.#apart, this.#reasons,
      this.#file, this.#controls);
  }

  /**
   * @param {any} service
   * @param {any[]} versions in their order
   */
  refresh(service, versions) {
    this.#service = service.name;
    const tone = tones(service);
    const sizes = (/** @type {(version: any) => number} */ of) =>
      versions.map((version) => ({ name: version.name, size: of(version), tone: tone.get(version.name) ?? 3 }));
    drawBar(this.#bar, 'Configured', sizes((version) => version.weight));
    drawBar(this.#effective, 'In effect', sizes((version) => version.effective_weight));
    const apart = versions.filter(isApart);
    this.#apart.hidden = apart.length === 0;
    keyed(this.#reasons, apart, (version) => version.name, () => h('li', { class: 'warning' }), (item, version) =>
      setText(item, `${version.name} has ${percent(version.effective_weight)} in place of ${percent(version.weight)}: ${version.effective_reason ?? ''}`));
    this.#reasons.hidden = apart.length === 0;
    this.#file.hidden = !service.differs_from_file;
    const file = Object.entries(service.file_split ?? {}).map(([name, weight]) => `${name} ${percent(weight)}`);
    setText(this.#file, `Not as in the config file, which has ${file.join(', ')}.`);
    this.#controls.hidden = !canAct() || versions.length < 2;
    const next = new Map(versions.map((version) => [version.name, thousandths(version.weight)]));
    if (isSame(next, this.#now)) {
      // The connection is there again.
      if (this.#unanswered && live.connection === 'live') this.#take(this.#draft);
      return;
    }
    const others = next.size !== this.#now.size || [...next.keys()].some((name) => !this.#now.has(name));
    const untouched = others || isSame(this.#draft, this.#now);
    this.#now = next;
    if (others) this.#names();
    this.#take(untouched ? next : this.#draft);
  }

  /** Sliders and choices for the versions there are. With two, one slider says it all. */
  #names() {
    const names = [...this.#now.keys()];
    keyed(this.#sliders, names.length === 2 ? names.slice(1) : names, (name) => name, (name) => this.#slider(name));
    const chosen = this.#to.value;
    replace(this.#to, names.map((name) => h('option', { value: name }, `to ${name}`)));
    const least = [...this.#now].reduce((best, one) => (one[1] <= best[1] ? one : best), ['', Infinity])[0];
    this.#to.value = names.includes(chosen) ? chosen : least;
  }

  /** @param {string} name */
  #slider(name) {
    const label = `Share of ${name}`;
    const range = h('input', { type: 'range', min: 0, max: 100, step: 0.001, 'aria-label': label });
    const number = h('input', { type: 'number', min: 0, max: 100, step: 'any', 'aria-label': `${label}, in per cent`, class: 'number' });
    const set = (/** @type {number} */ value) => this.#take(withWeight(this.#draft, name, thousandths(value)));
    range.addEventListener('pointerdown', () => (this.#dragged = true));
    range.addEventListener('pointerup', () => (this.#dragged = false));
    // By hand whole numbers are meant; the field beside it takes three decimals.
    range.addEventListener('input', () => set(this.#dragged ? Math.round(range.valueAsNumber) : range.valueAsNumber));
    range.addEventListener('keydown', (event) => {
      const next = stepped(event.key, range.valueAsNumber);
      if (next === null) return;
      event.preventDefault();
      set(next);
    });
    number.addEventListener('change', () => {
      if (Number.isFinite(number.valueAsNumber)) set(number.valueAsNumber);
      else this.#take(this.#draft);
    });
    const [shown, unit] = [h('span', { class: 'name', 'aria-hidden': 'true' }, label), h('span', { class: 'dim', 'aria-hidden': 'true' }, '%')];
    return h('div', { class: 'slider' }, shown, range, number, unit);
  }

  /**
   * Shows these weights as what is wanted.
   *
   * @param {Weights} draft
   */
  #take(draft) {
    this.#draft = draft;
    const touched = !isSame(draft, this.#now);
    for (const slider of this.#sliders.children) {
      const weight = (draft.get(/** @type {HTMLElement} */ (slider).dataset.key ?? '') ?? 0) / 1_000;
      const [range, number] = slider.querySelectorAll('input');
      if (range && range.valueAsNumber !== weight) range.value = String(weight);
      if (range) setAttribute(range, 'aria-valuetext', percent(weight));
      if (number && number.valueAsNumber !== weight) number.value = String(weight);
    }
    this.#shift.disabled = !touched;
    this.#reset.disabled = !touched;
    this.#asking?.abort();
    this.#unanswered = false;
    setText(this.#would, '');
    this.#would.classList.remove('problem');
    if (touched) void this.#look();
  }

  /** Asks what the wanted weights would do. */
  async #look() {
    const asking = new AbortController();
    const { signal } = asking;
    this.#asking = asking;
    await new Promise((done) => setTimeout(done, REST_MS));
    if (signal.aborted) return;
    try {
      const answer = await call('PUT', this.#path('split'), { body: inPercent(this.#draft), dryRun: true, signal });
      if (!signal.aborted) setText(this.#would, `${words(this.#draft)}: ${sentence(answer)}`);
    } catch (error) {
      if (signal.aborted) return;
      this.#unanswered = !(error instanceof Problem) || error.status === 0 || error.status >= 500;
      this.#would.classList.add('problem');
      setText(this.#would, problem(error).textContent ?? '');
    }
  }

  /** @param {string} what */
  #path(what) {
    return `v1/services/${encodeURIComponent(this.#service)}/${what}`;
  }

  /** What stands in the body of a change beside its own, and in its command. */
  #terms() {
    const holds = this.#hold.checked;
    return { body: holds ? { hold: { max: HOLD_MAX } } : {}, options: holds ? { hold: HOLD_MAX } : {} };
  }

  async #ask() {
    const weights = inPercent(this.#draft);
    const { body, options } = this.#terms();
    const service = this.#service;
    const parts = Object.entries(weights).map(([name, weight]) => `${name}=${weight}`);
    const answer = await act({
      title: `Shift ${service} to ${words(this.#draft)}`,
      does: 'Shift',
      method: 'PUT',
      path: this.#path('split'),
      body: (reason) => ({ ...weights, ...body, ...(reason && { reason }) }),
      command: (reason) => command('shift', service, ...parts, { ...options, reason }),
      describe,
    });
    if (answer) this.#take(new Map(Object.entries(weights).map(([name, weight]) => [name, thousandths(weight)])));
  }

  async #flip() {
    const [service, to, { body, options }] = [this.#service, this.#to.value, this.#terms()];
    await act({
      title: `Give all traffic of ${service} to ${to}`,
      does: 'Flip',
      method: 'POST',
      path: this.#path('flip'),
      body: (reason) => ({ to, ...body, ...(reason && { reason }) }),
      command: (reason) => command('flip', service, to, { ...options, reason }),
      describe,
    });
  }

  async #rollBack() {
    const [service, { body, options }] = [this.#service, this.#terms()];
    await act({
      title: `Undo the last change of ${service}`,
      does: 'Roll back',
      method: 'POST',
      path: 'v1/rollback',
      body: (reason) => ({ services: [service], ...body, ...(reason && { reason }) }),
      command: (reason) => command('rollback', { service, ...options, reason }),
      describe,
    });
  }

  async #holdRequests() {
    const [service, max] = [this.#service, '30s'];
    const body = { services: [service], max };
    await act({
      title: `Let new requests of ${service} wait, for ${max.replace('s', ' s')} at the most`,
      does: 'Hold',
      method: 'POST',
      path: 'v1/hold',
      body: () => body,
      command: () => `curl -X POST ${new URL('v1/hold', document.baseURI)} -H 'content-type: application/json' -d '${JSON.stringify(body)}'`,
      dryRun: false,
      reasoned: false,
    });
  }
}

/** @param {Weights} weights */
function words(weights) {
  return [...weights].map(([name, weight]) => `${name} ${percent(weight / 1_000)}`).join(', ');
}

/**
 * Where a key takes a slider: by one, by ten, or to an end.
 *
 * @param {string} key
 * @param {number} value
 */
function stepped(key, value) {
  /** @type {Record<string, number>} */
  const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10, Home: -100, End: 100 };
  const step = steps[key];
  return step === undefined ? null : Math.min(100, Math.max(0, value + step));
}

/**
 * A bar of versions, each as wide as its part.
 *
 * @param {HTMLElement} bar
 * @param {string} what
 * @param {{ name: string, size: number, tone: number }[]} parts
 */
function drawBar(bar, what, parts) {
  setAttribute(bar, 'aria-label', `${what}: ${parts.map(({ name, size }) => `${name} ${percent(size)}`).join(', ')}`);
  const { clientWidth: width } = bar;
  keyed(bar, parts, ({ name }) => name, () => h('span', {}), (piece, { name, size, tone }) => {
    setAttribute(piece, 'class', `tone-${tone}`);
    piece.style.flexGrow = String(size);
    piece.hidden = size === 0;
    const fits = (/** @type {string} */ text) => text.length * 8.5 + 20 < (width * size) / 100;
    setText(piece, [`${name} ${percent(size)}`, percent(size), ''].find(fits) ?? '');
  });
}
