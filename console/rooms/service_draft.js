// @ts-check
/**
 * The split that a person is about to ask for. Weights are counted in thousandths of a per cent, so that they are 100
 * together whatever is drawn: what one version gets, the others give in proportion.
 *
 * @typedef {Map<string, number>} Weights by version, in thousandths of a per cent
 */

export const WHOLE = 100_000;

/**
 * @param {number} percent
 */
export function thousandths(percent) {
  return Math.round(percent * 1_000);
}

/**
 * The same weights, but for one that is as wanted, and the others, which keep their proportions. Where they have
 * nothing, the first of them gets what is left.
 *
 * @param {Weights} weights
 * @param {string} version
 * @param {number} wanted
 * @returns {Weights}
 */
export function withWeight(weights, version, wanted) {
  const own = Math.min(WHOLE, Math.max(0, Math.round(wanted)));
  const others = [...weights].filter(([name]) => name !== version);
  if (others.length === 0) return new Map([[version, WHOLE]]);
  const had = others.reduce((sum, [, weight]) => sum + weight, 0);
  const left = WHOLE - own;
  const exact = others.map(([name, weight], index) => ({ name, share: had > 0 ? (weight / had) * left : index === 0 ? left : 0 }));
  const next = new Map(exact.map(({ name, share }) => [name, Math.floor(share)]));
  let missing = left - [...next.values()].reduce((sum, weight) => sum + weight, 0);
  for (const { name } of [...exact].sort((a, b) => (b.share % 1) - (a.share % 1))) {
    if (missing-- <= 0) break;
    next.set(name, (next.get(name) ?? 0) + 1);
  }
  return new Map([...weights.keys()].map((name) => [name, name === version ? own : next.get(name) ?? 0]));
}

/**
 * The weights as a call has them, in per cent.
 *
 * @param {Weights} weights
 * @returns {Record<string, number>}
 */
export function inPercent(weights) {
  return Object.fromEntries([...weights].map(([name, weight]) => [name, weight / 1_000]));
}

/**
 * @param {Weights} one
 * @param {Weights} other
 */
export function isSame(one, other) {
  return one.size === other.size && [...one].every(([name, weight]) => other.get(name) === weight);
}
