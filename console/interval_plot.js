// @ts-check
/** An interval on a line that reaches as far to both sides of no difference. */

import { s } from './dom.js';

/**
 * @typedef {object} Plotted
 * @property {number} estimate
 * @property {{ low: number, high: number } | null | undefined} always the interval that holds at all looks; none: held back
 * @property {{ low: number, high: number }} once the interval for one look
 */

const HEIGHT = 66;
const MIDDLE = 28;
const EDGE = 2;

/**
 * How far a plot has to reach so that all of these are on it: a round number.
 *
 * @param {Plotted[]} all
 */
export function reachOf(all) {
  const ends = all.flatMap(({ estimate, always, once }) => [estimate, once.low, once.high, ...(always ? [always.low, always.high] : [])]);
  const most = Math.max(...ends.filter(Number.isFinite).map(Math.abs), 1e-9);
  const size = 10 ** Math.floor(Math.log10(most));
  const steps = [1, 1.5, 2, 3, 4, 5, 7.5];
  return size * (steps.find((step) => step * size >= most * 1.04) ?? 10);
}

/**
 * Places are parts of the width, so that words keep their size on a phone.
 *
 * @param {Plotted} plotted
 * @param {object} terms
 * @param {number} terms.reach to both sides
 * @param {(value: number) => string} terms.write a value in words
 * @param {string} terms.better which side is good: `higher` or `lower`
 * @param {string} terms.label for those who do not see it
 */
export function intervalPlot({ estimate, always, once }, { reach, write, better, label }) {
  const part = (/** @type {number} */ value) => EDGE + ((Math.max(-1, Math.min(1, value / reach)) + 1) / 2) * (100 - 2 * EDGE);
  const x = (/** @type {number} */ value) => `${part(value)}%`;
  const wide = always ?? once;
  const kind = always ? 'interval' : 'interval held-back';
  const [good, bad] = better === 'higher' ? [1, -1] : [-1, 1];
  const side = (/** @type {number} */ at, /** @type {string} */ word) =>
    s('text', { class: 'side', x: x(at * reach), y: 12, 'text-anchor': at > 0 ? 'end' : 'start' }, word);
  const tick = (/** @type {number} */ at, /** @type {string} */ anchor) =>
    s('text', { x: x(at), y: HEIGHT - 4, 'text-anchor': anchor, class: 'tick' }, at === 0 ? 'no difference' : write(at));
  return s('svg', { class: 'interval-plot', width: '100%', height: HEIGHT, role: 'img', 'aria-label': label },
    s('rect', { class: 'good-side', x: x(Math.min(0, good * reach)), y: 0, width: `${50 - EDGE}%`, height: HEIGHT - 20 }),
    s('line', { class: 'zero', x1: '50%', x2: '50%', y1: 0, y2: HEIGHT - 20 }),
    side(good, 'better'), side(bad, 'worse'),
    s('line', { class: kind, x1: x(wide.low), x2: x(wide.high), y1: MIDDLE, y2: MIDDLE }),
    [wide.low, wide.high].filter((end) => Math.abs(end) <= reach).map((end) =>
      s('line', { class: kind, x1: x(end), x2: x(end), y1: MIDDLE - 8, y2: MIDDLE + 8 })),
    always && s('rect', { class: 'once', x: x(once.low), y: MIDDLE - 4, width: `${part(once.high) - part(once.low)}%`, height: 8, rx: 2 }),
    s('circle', { class: 'estimate', cx: x(estimate), cy: MIDDLE, r: 6 }),
    tick(-reach, 'start'), tick(0, 'middle'), tick(reach, 'end'));
}
