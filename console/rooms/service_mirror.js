// @ts-check
/** The mirror of a service: copies of its requests at another version, and what differs in the responses. */

import { call } from '../api.js';
import { h, keyed, replace, setText } from '../dom.js';
import { count, milliseconds, percent, share, when } from '../format.js';
import { live } from '../live.js';

/** It is asked for as often as this while there is a mirror. */
const EVERY_MS = 5_000;

/** @type {Record<string, string>} */
const KINDS = { status: 'status', header: 'header', body: 'body', length: 'length', latency: 'slower' };

/** @type {Record<string, string>} */
const DROPS = { in_flight: 'too many in flight', bytes: 'body too large', method: 'other method', behind: 'behind' };

export class MirrorCard {
  #service = '';
  #asked = 0;
  #seen = false;
  #shown = '';
  #title = h('h2', {}, 'Mirror');
  #verdict = h('p');
  #counts = h('p', { class: 'dim number' });
  #places = h('tbody');
  #where = h('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'Where responses differ' }, h('table', {},
    h('thead', {}, h('tr', {}, ['What', 'Where', 'Pairs'].map((name) => h('th', { scope: 'col' }, name)))), this.#places));
  #last = h('tbody');
  #lately = h('details', {}, h('summary', {}, 'The last differences'), h('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'The last differences' }, h('table', {},
    h('thead', {}, h('tr', {}, ['At', 'Request', 'What', 'Where', 'The user got', 'The mirror said'].map((name) => h('th', { scope: 'col' }, name)))), this.#last)));
  element = h('section', { class: 'card stack mirror', 'aria-label': 'Mirror', hidden: true }, this.#title, this.#verdict, this.#counts, this.#where, this.#lately);

  /** @param {any} service */
  refresh(service) {
    if (service.name !== this.#service) {
      this.#service = service.name;
      this.#seen = false;
      this.#asked = 0;
    }
    const due = service.mirror ? Date.now() - this.#asked >= EVERY_MS : this.#asked === 0 || this.#seen;
    if (!due || document.hidden || live.connection !== 'live') return;
    this.#seen = Boolean(service.mirror);
    this.#asked = Date.now();
    void this.#read(service.name);
  }

  /** @param {string} service */
  async #read(service) {
    try {
      const mirror = await call('GET', `v1/services/${encodeURIComponent(service)}/mirror`);
      if (service === this.#service) this.#show(mirror);
    } catch {
      // What the card shows is not worth an alarm of its own: the frame tells of a lost connection.
      this.#asked = Date.now();
    }
  }

  /** @param {any} mirror */
  #show(mirror) {
    const nothing = !mirror?.share && !mirror?.pairs;
    this.element.hidden = nothing;
    const key = JSON.stringify(mirror);
    if (nothing || key === this.#shown) return;
    this.#shown = key;
    setText(this.#title, mirror.share ? `Mirror: copies of ${percent(mirror.share)} of the requests go to ${mirror.to}` : `Mirror to ${mirror.found_of ?? 'another version'}: off`);
    const { pairs, differing, candidate_failed_alone: worse, baseline_failed_alone: better } = mirror;
    this.#verdict.className = worse > better ? 'warning' : '';
    setText(this.#verdict, pairs > 0
      ? `${count(differing)} of ${count(pairs)} pairs of responses differ (${share(differing / pairs)}); the mirror alone failed ${times(worse)}, the user’s version alone ${times(better)}.`
      : 'No pair of responses was compared yet.');
    setText(this.#counts, [...told(mirror.differences, KINDS, ''), ...told(mirror.dropped, DROPS, 'not copied: '), ...(mirror.bodies_not_compared > 0 ? [`bodies not compared: ${count(mirror.bodies_not_compared)}`] : [])].join(' · '));
    this.#counts.hidden = this.#counts.textContent === '';
    const places = mirror.places ?? [];
    this.#where.hidden = places.length === 0;
    keyed(this.#places, places, (one) => `${one.kind} ${one.place}`, () => h('tr', {}, h('td'), h('td', {}, h('code')), h('td', { class: 'number' })), (row, one) => {
      const [what, where, often] = row.children;
      if (!what || !where?.firstElementChild || !often) return;
      setText(what, KINDS[one.kind] ?? one.kind);
      setText(where.firstElementChild, one.place);
      setText(often, count(one.pairs));
    });
    const last = mirror.last ?? [];
    this.#lately.hidden = last.length === 0;
    replace(this.#last, last.map((/** @type {any} */ one) => h('tr', {}, h('td', { class: 'number' }, when(one.at)), h('td', {}, `${one.method} ${one.path}`),
      h('td', {}, KINDS[one.kind] ?? one.kind), h('td', {}, one.place ? h('code', {}, one.place) : ''), h('td', {}, value(one, one.user)), h('td', {}, value(one, one.mirror)))));
  }
}

/** @param {number} often */
function times(often) {
  return often === 1 ? 'once' : `${count(often)} times`;
}

/**
 * What there is of counters.
 *
 * @param {Record<string, number> | undefined} counts
 * @param {Record<string, string>} words
 * @param {string} before
 */
function told(counts, words, before) {
  return Object.entries(counts ?? {}).filter(([, number]) => number > 0).map(([kind, number]) => `${before}${words[kind] ?? kind} ${count(number)}`);
}

/**
 * A value is shown where samples are kept; else its hash says whether two are the same.
 *
 * @param {any} difference
 * @param {any} side
 */
function value(difference, side) {
  const sample = side?.sample;
  if (sample === null || sample === undefined) return side?.hash ? h('code', { class: 'dim', title: 'A hash of the value' }, side.hash) : '';
  const time = difference.kind === 'latency' && Number.isFinite(Number(sample));
  return time ? milliseconds(Number(sample)) : h('code', {}, sample);
}
