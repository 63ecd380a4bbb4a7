// @ts-check
/** A rule of a flag: what it serves, and the form that changes it. */

import { act } from '../action.js';
import { bar, describe } from '../change.js';
import { command } from '../command.js';
import { h, replace } from '../dom.js';
import { sameWeights, servedWords, weightsOf } from '../flag.js';
import { percent } from '../format.js';
import { canAct } from '../live.js';

/** A weight has three decimals. */
const STEP = 1_000;

/** @type {WeakMap<Element, RuleCard>} */
const CARDS = new WeakMap();

export class RuleCard {
  /** @type {any} */
  #flag = null;
  /** @type {any} */
  #rule = null;
  #key = '';
  #shown = h('div', { class: 'rule' });
  #place = h('div', {});
  #editing = false;
  element;

  constructor() {
    this.element = h('li', {}, this.#shown, this.#place);
    CARDS.set(this.element, this);
  }

  /** @param {Element} element */
  static of(element) {
    return CARDS.get(element);
  }

  /**
   * @param {any} flag
   * @param {any} rule
   */
  update(flag, rule) {
    this.#flag = flag;
    this.#rule = rule;
    const key = JSON.stringify([rule, flag.default, canAct()]);
    if (key === this.#key) return;
    this.#key = key;
    this.#show();
  }

  #show() {
    const { name, conditional, when, serve, file_serve: file } = this.#rule;
    const standard = this.#flag.default;
    const weights = weightsOf(serve, standard);
    const differs = !sameWeights(serve, file);
    const can = canAct();
    const head = h('div', { class: 'row' }, h('b', {}, name),
      h('span', { class: 'dim when' }, conditional ? `if ${when ?? 'its condition holds'}` : 'for all whom no rule before it reaches'));
    const text = servedWords(weights);
    const legend = weights.flatMap(({ share, name: variant }, index) =>
      (share > 0 ? [h('span', { class: 'number' }, swatch(index), `${variant} ${percent(share)}`)] : []));
    const drawn = h('span', { class: 'bars wide', role: 'img', 'aria-label': text }, bar(weights.map(({ share }) => share)));
    const change = h('button', { type: 'button', 'aria-label': `Change ${name}`, onclick: () => this.#edit() }, 'Change');
    const back = h('button', { type: 'button', 'aria-label': `As the config file says, ${name}`, onclick: () => void this.#serve(file) },
      'As the config file says');
    const focused = this.#shown.contains(document.activeElement);
    replace(this.#shown, head, h('div', { class: 'row' }, drawn, h('span', { class: 'row legend' }, legend)),
      differs && h('p', { class: 'warning' }, `The config file says ${servedWords(weightsOf(file, standard))}.`),
      can && h('div', { class: 'row' }, change, differs && back));
    if (focused) change.focus();
    if (!can) this.#close();
  }

  #close() {
    const focused = this.#place.contains(document.activeElement);
    this.#editing = false;
    replace(this.#place);
    if (focused) this.#shown.querySelector('button')?.focus();
  }

  #edit() {
    if (this.#editing) return this.#close();
    this.#editing = true;
    const weights = weightsOf(this.#rule.serve, this.#flag.default);
    const form = weightsForm(this.#rule.name, weights, (serve) => void this.#serve(serve), () => this.#close());
    replace(this.#place, form);
    form.querySelector('input')?.focus();
  }

  /** @param {Record<string, number>} serve */
  async #serve(serve) {
    const flag = this.#flag.name;
    const rule = this.#rule.name;
    const last = (this.#flag.rules ?? []).at(-1)?.name === rule;
    const weights = weightsOf(serve, this.#flag.default).filter(({ share }) => share > 0);
    const only = weights.length === 1 ? weights[0]?.name : undefined;
    const serves = only ?? Object.fromEntries(weights.map(({ name, share }) => [name, share]));
    const words = only ?? weights.map(({ name, share }) => `${name}=${share}`).join(',');
    const answer = await act({
      title: `Have ${rule} of ${flag} serve ${servedWords(weights)}`,
      does: 'Change',
      method: 'PUT',
      path: `v1/flags/${encodeURIComponent(flag)}`,
      body: (reason) => ({ rule, serve: serves, ...(reason ? { reason } : {}) }),
      command: (reason) => command('flag', 'set', flag, words, { rule: last ? undefined : rule, reason }),
      describe,
    });
    if (answer) this.#close();
  }
}

/**
 * A slider and a number for each variant but the first, which gets the rest: so the sum is always 100.
 *
 * @param {string} rule
 * @param {{ name: string, share: number }[]} weights
 * @param {(serve: Record<string, number>) => void} done
 * @param {() => void} cancel
 */
function weightsForm(rule, weights, done, cancel) {
  const [rest, ...others] = weights;
  const shares = new Map(others.map(({ name, share }) => [name, share]));
  const preview = h('span', { class: 'bars wide' });
  const left = h('output', { class: 'number' });
  const trouble = h('p', { class: 'problem', role: 'alert' });
  const submit = h('button', { type: 'submit', class: 'primary' }, 'See what changes');
  const remainder = () => rounded(100 - [...shares.values()].reduce((sum, share) => sum + share, 0));
  const show = () => {
    const free = remainder();
    left.textContent = free >= 0 ? percent(free) : '–';
    replace(trouble, free < 0 ? `That is ${percent(-free)} more than 100 %.` : null);
    submit.disabled = free < 0 || [...shares.values()].some((share) => !Number.isFinite(share) || share < 0);
    replace(preview, bar([Math.max(0, free), ...others.map(({ name }) => shares.get(name) ?? 0)]));
  };
  const rows = others.map(({ name, share }, index) => {
    const common = { min: 0, max: 100, value: String(share) };
    const number = h('input', { ...common, type: 'number', step: 0.001, 'aria-label': `${name}, per cent`, inputmode: 'decimal' });
    const range = h('input', { ...common, type: 'range', step: 0.5, 'aria-label': `Share of ${name}` });
    const take = (/** @type {HTMLInputElement} */ from, /** @type {HTMLInputElement} */ other) => () => {
      other.value = from.value;
      shares.set(name, from.value === '' ? NaN : Number(from.value));
      show();
    };
    number.addEventListener('input', take(number, range));
    range.addEventListener('input', take(range, number));
    return h('div', { class: 'weight-row' }, h('span', { class: 'name' }, swatch(index + 1), name), range, h('span', { class: 'row' }, number, '%'));
  });
  const form = h('form', {
    class: 'weights',
    'aria-label': `What ${rule} serves`,
    onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      if (submit.disabled) return;
      done({ ...(rest ? { [rest.name]: remainder() } : {}), ...Object.fromEntries(shares) });
    },
    onkeydown: (/** @type {KeyboardEvent} */ event) => event.key === 'Escape' && cancel(),
  });
  const resting = h('div', { class: 'weight-row' }, h('span', { class: 'name' }, swatch(0), rest?.name ?? ''),
    h('span', { class: 'dim' }, 'gets the rest'), left);
  form.append(...rows, resting, preview, trouble,
    h('div', { class: 'buttons' }, h('button', { type: 'button', onclick: cancel }, 'Cancel'), submit));
  show();
  return form;
}

/** @param {number} index */
function swatch(index) {
  return h('span', { class: `swatch part-${Math.min(index, 4)}`, 'aria-hidden': 'true' });
}

/** @param {number} share */
function rounded(share) {
  return Math.round(share * STEP) / STEP;
}
