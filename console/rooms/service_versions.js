// @ts-check
/** The versions of a service, each with its last quarter of an hour and its endpoints. */

import { act } from '../action.js';
import { describe } from '../change.js';
import { sparkline } from '../chart.js';
import { command } from '../command.js';
import { h, keyed, setAttribute, setText } from '../dom.js';
import { tones } from '../facts.js';
import { count, milliseconds, percent, rate, share } from '../format.js';
import { canAct } from '../live.js';
import { isApart } from './service_words.js';

/**
 * @typedef {Record<string, Record<string, (number | null)[]>>} Curves by version and list, as `GET …/history` has them
 *
 * @typedef {object} Shown a version, and what stands beside it
 * @property {string} service
 * @property {any} version
 * @property {number} tone
 * @property {Record<string, (number | null)[]> | undefined} curves
 * @property {Record<string, number>} tops the largest value of each list, of all versions
 *
 * @typedef {object} Measure
 * @property {string} list
 * @property {string} name
 * @property {string} words for those who do not see the curve
 * @property {(value: number) => string} write
 * @property {(recent: any) => number | null | undefined} now
 */

/** @type {Measure[]} */
export const MEASURES = [
  {
    list: 'requests_per_second',
    name: 'Requests',
    words: 'requests a second',
    write: rate,
    now: (recent) => recent.requests_per_second,
  },
  {
    list: 'error_ratio',
    name: 'Errors',
    words: 'share of errors',
    write: share,
    now: (recent) => (recent.requests > 0 ? recent.error_ratio : null),
  },
  { list: 'p50_ms', name: 'p50', words: 'median latency', write: milliseconds, now: (recent) => recent.p50_ms },
  { list: 'p99_ms', name: 'p99', words: 'latency that 99 of 100 stay below', write: milliseconds, now: (recent) => recent.p99_ms },
  { list: 'weight', name: 'Weight', words: 'weight', write: percent, now: () => null },
];

/** The states of endpoints that are as they should be, or as an operator wants them. */
const STATE_CLASS = /** @type {Record<string, string>} */ ({ ready: 'good', drained: 'warn', untried: 'warn' });

export class VersionCards {
  element = h('div', { class: 'versions' });
  /** @type {WeakMap<Element, VersionCard>} */
  #cards = new WeakMap();

  /**
   * @param {any} service
   * @param {any[]} versions in their order
   * @param {Curves | null} curves none: not known yet
   */
  refresh(service, versions, curves) {
    const tops = Object.fromEntries(MEASURES.map(({ list }) => [list, topOf(list, versions, curves)]));
    const tone = tones(service);
    const shown = versions.map((version) =>
      ({ service: service.name, version, tone: tone.get(version.name) ?? 3, curves: curves?.[version.name], tops }));
    keyed(this.element, shown, (one) => one.version.name, (one) => {
      const card = new VersionCard(one);
      this.#cards.set(card.element, card);
      return card.element;
    }, (element, one) => this.#cards.get(element)?.refresh(one));
  }
}

/**
 * The largest value of a list, of all versions: curves that are compared have one scale.
 *
 * @param {string} list
 * @param {any[]} versions
 * @param {Curves | null} curves
 */
function topOf(list, versions, curves) {
  if (list === 'weight') return 100;
  const values = versions.flatMap((version) => curves?.[version.name]?.[list] ?? []);
  return values.reduce((/** @type {number} */ top, value) => Math.max(top, value ?? 0), list === 'error_ratio' ? 0.01 : 0);
}

class VersionCard {
  #swatch = h('span', { 'aria-hidden': 'true' });
  #weight = h('span', { class: 'weight number' });
  #badges = h('span', { class: 'row badges' });
  #effective = h('span', { class: 'effective warning number' });
  #quiet = h('p', { class: 'dim' }, 'No requests in the last 15 minutes.');
  #totals = h('p', { class: 'dim number' });
  #endpoints = h('ul', { class: 'plain endpoints' });
  #curves;

  /** @param {Shown} shown */
  constructor({ version }) {
    const title = h('h2', {}, this.#swatch, version.name);
    this.#curves = MEASURES.map((measure) => {
      const curve = sparkline({ values: [], label: '', class: 'base' });
      const now = h('span', { class: 'now number' });
      const row = h('div', { class: 'curve' }, h('span', { class: 'dim' }, measure.name), curve.element, now);
      return { measure, curve, now, row };
    });
    this.element = h('section', { class: 'card version', 'aria-label': `Version ${version.name}` },
      h('div', { class: 'head' }, title, this.#weight, this.#badges, this.#effective), this.#quiet,
      this.#curves.map(({ row }) => row), this.#totals, h('h3', {}, 'Endpoints'), this.#endpoints);
  }

  /** @param {Shown} shown */
  refresh(shown) {
    const { version, curves, tops } = shown;
    const apart = isApart(version);
    setAttribute(this.#swatch, 'class', `swatch tone-${shown.tone}`);
    setText(this.#weight, percent(version.weight));
    this.#effective.hidden = !apart;
    setText(this.#effective, apart ? `in effect ${percent(version.effective_weight)}` : '');
    const known = curves?.requests_per_second?.some((value) => value !== null) ?? false;
    const quiet = curves !== undefined && !known && !(version.recent.requests > 0);
    this.#quiet.hidden = !quiet;
    for (const { measure, curve, now, row } of this.#curves) {
      row.hidden = quiet;
      const values = curves?.[measure.list] ?? [];
      const current = measure.list === 'weight' ? version.weight : measure.now(version.recent);
      const written = current === null || current === undefined ? '–' : measure.write(current);
      setText(now, written);
      now.classList.toggle('problem', measure.list === 'error_ratio' && (current ?? 0) >= 0.01);
      const top = tops[measure.list];
      curve.update({ values, max: top, label: inWords(version.name, measure, values, written), class: shown.tone === 0 ? 'base' : 'accent' });
    }
    setText(this.#totals, totals(version));
    this.#endpointsOf(shown);
  }

  /** @param {Shown} shown */
  #endpointsOf({ service, version }) {
    const endpoints = sorted(version.endpoints ?? {});
    const usable = endpoints.filter((endpoint) => endpoint.state === 'ready' || endpoint.state === 'untried').length;
    const all = endpoints.length;
    const words = usable === all ? '' : `${usable} of ${all} take requests`;
    keyed(this.#badges, words ? [words] : [], (text) => text, (text) =>
      h('span', { class: `badge ${usable === 0 ? 'bad' : 'warn'}` }, text));
    keyed(this.#endpoints, [...endpoints, ...namesOf(endpoints)], (endpoint) => endpoint.address, (endpoint) => endpointRow(service, version.name, endpoint), updateEndpoint);
  }
}

/**
 * @param {string} version
 * @param {Measure} measure
 * @param {(number | null)[]} values
 * @param {string} now
 */
function inWords(version, measure, values, now) {
  const seen = values.filter((value) => value !== null);
  const subject = `${version}, ${measure.words}, last 15 minutes`;
  if (seen.length === 0) return `${subject}: nothing to see.`;
  const [low, high] = seen.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, 0]);
  return `${subject}: now ${now}, between ${measure.write(low)} and ${measure.write(high)}.`;
}

/** @param {any} version */
function totals(version) {
  const parts = [`${count(version.requests)} requests since the start`];
  if (version.in_flight > 0) parts.push(`${count(version.in_flight)} in flight`);
  if (version.long_connections > 0) parts.push(`${count(version.long_connections)} long connections`);
  if (version.passed_on > 0) parts.push(`${count(version.passed_on)} passed on to other versions`);
  return parts.join(' · ');
}

/** @param {Record<string, any>} endpoints */
function sorted(endpoints) {
  return Object.values(endpoints).sort((a, b) => a.address.localeCompare(b.address, 'en', { numeric: true }));
}

/**
 * The names that stand for endpoints, each as one that can be drained as a whole.
 *
 * @param {any[]} endpoints
 */
function namesOf(endpoints) {
  const names = new Set(endpoints.filter(({ name, address }) => name && name !== address).map(({ name }) => name));
  return [...names].map((address) => {
    const all = endpoints.filter(({ name }) => name === address);
    const drained = all.every((endpoint) => isDrainedWith(endpoint, address));
    return { address, addresses: all.length, state: drained ? 'drained' : 'ready' };
  });
}

/**
 * What is drained with its name comes back with it only.
 *
 * @param {any} endpoint
 * @param {string} name
 */
function isDrainedWith(endpoint, name) {
  return endpoint.state === 'drained' && String(endpoint.reason ?? '').startsWith(`with ${name}`);
}

/** What is shown of an endpoint, for its button. @type {WeakMap<Element, { service: string, version: string, endpoint: any }>} */
const ROWS = new WeakMap();

/**
 * @param {string} service
 * @param {string} version
 * @param {any} endpoint
 */
function endpointRow(service, version, endpoint) {
  const button = h('button', { type: 'button', onclick: () => void change(row) });
  const row = h('li', {}, h('div', { class: 'where' }, h('code', { class: 'address' }), h('span', { class: 'badge' })),
    h('span', { class: 'dim number load' }), button, h('span', { class: 'reason dim' }));
  ROWS.set(row, { service, version, endpoint });
  return row;
}

/**
 * @param {HTMLLIElement} row
 * @param {any} endpoint
 */
function updateEndpoint(row, endpoint) {
  const known = ROWS.get(row);
  if (known) known.endpoint = endpoint;
  const [address, badge, load, button, reason] = ['.address', '.badge', '.load', 'button', '.reason'].map((what) => row.querySelector(what));
  if (!address || !badge || !load || !button || !reason) return;
  const named = endpoint.name && endpoint.name !== endpoint.address ? `${endpoint.address} (${endpoint.name})` : endpoint.address;
  setText(address, named);
  const whole = endpoint.addresses !== undefined;
  setText(badge, endpoint.state);
  setAttribute(badge, 'class', `badge ${STATE_CLASS[endpoint.state] ?? 'bad'}`);
  /** @type {HTMLElement} */ (badge).hidden = whole && endpoint.state === 'ready';
  setText(load, whole ? `the name of ${endpoint.addresses === 1 ? 'this address' : `these ${endpoint.addresses} addresses`}` : loadOf(endpoint));
  setText(reason, endpoint.reason ?? '');
  /** @type {HTMLElement} */ (reason).hidden = !endpoint.reason;
  const drained = endpoint.state === 'drained';
  setText(button, drained ? 'Make ready' : 'Drain');
  setAttribute(button, 'aria-label', `${drained ? 'Make ready' : 'Drain'} ${endpoint.address}`);
  // What is drained with its name comes back with it only.
  /** @type {HTMLElement} */ (button).hidden = !canAct() || (!whole && isDrainedWith(endpoint, endpoint.name));
}

/** @param {any} endpoint */
function loadOf({ in_flight: flying, connections }) {
  return `${count(flying)} in flight, ${count(connections)} open connection${connections === 1 ? '' : 's'}`;
}

/** @param {Element} row */
async function change(row) {
  const known = ROWS.get(row);
  if (!known) return;
  const { service, version, endpoint } = known;
  const drain = endpoint.state !== 'drained';
  const { address } = endpoint;
  await act({
    title: drain ? `Drain ${address} of ${service} ${version}` : `Make ${address} of ${service} ${version} ready`,
    does: drain ? 'Drain' : 'Make ready',
    method: 'PUT',
    path: `v1/services/${encodeURIComponent(service)}/versions/${encodeURIComponent(version)}/endpoints/${encodeURIComponent(address)}`,
    body: (reason) => ({ state: drain ? 'drain' : 'ready', ...(reason && { reason }) }),
    command: (reason) => command(drain ? 'drain' : 'ready', service, version, address, { reason }),
    describe: (answer) => {
      const what = drain ? 'It gets no new requests; those that it has may end.' : 'It gets requests again.';
      return h('div', {}, h('p', {}, what), describe(answer));
    },
  });
}
