// @ts-check
/** One rollout: its plan, what the judge has found and how it came there, what happened, and what can be said to it. */

import { problem } from '../action.js';
import { Problem, call } from '../api.js';
import { h, keyed, replace, setAttribute, setText } from '../dom.js';
import { duration, when } from '../format.js';
import { canAct, live } from '../live.js';
import { to } from '../rooms.js';
import { Curves, momentOf } from './rollout_curves.js';
import { Events, Findings } from './rollout_findings.js';
import { Orders } from './rollout_orders.js';
import { Track, drawWeights } from './rollout_track.js';
import { isOver, phase, strategy, title, tone } from './rollout_words.js';

/** @typedef {import('./rollout_curves.js').Moment} Moment */

/**
 * What is drawn of a service.
 *
 * @typedef {object} Part
 * @property {HTMLElement} element
 * @property {Findings} findings
 * @property {Curves} curves
 * @property {Moment[]} moments
 */

/** No two moments are drawn that are nearer than this. */
const APART_MS = 1_000;

/** More moments than this are read again: the proxy has thinned them meanwhile. */
const MOMENTS_MAX = 400;

/** Of more services than this, curves are unfolded one by one. */
const UNFOLDED_MAX = 3;

class RolloutRoom extends HTMLElement {
  /** @type {Record<string, string>} */
  params = {};
  #title = h('h1');
  #phase = h('span', { class: 'badge phase' });
  #about = h('p', { class: 'dim' });
  #bar = h('div', { class: 'split', role: 'img' });
  #orders = new Orders();
  #track = new Track();
  #parts = h('div', { class: 'stack' });
  #events = new Events();
  #again = h('a', { class: 'button' }, 'Start it again');
  #body = h('div', { class: 'stack' }, this.#bar, this.#orders.element, this.#track.element, this.#parts, this.#events.element);
  #trouble = h('div', { role: 'alert' });
  #leaving = new AbortController();
  /** @type {Map<string, Part>} */
  #drawn = new Map();
  /** One that is over for long is not in the live state. @type {any} */
  #fetched = null;
  /** What its evidence over time was read for. */
  #read = '';
  /** The clock of the proxy, seen from here. */
  #ahead = 0;
  #apart = APART_MS;

  connectedCallback() {
    this.#leaving = new AbortController();
    this.#body.hidden = true;
    setText(this.#title, `Rollout ${this.params.id}`);
    replace(this, h('div', { class: 'row title' }, this.#title, this.#phase, this.#again), this.#about, this.#trouble, this.#body);
    this.#phase.hidden = true;
    this.#again.hidden = true;
  }

  disconnectedCallback() {
    this.#leaving.abort();
  }

  /** @param {any} state */
  refresh(state) {
    const known = state.rollouts?.[this.params.id ?? ''];
    if (known) this.#show(known);
    else if (this.#fetched) this.#show(this.#fetched);
    else void this.#fetch();
  }

  #asking = false;

  async #fetch() {
    if (this.#asking || live.connection !== 'live') return;
    this.#asking = true;
    try {
      this.#fetched = await call('GET', `v1/rollouts/${encodeURIComponent(this.params.id ?? '')}`, { signal: this.#leaving.signal });
      this.#show(this.#fetched);
    } catch (error) {
      if (this.#leaving.signal.aborted) return;
      replace(this.#trouble, problem(error), h('p', {}, h('a', { href: to('rollouts') }, 'All rollouts')));
      // Without an answer it is asked again with the next change; an answer stays what it is.
      this.#asking = error instanceof Problem && error.status > 0;
    }
  }

  /** @param {any} rollout */
  #show(rollout) {
    this.#body.hidden = false;
    replace(this.#trouble);
    setText(this.#title, title(rollout));
    this.#phase.hidden = false;
    setText(this.#phase, phase(rollout));
    setAttribute(this.#phase, 'class', `badge phase ${tone(rollout)}`);
    this.#tell(rollout);
    drawWeights(this.#bar, rollout);
    this.#orders.refresh(rollout);
    this.#follow(rollout);
    this.#track.refresh(rollout, this.#reached());
    this.#find(rollout);
    this.#events.refresh(rollout);
  }

  /** @param {any} rollout */
  #tell(rollout) {
    const over = isOver(rollout);
    const took = over && rollout.finished_at_ms ? `, over after ${duration((rollout.finished_at_ms - rollout.started_at_ms) / 1_000)}` : '';
    const reason = rollout.reason ? `: “${rollout.reason}”` : '';
    const text = `Rollout ${rollout.id}, ${strategy(rollout)}, started ${when(rollout.started_at_ms)} by ${rollout.author}${reason}${took}. `;
    if (this.#about.firstChild?.textContent !== text) {
      const links = rollout.services.map((/** @type {string} */ name, /** @type {number} */ index) => [index > 0 ? ', ' : '', h('a', { href: to('service', name) }, name)]).flat();
      const flags = (rollout.flags ?? []).map((/** @type {any} */ flag) => [', flag ', h('a', { href: to('flag', flag.flag) }, flag.flag)]).flat();
      replace(this.#about, text, 'Judged by the requests of ', links, flags, '.');
    }
    this.#again.hidden = !over || !canAct();
    const what = rollout.group ? `group=${encodeURIComponent(rollout.group)}` : rollout.flag ? `flag=${encodeURIComponent(rollout.flag)}` : `service=${encodeURIComponent(rollout.services[0])}`;
    setAttribute(this.#again, 'href', `${to('start')}?${what}&to=${encodeURIComponent(rollout.to)}`);
  }

  /** Reads what was found over time, again when something has moved. @param {any} rollout */
  #follow(rollout) {
    const wanted = `${rollout.phase} ${rollout.stage} ${rollout.events?.length}`;
    if (wanted !== this.#read && live.connection === 'live') {
      this.#read = wanted;
      void this.#readAll(rollout);
    }
  }

  /** @param {any} rollout */
  async #readAll(rollout) {
    try {
      const found = await call('GET', `v1/rollouts/${rollout.id}/evidence`, { signal: this.#leaving.signal });
      this.#apart = Math.max(APART_MS, found.interval_seconds * 1_000);
      for (const service of found.services) {
        const part = this.#part(service.service, service, found.services.length);
        part.moments = service.points;
        const last = part.moments.at(-1)?.at_ms;
        const judged = rollout.phase === 'going' || rollout.phase === 'waiting';
        if (judged && last && Math.abs(Date.now() - last) > this.#apart + 5_000) this.#ahead = Date.now() - last;
        part.curves.element.hidden = part.moments.length === 0;
        part.curves.show(part.moments);
      }
      this.#track.refresh(rollout, this.#reached());
    } catch (error) {
      if (this.#leaving.signal.aborted) return;
      replace(this.#trouble, h('p', { class: 'warning' }, `What was found over time could not be read: ${error instanceof Error ? error.message : error}`));
      // Without an answer it is asked again with the next change.
      if (error instanceof Problem && error.status === 0) this.#read = '';
    }
  }

  /** The stage that the last moment was in. */
  #reached() {
    for (const part of this.#drawn.values()) {
      const last = part.moments.at(-1);
      if (last) return last.stage ?? null;
    }
    return null;
  }

  /** @param {any} rollout */
  #find(rollout) {
    for (const found of rollout.evidence ?? []) {
      const names = namesOf(rollout, found.service);
      const part = this.#part(found.service, names, rollout.evidence.length);
      part.findings.refresh(found, names, isOver(rollout));
      if (isOver(rollout) || rollout.phase === 'rolling_back' || part.moments.length === 0) continue;
      const at = Date.now() - this.#ahead;
      const last = part.moments.at(-1);
      if (!last || at - last.at_ms < this.#apart) continue;
      part.moments.push(momentOf(found, rollout, at));
      part.curves.show(part.moments);
      if (part.moments.length > MOMENTS_MAX) this.#read = '';
    }
    keyed(this.#parts, [...this.#drawn], ([service]) => service, ([, part]) => part.element);
  }

  /**
   * @param {string} service
   * @param {{ from: string, to: string }} names
   * @param {number} services how many there are
   */
  #part(service, { from, to: candidate }, services) {
    const known = this.#drawn.get(service);
    if (known) return known;
    const [findings, curves] = [new Findings(), new Curves(from, candidate)];
    curves.element.hidden = true;
    const folded = h('details', { class: 'card' }, h('summary', {}, `${service}: how it came there`), curves.element);
    const part = { findings, curves, moments: [], element: h('div', { class: 'stack' }, findings.element, services > UNFOLDED_MAX ? folded : curves.element) };
    this.#drawn.set(service, part);
    return part;
  }
}

/**
 * What is compared in a service.
 *
 * @param {any} rollout
 * @param {string} service
 * @returns {{ from: string, to: string, flag: string | null }}
 */
function namesOf(rollout, service) {
  const flag = (rollout.flags ?? []).find((/** @type {any} */ one) => one.services.includes(service));
  return flag ? { from: flag.from, to: flag.to, flag: flag.flag } : { from: rollout.from, to: rollout.to, flag: null };
}

customElements.define('pm-rollout', RolloutRoom);
