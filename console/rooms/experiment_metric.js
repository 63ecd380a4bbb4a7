// @ts-check
/** What a metric of an experiment says: its sentence, its arms, and the difference with its intervals. */

import { h } from '../dom.js';
import { chance, change, significant } from '../experiment.js';
import { count } from '../format.js';
import { intervalPlot, reachOf } from '../interval_plot.js';

/** @type {Record<string, string>} */
const KINDS = {
  conversion: 'users who did it',
  mean: 'a value of each user',
  adjusted_mean: 'a value of each user, adjusted by what was known before',
  ratio: 'a value by another',
};

/** @type {Record<string, [string, string]>} */
const FINDINGS = {
  too_early: ['too early', ''],
  open: ['not decided', ''],
  treatment_better: ['better', 'good'],
  treatment_worse: ['worse', 'bad'],
};

/**
 * A card for each metric, with plots of one scale, so that they can be compared.
 *
 * @param {any} result
 * @returns {HTMLElement[]}
 */
export function metricCards(result) {
  const effects = result.metrics.flatMap((/** @type {any} */ metric) => (metric.relative ? [plotted(metric.relative)] : []));
  const reach = effects.length > 0 ? reachOf(effects) : 1;
  return result.metrics.map((/** @type {any} */ metric) => card(metric, result, reach));
}

/**
 * @param {any} metric
 * @param {any} result
 * @param {number} reach of relative differences
 */
function card(metric, result, reach) {
  const [word, found] = FINDINGS[metric.finding] ?? [metric.finding, ''];
  const tone = result.comparable ? found : '';
  const head = h('div', { class: 'row' }, h('h2', {}, metric.name), metric.guardrail && h('span', { class: 'badge' }, 'guardrail'),
    h('span', { class: `badge ${tone}` }, word), h('span', { class: 'dim' }, `${KINDS[metric.kind] ?? metric.kind}, ${metric.better} is better`));
  return h('section', { class: 'card metric', 'aria-label': metric.name }, head, h('p', { class: 'sentence' }, metric.sentence),
    h('div', { class: 'evidence' }, drawn(metric, result, reach), h('div', { class: 'scroll' }, tables(metric, result), exact(metric, result))));
}

/**
 * @param {any} metric
 * @param {any} result
 * @param {number} reach
 */
function drawn(metric, result, reach) {
  const effect = metric.relative ?? metric.absolute;
  if (!effect) return null;
  const own = plotted(effect);
  const write = metric.relative ? change : significant;
  const always = effect.whenever_you_look;
  const told = always
    ? `${range(always, write)}, whenever you look`
    : 'held back whenever you look, for there are too few users yet';
  const label = `${metric.name}: difference ${write(effect.estimate)}; ${told}; looking once ${range(effect.looking_once, write)}`;
  const scale = metric.relative ? reach : reachOf([own]);
  const of = metric.relative ? `In per cent of ${result.control.name}. ` : '';
  const legend = always
    ? `The line holds whenever you look (${significant(result.confidence * 100)} %), the thick part for one look at a planned size.`
    : 'The dashed line is for one look at a planned size; what holds whenever you look is held back, for there are too few users yet.';
  return h('figure', {}, intervalPlot(own, { reach: scale, write, better: metric.better, label }), h('figcaption', { class: 'dim' }, of + legend));
}

/**
 * @param {any} metric
 * @param {any} result
 */
function tables(metric, result) {
  const conversion = metric.kind === 'conversion';
  const row = (/** @type {string} */ name, /** @type {string[]} */ ...cells) =>
    h('tr', {}, h('th', { scope: 'row' }, name), cells.map((cell, index) => h('td', { class: index === 3 ? 'p-once' : null }, cell)));
  const arm = (/** @type {string} */ name, /** @type {any} */ sums) =>
    row(name, count(sums.users), significant(sums.sum), typeof sums.estimate === 'number' ? value(metric, sums.estimate) : '–');
  const effect = (/** @type {string} */ name, /** @type {any} */ told, /** @type {(value: number) => string} */ write) => told
    && row(name, write(told.estimate), told.whenever_you_look ? range(told.whenever_you_look, write) : 'held back',
      range(told.looking_once, write), chance(told.looking_once.p));
  const heads = (/** @type {string[]} */ ...names) => h('thead', {}, h('tr', {}, h('td', {}),
    names.map((name, index) => h('th', { scope: 'col', class: index === 3 ? 'p-once' : null }, name))));
  return h('div', { class: 'tables' },
    h('table', {}, heads('Users', conversion ? 'Did it' : 'Sum', conversion ? 'Share' : 'Value'),
      h('tbody', {}, arm(result.control.name, metric.control), arm(result.treatment.name, metric.treatment))),
    metric.absolute && h('table', {}, heads('Estimate', 'Whenever you look', 'Looking once', 'p once'), h('tbody', {},
      effect(conversion ? 'In points' : 'Difference', metric.absolute, conversion ? points : significant),
      effect('In per cent', metric.relative, change))));
}

/**
 * @param {any} metric
 * @param {any} result
 */
function exact(metric, result) {
  const ratio = metric.exact_ratio;
  if (!ratio) return null;
  const high = typeof ratio.high === 'number' ? significant(ratio.high) : 'any number';
  return h('p', { class: 'dim' }, `Exactly: ${significant(ratio.low)} to ${high} times as often as in ${result.control.name}, whenever you look.`);
}

/**
 * @param {any} effect
 * @returns {import('../interval_plot.js').Plotted}
 */
function plotted(effect) {
  return { estimate: effect.estimate, always: effect.whenever_you_look, once: effect.looking_once };
}

/** @param {any} metric @param {number} estimate */
function value(metric, estimate) {
  return metric.kind === 'conversion' ? `${significant(estimate * 100)} %` : significant(estimate);
}

/** A difference of shares, in points. @param {number} difference */
function points(difference) {
  return `${difference > 0 ? '+' : ''}${significant(difference * 100)}`;
}

/** @param {{ low: number, high: number }} interval @param {(value: number) => string} write */
function range({ low, high }, write) {
  return `${write(low).replace(/\s%$/, '')} to ${write(high)}`;
}
