// @ts-check
/** What a change does, in words and small bars: of a dry run, and of a revision of the history. */

import { h } from './dom.js';
import { percent } from './format.js';
import { to } from './rooms.js';

/** At most as many services, flags and experiments are shown at once; a reload of the file can be about thousands. */
const SHOWN = 8;

/**
 * The weight of a version or variant, in per cent; none before: it is new, none after: it is gone.
 *
 * @typedef {{ name: string, from?: number | null, to?: number | null }} Weight
 *
 * @typedef {object} Item
 * @property {string} kind empty of a service
 * @property {string} name
 * @property {string} place its room
 * @property {string} [part] of a flag: the rule
 * @property {Weight[]} weights the first one is what all others are compared with
 * @property {string[]} words
 */

/**
 * What `act` shows of a dry run.
 *
 * @param {any} answer
 * @returns {HTMLElement}
 */
export function describe(answer) {
  const restored = typeof answer.restores === 'number' ? h('p', {}, restoredWords(answer)) : null;
  return h('div', { class: 'change' }, restored, listOf(itemsOf(answer), false));
}

/**
 * One line for each service, flag and experiment that a revision is about, with links to them.
 *
 * @param {any} revision
 * @param {string} [first] what is about this one comes first
 * @returns {HTMLElement}
 */
export function differences(revision, first) {
  const items = itemsOf(revision);
  if (first) items.sort((a, b) => Number(b.name === first) - Number(a.name === first));
  return listOf(items, true);
}

/**
 * @param {Item[]} items
 * @param {boolean} linked
 */
function listOf(items, linked) {
  const lines = (/** @type {Item[]} */ some) => some.map((item) => line(item, linked));
  const list = h('ul', { class: 'differences' }, lines(items.slice(0, SHOWN)));
  const rest = items.slice(SHOWN);
  if (rest.length === 0) return list;
  const more = h('ul', { class: 'differences' });
  const details = h('details', {}, h('summary', {}, `and ${rest.length} more`), more);
  details.addEventListener('toggle', () => more.append(...lines(rest)), { once: true });
  return h('div', {}, list, details);
}

/**
 * The names that a change is about.
 *
 * @param {any} change
 * @returns {string[]}
 */
export function subjects(change) {
  return itemsOf(change).map((item) => item.name);
}

/**
 * All of it as text, to be searched.
 *
 * @param {any} change
 */
export function inWords(change) {
  return itemsOf(change).map((item) => [item.kind, item.name, item.part, weightWords(item.weights), ...item.words].join(' ')).join('\n');
}

/**
 * Two small bars, before above after; one where nothing was before.
 *
 * @param {Weight[]} weights
 */
export function bars(weights) {
  const before = weights.some((weight) => typeof weight.from === 'number');
  const after = weights.some((weight) => typeof weight.to === 'number');
  const label = weightWords(weights);
  return h('span', { class: 'bars', role: 'img', 'aria-label': label, title: label },
    before ? bar(weights.map((weight) => weight.from ?? 0)) : null, after ? bar(weights.map((weight) => weight.to ?? 0)) : null);
}

/**
 * A bar of one state.
 *
 * @param {number[]} shares
 */
export function bar(shares) {
  return h('span', { class: 'bar' }, shares.map((share, index) => {
    const part = h('span', { class: `part-${Math.min(index, 4)}`, hidden: share === 0 });
    part.style.flexGrow = String(share);
    return part;
  }));
}

/**
 * `v1 90 → 80 %, v2 10 → 20 %`
 *
 * @param {Weight[]} weights
 */
export function weightWords(weights) {
  return weights.map(({ name, from, to: after }) => {
    if (typeof after !== 'number') return `${name} ${percent(from ?? 0)} → no rule`;
    if (typeof from !== 'number' || from === after) return `${name} ${percent(after)}`;
    return `${name} ${percent(from).replace(' %', '')} → ${percent(after)}`;
  }).join(', ');
}

/**
 * `12.5 % of users move, 12.5 % is the minimum`; without the minimum where it is not known.
 *
 * @param {number | null | undefined} ratio
 * @param {number | null | undefined} minimum
 * @param {string} [whose]
 * @param {string} [where]
 */
export function moved(ratio, minimum, whose = 'users', where = '') {
  if (!ratio) return [];
  const least = typeof minimum === 'number' ? `, ${percent(minimum * 100)} is the minimum` : '';
  return [`${percent(ratio * 100)} of ${whose} move${where}${least}`];
}

/**
 * The least that a change must move: of a dry run it is always of interest, of one that was made only if it was not kept.
 *
 * @param {any} difference
 * @param {boolean} always
 */
function leastOf(difference, always) {
  return always || difference.moved_ratio - difference.minimum_ratio > 0.000005 ? difference.minimum_ratio : undefined;
}

/**
 * @param {Item} item
 * @param {boolean} linked
 */
function line(item, linked) {
  const name = h('span', { class: 'subject' }, item.kind ? h('span', { class: 'dim' }, `${item.kind} `) : null,
    linked ? h('a', { href: item.place }, item.name) : h('b', {}, item.name), item.part ? h('span', { class: 'dim' }, ` rule ${item.part}`) : null);
  const weights = item.weights.map((weight) => h('span', { class: 'weight' }, weightWords([weight])));
  const words = item.words.map((text, index) => h('span', { class: weights.length + index > 0 ? 'dim' : '' }, text));
  return h('li', {}, name, item.weights.length > 1 ? bars(item.weights) : h('span', { class: 'bars' }), h('span', { class: 'words' }, weights, words));
}

/**
 * @param {any} change
 * @returns {Item[]}
 */
function itemsOf(change) {
  const dry = change.dry_run === true;
  return [
    ...(change.difference ?? []).map((/** @type {any} */ one) => ofService(one, dry)),
    ...(change.flags ?? []).flatMap((/** @type {any} */ one) => ofFlag(one, dry)),
    ...(change.experiments ?? []).map(ofExperiment),
  ];
}

/**
 * @param {any} difference
 * @param {boolean} dry
 * @returns {Item}
 */
function ofService(difference, dry) {
  /** @type {Weight[]} */
  const weights = difference.weights.map((/** @type {any} */ one) => ({ name: one.version, from: one.from, to: one.to }));
  const endpoints = (difference.endpoints ?? []).map((/** @type {any} */ one) => `${one.version} ${one.address} ${one.state}`);
  const news = weights.every((weight) => typeof weight.from !== 'number');
  return {
    kind: '',
    name: difference.service,
    place: to('service', difference.service),
    weights: endpoints.length > 0 && !different(weights) ? [] : weights,
    words: [
      ...moved(difference.moved_ratio, leastOf(difference, dry)),
      ...(difference.new_salt && !news ? ['users are drawn anew'] : []),
      ...endpoints,
    ],
  };
}

/**
 * @param {any} difference
 * @param {boolean} dry
 * @returns {Item[]}
 */
function ofFlag(difference, dry) {
  const common = { kind: 'flag', name: difference.flag, place: to('flag', difference.flag) };
  const all = typeof difference.default === 'string' ? difference.default : 'the default of the code';
  const { was_enabled: was, enabled: is } = difference;
  const state = typeof was !== 'boolean'
    ? (is ? 'new' : 'new, disabled')
    : was === is ? '' : is ? 'enabled: its rules decide' : `disabled: all users have ${all}`;
  const where = is ? '' : ` to ${all}`;
  const followers = moved(difference.followers_moved_ratio, undefined, 'users', where);
  /** @type {Item[]} */
  const rules = (difference.rules ?? []).map((/** @type {any} */ rule) => {
    /** @type {Weight[]} */
    const weights = rule.weights.map((/** @type {any} */ one) => ({ name: one.variant, from: one.from, to: one.to }));
    weights.sort((a, b) => Number(b.name === difference.default) - Number(a.name === difference.default));
    return { ...common, part: rule.rule, weights, words: moved(rule.moved_ratio, is ? leastOf(rule, dry) : undefined, 'its users', where) };
  });
  if (!state && followers.length === 0) return rules;
  return [{ ...common, weights: [], words: [state, ...followers].filter(Boolean) }, ...rules];
}

/** Why a run has ended, in words. @type {Record<string, string>} */
const ENDS = {
  stopped: 'stopped',
  shipped_control: 'ended, all users get the control',
  shipped_treatment: 'ended, all users get the treatment',
  redefined: 'ended, for the config says something else of what it compares',
  removed: 'ended, for the config does not have it any more',
  rolled_back: 'ended by the rollback',
};

/**
 * @param {any} difference
 * @returns {Item}
 */
function ofExperiment(difference) {
  const had = `${percent(difference.share_before)} of the users`;
  let what = `runs with ${percent(difference.share)} of the users`;
  if (!difference.running) what = `${ENDS[difference.end ?? 'rolled_back'] ?? 'ended'}; it had ${had}`;
  else if (difference.was_running) what = `${percent(difference.share_before).replace(' %', '')} → ${percent(difference.share)} of the users`;
  return {
    kind: 'experiment',
    name: difference.experiment,
    place: to('experiment', difference.experiment),
    weights: [],
    words: [what, ...moved(difference.moved_ratio, undefined, 'all users')],
  };
}

/** @param {Weight[]} weights */
function different(weights) {
  return weights.some((weight) => weight.from !== weight.to);
}

/**
 * `The splits and flags of revision 41 are restored.`
 *
 * @param {any} answer
 */
function restoredWords(answer) {
  const kinds = [['difference', 'splits'], ['flags', 'flags'], ['experiments', 'experiments']];
  const there = kinds.filter(([key]) => (answer[key ?? ''] ?? []).length > 0).map(([, kind]) => kind);
  const last = there.pop();
  const what = there.length > 0 ? `${there.join(', ')} and ${last}` : last ?? 'state';
  return `The ${what} of revision ${answer.restores} ${what === 'state' ? 'is' : 'are'} restored.`;
}
