// @ts-check
/** What a chaos experiment and its runs are, in the words of `pointsman chaos`. */

import { h } from './dom.js';
import { percent } from './format.js';

/**
 * The runs that the state tells of.
 *
 * @param {any} state
 * @returns {any[]}
 */
export function runsOf(state) {
  return Object.values(state?.chaos ?? {});
}

/** Those that are not over. @param {any} state */
export function underWay(state) {
  return runsOf(state).filter((run) => run.state !== 'ended');
}

/** @type {Record<string, string>} */
const ENDINGS = { held: 'held', broken: 'broken', not_enough_data: 'not enough data' };

/** @type {Record<string, string>} */
const ENDED_BY = {
  time: 'its time',
  verdict: 'the verdict',
  failed_requests: 'the number of failed requests',
  budget: 'the error budget',
  webhook: 'its webhook',
  steady: 'the steady state, which was left',
  operator: 'an operator',
  restart: 'a restart of the proxy',
  config: 'a change of the config file',
  command: 'its command, which failed',
};

/** @param {any} run */
export function stateBadge(run) {
  if (run.state === 'injecting') return h('span', { class: 'badge bad' }, 'injecting');
  if (run.state !== 'ended') return h('span', { class: 'badge accent' }, run.state);
  const kind = run.ending === 'held' ? 'good' : run.ending === 'broken' ? 'bad' : 'warn';
  return h('span', { class: `badge ${kind}` }, ENDINGS[run.ending] ?? run.ending ?? 'ended');
}

/** @param {string} word */
export function endedBy(word) {
  return ENDED_BY[word] ?? word;
}

/**
 * `pay v1, zone b, 2 % of its users`
 *
 * @param {any} run
 */
export function target(run) {
  const { service = run.service, version, endpoint, zone, segment, share } = run.target ?? {};
  const parts = [version ? `${service} ${version}` : service, endpoint && `endpoint ${endpoint}`, zone && `zone ${zone}`,
    segment && `segment ${segment}`, typeof share === 'number' && `${percent(share)} of its users`];
  return parts.filter(Boolean).join(', ');
}

/**
 * `latency fixed 300ms jitter 100ms`, `reset`
 *
 * @param {any} injected
 */
export function fault(injected) {
  if (typeof injected === 'string') return injected;
  const [first] = Object.entries(injected ?? {});
  if (!first) return '';
  const [kind, how] = first;
  return how === true || how === null ? kind : `${kind} ${words(how, ' ')}`.trim();
}

/**
 * A table of the config in a line: `errors ratio_max 1.5, latency slower_max 1.2`.
 *
 * @param {any} value
 * @param {string} [between]
 * @returns {string}
 */
export function words(value, between = ', ') {
  if (value === null || value === undefined) return '';
  if (Array.isArray(value)) return value.map((one) => words(one)).join(' ');
  if (typeof value !== 'object') return String(value);
  const entries = Object.entries(value).filter(([, one]) => one !== null && one !== false);
  return entries.map(([key, one]) => (one === true ? key : `${key} ${words(one)}`)).join(between);
}

/**
 * What is expected of those with the fault, against those without it.
 *
 * @param {any} hypothesis
 */
export function expected(hypothesis) {
  const { errors, latency, ...rest } = hypothesis ?? {};
  const parts = [];
  if (errors) parts.push(`they fail ${atMost(errors.ratio_max, 'often')}${errors.increase_max ? ` and ${percent(errors.increase_max)} more` : ''}`);
  if (latency) parts.push(`they wait ${atMost(latency.slower_max, 'long')}`);
  const others = words(rest);
  return [...parts, others].filter(Boolean).join(', ');
}

/**
 * @param {number | undefined} ratio
 * @param {string} asWhat
 */
function atMost(ratio, asWhat) {
  return ratio !== undefined && ratio > 1 ? `at most ${ratio} times as ${asWhat}` : `at most as ${asWhat}`;
}

/**
 * What ends it before its time.
 *
 * @param {any} stop
 */
export function stopsWhen(stop) {
  const { failed_requests: failed, budget_left_below: left, webhook, steady, ...rest } = stop ?? {};
  const parts = [typeof failed === 'number' && `${failed} requests have failed`, typeof left === 'number' && `less than ${percent(left)} of the error budget is left`,
    webhook && 'its webhook says so', steady && 'the service is not steady', words(rest)];
  return parts.filter(Boolean).join(', or ');
}
