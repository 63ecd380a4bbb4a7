// @ts-check
/** The plan of a rollout as a track: what is done, where it is, what is to come. */

import { h, keyed, replace, setAttribute, setText } from '../dom.js';
import { duration, percent } from '../format.js';
import { ended, isOver, now, stageName, stageTime } from './rollout_words.js';

/** A plan of more stages than this (endpoint after endpoint) is told as a bar and a sentence. */
const STAGES_MAX = 24;

export class Track {
  #list = h('ol', { class: 'track' });
  #bar = h('div', { class: 'split', role: 'img' }, h('span', { class: 'done' }), h('span', { class: 'open' }));
  #left = h('progress', { max: 1, value: 0, 'aria-label': 'Of the bake' });
  #now = h('p', { class: 'at' });
  element = h('section', { class: 'card', 'aria-label': 'Plan' }, h('h2', {}, 'Plan'), this.#list, this.#bar, this.#left, this.#now);

  /**
   * @param {any} rollout
   * @param {number | null} reached the stage that one that is over had reached
   */
  refresh(rollout, reached) {
    const stages = /** @type {any[]} */ (rollout.stages ?? []);
    const here = typeof rollout.stage === 'number' ? rollout.stage : reached;
    const many = stages.length > STAGES_MAX;
    this.#list.hidden = many || stages.length === 0;
    this.#bar.hidden = !many;
    const items = many ? [] : stages.map((stage, index) => ({ stage, index, state: stateOf(rollout, index, here) }));
    keyed(this.#list, items, ({ index }) => String(index), () => h('li', {}, h('span', { class: 'mark', 'aria-hidden': 'true' }), h('span', { class: 'what' }), h('span', { class: 'dim time' }), h('span', { class: 'heard' })), (item, { stage, state }) => {
      setAttribute(item, 'class', `${state}${stage.what === 'bake' ? '' : ' task'}`);
      setAttribute(item, 'aria-current', state === 'now' || state === 'waits' ? 'step' : null);
      const [mark, what, time, heard] = item.children;
      if (mark) setText(mark, MARKS[state] ?? '');
      if (what) setText(what, stageName(stage, rollout));
      if (time) setText(time, stageTime(stage));
      if (heard) setText(heard, HEARD[state] ?? '');
    });
    if (many) {
      const done = rollout.ending === 'completed' ? stages.length : here ?? 0;
      const [full, open] = /** @type {HTMLElement[]} */ ([...this.#bar.children]);
      if (full) full.style.flexGrow = String(done);
      if (open) open.style.flexGrow = String(stages.length - done);
      setAttribute(this.#bar, 'aria-label', `${done} of ${stages.length} stages are done`);
    }
    this.#progress(rollout, stages[here ?? -1]);
    setText(this.#now, isOver(rollout) ? ended(rollout, stages[reached ?? -1]) : now(rollout));
  }

  /**
   * @param {any} rollout
   * @param {any} stage
   */
  #progress(rollout, stage) {
    const left = rollout.bake_left_seconds;
    const whole = stage?.seconds ?? 0;
    this.#left.hidden = isOver(rollout) || typeof left !== 'number' || !(whole > 0);
    if (this.#left.hidden) return;
    this.#left.value = Math.min(1, Math.max(0, 1 - left / whole));
    setAttribute(this.#left, 'aria-valuetext', `${duration(left)} left of ${duration(whole)}`);
  }
}

/** @type {Record<string, string>} */
const MARKS = { done: '✓', now: '●', waits: '…', turned: '↩', next: '' };

/** @type {Record<string, string>} */
const HEARD = { done: ', done', now: ', now', waits: ', waits for a person', turned: ', turned back here', next: ', to come' };

/**
 * @param {any} rollout
 * @param {number} index
 * @param {number | null} here
 */
function stateOf(rollout, index, here) {
  if (rollout.ending === 'completed') return 'done';
  if (here === null) return 'next';
  if (index !== here) return index < here ? 'done' : 'next';
  if (isOver(rollout) || rollout.phase === 'rolling_back') return 'turned';
  return rollout.waits_for ? 'waits' : 'now';
}

/**
 * What stands in a bar, if there is room for it.
 *
 * @param {string} name
 * @param {number} weight
 */
function text(name, weight) {
  return weight >= 8 ? `${name} ${percent(weight)}` : '';
}

/**
 * What each side has now, as a bar.
 *
 * @param {HTMLElement} bar
 * @param {any} rollout
 */
export function drawWeights(bar, rollout) {
  if (bar.children.length !== 2) replace(bar, h('span', { class: 'tone-0' }), h('span', { class: 'tone-1' }));
  const [base, candidate] = /** @type {HTMLElement[]} */ ([...bar.children]);
  if (base && candidate) {
    base.style.flexGrow = String(100 - rollout.weight);
    candidate.style.flexGrow = String(rollout.weight);
    setText(base, text(rollout.from, 100 - rollout.weight));
    setText(candidate, text(rollout.to, rollout.weight));
    base.hidden = rollout.weight >= 100;
    candidate.hidden = rollout.weight <= 0;
  }
  setAttribute(bar, 'aria-label', `${rollout.from} has ${percent(100 - rollout.weight)}, ${rollout.to} has ${percent(rollout.weight)}`);
}
