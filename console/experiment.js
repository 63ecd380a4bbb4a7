// @ts-check
/** What an experiment is, in the words of `pointsman experiment`. */

import { h } from './dom.js';
import { to } from './rooms.js';

/** @param {any} experiment */
export function stateBadge(experiment) {
  if (experiment.state === 'running') return h('span', { class: 'badge good' }, `running since revision ${experiment.since}`);
  return h('span', { class: 'badge' }, experiment.state === 'ended' ? 'ended' : 'never started');
}

/**
 * `v2 with v1 of the service cart`
 *
 * @param {any} experiment
 */
export function compares(experiment) {
  const { service, flag, control, treatment } = experiment;
  const place = service ? to('service', service) : to('flag', flag);
  return h('span', {}, `${treatment} with ${control} of the ${service ? 'service' : 'flag'} `, h('a', { href: place }, service ?? flag));
}

/**
 * Three digits: `0.00464`, `-12.3`, `7,589`.
 *
 * @param {number} value
 */
export function significant(value) {
  if (value === 0 || !Number.isFinite(value)) return value === 0 ? '0' : '–';
  const decimals = Math.min(12, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value)))));
  return new Intl.NumberFormat('en', { maximumFractionDigits: decimals }).format(value);
}

/**
 * How surprising something would be by chance: below one in ten thousand, how far does not matter.
 *
 * @param {number} p
 */
export function chance(p) {
  return p < 0.0001 ? '< 0.0001' : significant(p);
}

/**
 * The same of a part, in per cent, with its sign: `+3.41 %`.
 *
 * @param {number} ratio
 */
export function change(ratio) {
  return `${ratio > 0 ? '+' : ''}${significant(ratio * 100)}\u00a0%`;
}
