// @ts-check
/** What the page of a service says in several places. */

import { percent } from '../format.js';

/**
 * Whether a version gets something else than its weight.
 *
 * @param {any} version
 */
export function isApart(version) {
  return Math.abs(version.weight - version.effective_weight) >= 0.0005;
}

/**
 * How many users move.
 *
 * @param {any} answer
 */
export function sentence(answer) {
  const moves = (answer.difference ?? []).filter((/** @type {any} */ one) => changed(one).length > 0);
  if (answer.changed === false) return 'nothing would change.';
  return moves.map((/** @type {any} */ { moved_ratio: ratio, minimum_ratio: minimum, new_salt: drawn }) => {
    const anew = drawn ? ' Users are drawn anew.' : '';
    return `${percent(ratio * 100)} of users move, ${percent(minimum * 100)} is the minimum.${anew}`;
  }).join(' ');
}

/**
 * The weights that change.
 *
 * @param {any} difference
 * @returns {any[]}
 */
function changed(difference) {
  return difference.weights.filter((/** @type {any} */ one) => one.from !== one.to);
}
