// @ts-check
/** The rollout of a service in a line: the one that is under way, or else the last one that is over. */

import { h, setAttribute, setText } from '../dom.js';
import { ago, duration, percent } from '../format.js';
import { to } from '../rooms.js';

const PHASES = /** @type {Record<string, string>} */ ({ going: 'under way', waiting: 'waits', paused: 'paused', rolling_back: 'rolling back' });

export class RolloutLine {
  #before = h('span', { class: 'dim' }, 'The last one:');
  #link = h('a', {});
  #where = h('span', { class: 'number' });
  #waits = h('span', { class: 'badge warn' });
  #sentence = h('p', { class: 'dim' });
  element = h('section', { class: 'card rollout', 'aria-label': 'Rollout' },
    h('div', { class: 'row' }, this.#before, this.#link, this.#where, this.#waits), this.#sentence);

  /**
   * @param {any} service
   * @param {any} state
   */
  refresh(service, state) {
    const rollout = service.rollout ?? lastOf(service.name, state);
    this.element.hidden = !rollout;
    if (!rollout) return;
    const over = rollout.phase === 'finished';
    this.#before.hidden = !over;
    setAttribute(this.#link, 'href', to('rollout', String(rollout.id)));
    setText(this.#link, `Rollout ${rollout.id}: ${rollout.flag ? `flag ${rollout.flag} to` : `${rollout.from} to`} ${rollout.to}`);
    setText(this.#where, over ? ended(rollout) : underWay(rollout));
    this.#waits.hidden = over || !rollout.waits_for;
    setText(this.#waits, `waits for ${rollout.waits_for}`);
    const sentence = over ? '' : rollout.sentence ?? '';
    this.#sentence.hidden = sentence === '';
    setText(this.#sentence, sentence);
  }
}

/**
 * The last rollout that is over, of those that are still told of.
 *
 * @param {string} service
 * @param {any} state
 */
function lastOf(service, state) {
  const all = /** @type {any[]} */ (Object.values(state.rollouts ?? {}));
  return all.filter((rollout) => rollout.phase === 'finished' && rollout.services.includes(service)).sort((a, b) => b.id - a.id)[0];
}

/** @param {any} rollout */
function ended(rollout) {
  return `${String(rollout.ending ?? 'over').replaceAll('_', ' ')}, ${ago(rollout.finished_at_ms)}`;
}

/** @param {any} rollout */
function underWay(rollout) {
  const stage = typeof rollout.stage === 'number' ? `, step ${rollout.stage + 1} of ${rollout.stages}` : '';
  const left = rollout.bake_left_seconds > 0 ? `, ${duration(rollout.bake_left_seconds)} left` : '';
  return `${PHASES[rollout.phase] ?? rollout.phase} at ${percent(rollout.weight)}${stage}${left}`;
}
