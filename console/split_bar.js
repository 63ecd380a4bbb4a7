// @ts-check
/** The split of a service as a bar: what is configured, and below it what is in effect where that is something else. */

import { h, keyed, setAttribute, setText } from './dom.js';
import { tones } from './facts.js';
import { percent } from './format.js';

/** A part that is narrower than this, in per cent, has no room for its words. */
const WORDS_MIN = 17;

/** Two shares are the same for the eye. */
const SAME = 0.05;

/**
 * @param {any} service
 * @returns {{ element: HTMLElement, update: (service: any) => void }}
 */
export function splitBar(service) {
  const configured = h('div', { class: 'split' });
  const effective = h('div', { class: 'split effective' });
  const words = h('span', { class: 'dim small' });
  const below = h('div', { class: 'in-effect' }, effective, words);
  const element = h('div', { class: 'bars', role: 'img' }, configured, below);
  /** @param {any} now */
  const update = (now) => {
    const versions = /** @type {any[]} */ (Object.values(now.versions));
    const tone = tones(now);
    parts(configured, versions, (version) => version.weight, tone);
    const differs = versions.some((version) => Math.abs(version.effective_weight - version.weight) > SAME);
    if (below.hidden === differs) below.hidden = !differs;
    let told = `Split: ${weights(versions, 'weight')}`;
    if (differs) {
      parts(effective, versions, (version) => version.effective_weight, tone);
      const some = versions.some((version) => version.effective_weight > 0);
      setText(words, some ? 'in effect' : 'in effect: nothing is served');
      told += `; in effect: ${weights(versions, 'effective_weight')}`;
    }
    setAttribute(element, 'aria-label', told);
  };
  update(service);
  return { element, update };
}

/**
 * @param {any[]} versions
 * @param {'weight' | 'effective_weight'} which
 */
function weights(versions, which) {
  return versions.map((version) => `${version.name} ${percent(version[which])}`).join(', ');
}

/**
 * @param {HTMLElement} bar
 * @param {any[]} versions
 * @param {(version: any) => number} weight
 * @param {Map<string, number>} tone
 */
function parts(bar, versions, weight, tone) {
  const shown = versions.filter((version) => weight(version) > 0);
  keyed(bar, shown, (version) => version.name, () => h('span'), (part, version) => {
    const value = weight(version);
    const words = value >= WORDS_MIN ? `${version.name} ${percent(value, 1)}` : '';
    setText(part, words);
    setAttribute(part, 'class', `tone-${tone.get(version.name)}`);
    setAttribute(part, 'title', `${version.name} ${percent(value)}`);
    const grow = String(value);
    if (part.style.flexGrow !== grow) part.style.flexGrow = grow;
  });
}
