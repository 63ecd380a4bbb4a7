// @ts-check
/** What a flag is and does, in the words of `pointsman flag`. */

import { h } from './dom.js';
import { percent } from './format.js';

/**
 * The weights of a rule, the default first: it is what the others are compared with.
 *
 * @param {Record<string, number>} serve
 * @param {string | undefined} standard the default variant
 * @returns {{ name: string, share: number }[]}
 */
export function weightsOf(serve, standard) {
  const weights = Object.entries(serve).map(([name, share]) => ({ name, share }));
  return weights.sort((a, b) => Number(b.name === standard) - Number(a.name === standard));
}

/**
 * `off 90 %, on 10 %`; what gets nothing is left out.
 *
 * @param {{ name: string, share: number }[]} weights
 */
export function servedWords(weights) {
  return weights.filter(({ share }) => share > 0).map(({ name, share }) => `${name} ${percent(share)}`).join(', ');
}

/** @param {Record<string, number>} a @param {Record<string, number>} b */
export function sameWeights(a, b) {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((name) => (a[name] ?? 0) === (b[name] ?? 0));
}

/**
 * What all users have who are not drawn.
 *
 * @param {any} flag
 */
export function standardOf(flag) {
  return flag.imported || typeof flag.default !== 'string' ? 'the default of the code' : flag.default;
}

/**
 * In a line, what it gives to whom.
 *
 * @param {any} flag
 */
export function summary(flag) {
  if (!flag.enabled) return `${standardOf(flag)} to all`;
  if (flag.follows) return `follows ${followed(flag)}`;
  const rules = flag.rules ?? [];
  const last = rules.at(-1);
  if (!last) return flag.imported ? 'by the rule of its file' : `${standardOf(flag)} to all, no rules`;
  const before = rules.length - 1;
  const more = before === 0 ? '' : before === 1 ? ', 1 rule before' : `, ${before} rules before`;
  return `${last.name}: ${servedWords(weightsOf(last.serve, flag.default))}${more}`;
}

/** @param {any} flag */
export function followed(flag) {
  return flag.follows.service ?? `the flag ${flag.follows.flag}`;
}

/**
 * What an eye should meet first: whether it is enabled, whether it is as the file says, and who moves it.
 *
 * @param {any} flag
 * @param {any} state
 */
export function badges(flag, state) {
  const rollout = rolloutOf(flag.name, state);
  const experiment = runningOn(flag.name, state);
  return [
    flag.enabled ? h('span', { class: 'badge good' }, 'enabled') : h('span', { class: 'badge warn' }, 'disabled'),
    flag.differs_from_file && h('span', { class: 'badge warn' }, 'differs from the config file'),
    rollout && h('span', { class: 'badge accent' }, 'is being rolled out'),
    experiment && h('span', { class: 'badge accent' }, 'in an experiment'),
  ];
}

/** The same as a word that changes when the badges do. @param {any} flag @param {any} state */
export function badgeKey(flag, state) {
  return [flag.enabled, flag.differs_from_file, Boolean(rolloutOf(flag.name, state)), Boolean(runningOn(flag.name, state))].join();
}

/**
 * The rollout that moves a flag now.
 *
 * @param {string} name
 * @param {any} state
 */
export function rolloutOf(name, state) {
  return Object.values(state?.rollouts ?? {}).find((/** @type {any} */ rollout) => rollout.phase !== 'finished'
    && [rollout, ...(rollout.flags ?? [])].some((one) => one.flag === name));
}

/**
 * The experiment that runs on a flag.
 *
 * @param {string} name
 * @param {any} state
 */
export function runningOn(name, state) {
  return Object.values(state?.experiments ?? {}).find((/** @type {any} */ one) => one.flag === name && one.state === 'running');
}
